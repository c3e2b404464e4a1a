"""Files are compared with their hashes before they are used, and not again while they stay as they are."""

import fcntl
import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from lsec.core.checksums import TICK_NS, VERIFIED, FileState, check_files
from lsec.core.errors import ArtifactError

CONTENTS = {"a": b"first", "b": b"second"}
SHA256S = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files that were written a while ago."""
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
        age(tmp_path / name)
    return tmp_path


def age(path: Path) -> None:
    before = time.time_ns() - 2 * TICK_NS
    os.utime(path, ns=(before, before))


def remembered(folder: Path) -> dict[str, FileState]:
    return msgspec.json.decode((folder / VERIFIED).read_bytes(), type=dict[str, FileState])


def spoil_in_secret(path: Path) -> None:
    """Another content of the same length, as a failing disk makes it: in place, and without a new time."""
    found = path.stat()
    with path.open("r+b") as file:
        file.write(b"?")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_what_was_compared_is_remembered_and_not_read_again(folder: Path) -> None:
    check_files(folder, SHA256S)
    assert {name: state.sha256 for name, state in remembered(folder).items()} == SHA256S
    spoil_in_secret(folder / "a")
    check_files(folder, SHA256S)
    with pytest.raises(ArtifactError, match="a is not what was written"):
        check_files(folder, SHA256S, anew=True)


@pytest.mark.parametrize("how", ["in place", "replaced", "longer", "another hash"])
def test_what_changed_since_is_compared_again(folder: Path, how: str) -> None:
    check_files(folder, SHA256S)
    sha256s = SHA256S
    if how == "in place":
        (folder / "a").write_bytes(b"FIRST")
    elif how == "replaced":
        found = (folder / "a").stat()
        (folder / "new").write_bytes(b"FIRST")
        os.utime(folder / "new", ns=(found.st_atime_ns, found.st_mtime_ns))
        (folder / "new").replace(folder / "a")
    elif how == "longer":
        found = (folder / "a").stat()
        (folder / "a").write_bytes(b"first and more")
        os.utime(folder / "a", ns=(found.st_atime_ns, found.st_mtime_ns))
    else:
        sha256s = SHA256S | {"a": SHA256S["b"]}
    with pytest.raises(ArtifactError, match="a is not what was written"):
        check_files(folder, sha256s)


def test_what_was_written_just_now_is_not_remembered(folder: Path) -> None:
    (folder / "a").write_bytes(CONTENTS["a"])
    check_files(folder, SHA256S)
    assert set(remembered(folder)) == {"b"}
    age(folder / "a")
    check_files(folder, SHA256S)
    assert set(remembered(folder)) == {"a", "b"}


def test_a_damaged_file_is_never_remembered(folder: Path) -> None:
    (folder / "a").write_bytes(b"FIRST")
    age(folder / "a")
    for _ in range(2):
        with pytest.raises(ArtifactError):
            check_files(folder, SHA256S)
    assert not (folder / VERIFIED).exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b'{"a": {"inode": 1}}', b"\xff"])
def test_a_memory_that_cannot_be_read_is_none(folder: Path, content: bytes) -> None:
    (folder / VERIFIED).write_bytes(content)
    check_files(folder, SHA256S)
    assert set(remembered(folder)) == {"a", "b"}


def test_a_folder_that_takes_no_memory_is_compared_each_time(folder: Path) -> None:
    (folder / VERIFIED).mkdir()
    check_files(folder, SHA256S)
    spoil_in_secret(folder / "b")
    with pytest.raises(ArtifactError, match="b is not what was written"):
        check_files(folder, SHA256S)


def test_a_missing_file_is_told(folder: Path) -> None:
    check_files(folder, SHA256S)
    (folder / "b").unlink()
    with pytest.raises(ArtifactError, match="b cannot be read") as caught:
        check_files(folder, SHA256S)
    assert caught.value.remedy


def test_nothing_but_the_memory_is_left_behind(folder: Path) -> None:
    check_files(folder, SHA256S)
    check_files(folder, SHA256S, anew=True)
    assert {path.name for path in folder.iterdir()} == {*CONTENTS, VERIFIED}


def test_several_that_compare_at_once_agree(folder: Path) -> None:
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda _: check_files(folder, SHA256S), range(16)))
    assert set(remembered(folder)) == {"a", "b"}
    assert {path.name for path in folder.iterdir()} == {*CONTENTS, VERIFIED}


def test_who_comes_later_waits_for_the_first(folder: Path) -> None:
    """And then relies on what that found."""
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with ThreadPoolExecutor() as threads:
        later = threads.submit(check_files, folder, SHA256S)
        with pytest.raises(TimeoutError):
            later.result(timeout=0.2)
        states = {
            name: FileState(
                (found := (folder / name).stat()).st_ino, found.st_size, found.st_mtime_ns, sha256
            )
            for name, sha256 in SHA256S.items()
        }
        spoil_in_secret(folder / "a")
        (folder / VERIFIED).write_bytes(msgspec.json.encode(states))
        os.close(descriptor)
        later.result(timeout=60)
