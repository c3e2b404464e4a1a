"""A backup holds all of a data folder or is refused, and a restore changes nothing until all is right."""

import hashlib
import io
import sqlite3
import stat
import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import zstandard
from pydantic import SecretStr

from lsec.core.errors import StackError
from lsec.core.settings import Settings
from lsec.local import StackEvent, backup
from lsec.local.archive import Entry, Manifest
from lsec.local.jar_lock import NEO4J_VERSION
from lsec.local.processes import StackRecord, record_of, write_record
from lsec.local.stack import data_dir_lock
from tests.unit.local.stack_folder import make_stack_folder


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return make_stack_folder(tmp_path / "data")


def files_of(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def key_names(data_dir: Path) -> list[str]:
    with closing(sqlite3.connect(data_dir / "ledger.sqlite")) as ledger:
        return [name for (name,) in ledger.execute("SELECT name FROM keys")]


def test_what_was_backed_up_is_restored_with_its_modes(data_dir: Path, tmp_path: Path) -> None:
    events: list[StackEvent] = []
    file = tmp_path / "one.lsec"
    manifest = backup.back_up(Settings(data_dir=data_dir), file, on_event=events.append)
    restored = tmp_path / "new" / "data"
    assert backup.restore(file, restored, on_event=events.append) == (manifest, None)
    found = files_of(restored)
    assert key_names(restored) == ["k1"]
    assert found.pop("ledger.sqlite") is not None
    kept = ("neo4j/data", "valkey", "artifacts", "neo4j-password", "stack-version")
    assert found == {name: text for name, text in files_of(data_dir).items() if name.startswith(kept)}
    assert stat.S_IMODE((restored / "neo4j-password").stat().st_mode) == 0o600
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for label in ("Backing up", "Restoring"):
        last = [event for event in events if event.message == label][-1]
        assert last.done == last.total > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "new", "one.lsec"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data"]


def test_what_the_ledger_holds_in_its_write_ahead_log_is_in_the_backup(
    data_dir: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(data_dir / "ledger.sqlite")) as ledger:
        with ledger:
            ledger.execute("INSERT INTO keys VALUES ('k2')")
        backup.back_up(Settings(data_dir=data_dir), tmp_path / "one.lsec")
    backup.restore(tmp_path / "one.lsec", tmp_path / "restored")
    assert key_names(tmp_path / "restored") == ["k1", "k2"]


def test_artifacts_that_are_kept_elsewhere_are_in_the_backup(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "artifacts").rename(tmp_path / "elsewhere")
    settings = Settings(data_dir=data_dir, artifacts_dir=tmp_path / "elsewhere")
    backup.back_up(settings, tmp_path / "one.lsec")
    backup.restore(tmp_path / "one.lsec", tmp_path / "restored")
    assert (tmp_path / "restored/artifacts/rel_1/manifest.json").read_text() == "{}"


def test_a_running_stack_is_not_backed_up_and_not_restored_over(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.lsec"
    backup.back_up(Settings(data_dir=data_dir), file)
    with data_dir_lock(data_dir):
        with pytest.raises(StackError, match="Another stack"):
            backup.back_up(Settings(data_dir=data_dir), tmp_path / "two.lsec")
        with pytest.raises(StackError, match="Another stack"):
            backup.restore(file, data_dir, force=True)


def test_what_a_killed_stack_left_running_is_named_with_the_remedy(data_dir: Path, tmp_path: Path) -> None:
    process = record_of(1, "neo4j")
    write_record(data_dir, StackRecord("mark", record_of(1, "supervisor"), (process,)))
    with pytest.raises(StackError, match=r"runs \(supervisor, neo4j\)") as caught:
        backup.back_up(Settings(data_dir=data_dir), tmp_path / "one.lsec")
    assert f"lsec down --data-dir {data_dir}" in caught.value.remedy
    assert not (tmp_path / "one.lsec").exists()


@pytest.mark.parametrize(
    ("elsewhere", "tool"),
    [
        ({"sql_url": SecretStr("postgresql://db/lsec")}, "pg_dump"),
        ({"neo4j_url": "neo4j://graph:7687"}, "neo4j-admin"),
        ({"log_url": SecretStr("redis://log:6379/0")}, "append-only"),
        ({"neo4j_url": "bolt://127.0.0.1:7688"}, "neo4j-admin"),
        ({"neo4j_url": "bolt://localhost", "bolt_port": 7688}, "neo4j-admin"),
        ({"log_url": SecretStr("redis://127.0.0.1:6380/0")}, "append-only"),
    ],
)
def test_what_other_servers_keep_is_refused_naming_their_tools(
    data_dir: Path, tmp_path: Path, elsewhere: dict[str, object], tool: str
) -> None:
    settings = Settings(data_dir=data_dir).model_copy(update=elsewhere)
    with pytest.raises(StackError, match="another server") as caught:
        backup.back_up(settings, tmp_path / "one.lsec")
    assert tool in caught.value.remedy


def test_the_addresses_of_the_embedded_servers_themselves_are_not_refused(
    data_dir: Path, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=data_dir,
        bolt_port=7690,
        neo4j_url="bolt://localhost:7690",
        valkey_port=6390,
    )
    backup.back_up(settings, tmp_path / "one.lsec")
    given = Settings(data_dir=data_dir, log_url=SecretStr("redis://127.0.0.1"))
    backup.back_up(given, tmp_path / "two.lsec")


def test_a_folder_without_a_stack_and_a_bad_target_are_refused(data_dir: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=data_dir)
    with pytest.raises(StackError, match="holds no embedded stack"):
        backup.back_up(Settings(data_dir=tmp_path), tmp_path / "one.lsec")
    with pytest.raises(StackError, match="is a folder"):
        backup.back_up(settings, tmp_path)
    with pytest.raises(StackError, match="There is no folder"):
        backup.back_up(settings, tmp_path / "missing" / "one.lsec")
    with pytest.raises(StackError, match="in the data folder itself"):
        backup.back_up(settings, data_dir / "one.lsec")


def test_a_file_is_replaced_only_when_that_is_asked_for(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.lsec"
    file.write_text("older")
    with pytest.raises(StackError, match="exists") as caught:
        backup.back_up(Settings(data_dir=data_dir), file)
    assert "--force" in caught.value.remedy
    assert file.read_text() == "older"
    backup.back_up(Settings(data_dir=data_dir), file, force=True)
    backup.restore(file, tmp_path / "restored")


def test_a_folder_that_is_not_empty_is_moved_aside_only_when_that_is_asked_for(
    data_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "one.lsec"
    backup.back_up(Settings(data_dir=data_dir), file)
    (data_dir / "valkey/appendonlydir/log.aof").write_text("newer")
    with pytest.raises(StackError, match="not empty"):
        backup.restore(file, data_dir)
    _, before = backup.restore(file, data_dir, force=True)
    assert before is not None
    assert before.name.startswith("data.before-restore-")
    assert (before / "valkey/appendonlydir/log.aof").read_text() == "newer"
    assert (data_dir / "valkey/appendonlydir/log.aof").read_text() == "events"


def test_an_empty_folder_is_filled(data_dir: Path, tmp_path: Path) -> None:
    backup.back_up(Settings(data_dir=data_dir), tmp_path / "one.lsec")
    (tmp_path / "empty").mkdir()
    assert backup.restore(tmp_path / "one.lsec", tmp_path / "empty")[1] is None
    assert key_names(tmp_path / "empty") == ["k1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "empty", "one.lsec"]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda whole: whole[: len(whole) // 2],
    "flipped": lambda whole: whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
    "another file": lambda _: b"no backup at all",
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_changes_nothing(data_dir: Path, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "one.lsec"
    backup.back_up(Settings(data_dir=data_dir), file)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    before = files_of(tmp_path)
    for target in (data_dir, tmp_path / "new"):
        with pytest.raises(StackError, match=r"damaged or no backup.* Nothing was changed"):
            backup.restore(file, target, force=True)
    assert files_of(tmp_path) == before | {"data/stack.lock": b""}


def made(file: Path, members: dict[str, bytes], *, manifest: Manifest | None = None, link: str = "") -> Path:
    """An archive as another program might make it; by default its manifest is right."""
    files = [Entry(name, len(data), sha256(data)) for name, data in members.items()]
    head = manifest or right_manifest()
    content = msgspec.json.encode(msgspec.structs.replace(head, files=files))
    with (
        file.open("wb") as raw,
        zstandard.ZstdCompressor().stream_writer(raw) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for name, data in {"manifest.json": content, **members}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if name == link:
                info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(info, io.BytesIO(data))
    return file


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def right_manifest() -> Manifest:
    return Manifest(
        format=backup.FORMAT,
        created_at=datetime.now(UTC),
        lsec="9.9.9",
        neo4j=NEO4J_VERSION,
        valkey="9.1.0",
        layout=1,
        files=[],
    )


@pytest.mark.parametrize("name", ["../outside", "/etc/lsec-outside", "a/../../outside"])
def test_nothing_is_unpacked_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    file = made(tmp_path / "one.lsec", {name: b"x"})
    with pytest.raises(StackError, match="damaged or no backup"):
        backup.restore(file, tmp_path / "inner" / "new")
    assert not (tmp_path / "inner" / "outside").exists()
    assert list((tmp_path / "inner").iterdir()) == []


def test_a_link_is_refused(tmp_path: Path) -> None:
    file = made(tmp_path / "one.lsec", {"innocent": b""}, link="innocent")
    with pytest.raises(StackError, match="damaged or no backup"):
        backup.restore(file, tmp_path / "new")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": backup.FORMAT + 1}, "lsec 9.9.9"),
        ({"layout": 99}, "lsec 9.9.9"),
        ({"neo4j": "2099.01.0"}, "Neo4j 2099.01.0"),
        ({"valkey": "10.0.0.post1"}, "Valkey 10.0.0.post1"),
    ],
)
def test_what_a_newer_version_made_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    manifest = msgspec.structs.replace(right_manifest(), **change)
    file = made(tmp_path / "one.lsec", {"a": b"x"}, manifest=manifest)
    with pytest.raises(StackError, match=f"newer version: {words}"):
        backup.restore(file, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_backup_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"one.lsec cannot be read: No such file"):
        backup.restore(tmp_path / "one.lsec", tmp_path / "new")


def test_a_disk_without_room_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="MB are needed"):
        backup.check_room(tmp_path, 1 << 60)
