"""Files compared with their SHA-256, once for as long as they stay as they are.

Hashing a release of a gigabyte takes seconds of a core, too much for every process that opens it. So what was
compared is remembered beside the files, in `verified.json`: each one's inode, size, time of change and
hash. A file of which any of these is another, or that changed so shortly before that its time might not tell,
is compared again. What a disk spoils without a write is found only by reading all again.
"""

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from lsec.core.errors import ArtifactError
from lsec.core.tensor_file import RETRAIN

VERIFIED = "verified.json"
TICK_NS = 100_000_000
"""Two changes within a file system's tick have the same time."""


class FileState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What changes when a file is changed or replaced, and the SHA-256 of what it holds."""

    inode: int
    size: int
    changed_ns: int
    sha256: str


def check_files(folder: Path, sha256s: Mapping[str, str], *, anew: bool = False) -> None:
    """ArtifactError unless each file has its hash; `anew` reads all, whatever is remembered."""
    states = {name: _state(folder / name, sha256) for name, sha256 in sha256s.items()}
    if not anew and _remembered(folder).items() >= states.items():
        return
    with _locked(folder):
        # Of several processes that open it at once the first one hashes, with all cores.
        known = {} if anew else _remembered(folder)
        started_ns = time.time_ns()
        states = {name: _state(folder / name, sha256) for name, sha256 in sha256s.items()}
        unknown = [name for name, state in states.items() if known.get(name) != state]
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda name: _check(folder / name, sha256s[name]), unknown))
        others = {name: state for name, state in _remembered(folder).items() if name not in states}
        settled = {name: state for name, state in states.items() if state.changed_ns < started_ns - TICK_NS}
        _remember(folder, others | settled)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone with the folder, where its file system can lock."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be read: {error}.", remedy=RETRAIN) from error
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _state(path: Path, sha256: str) -> FileState:
    try:
        found = path.stat()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", remedy=RETRAIN) from error
    return FileState(found.st_ino, found.st_size, found.st_mtime_ns, sha256)


def _check(path: Path, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", remedy=RETRAIN) from error
    if found != sha256:
        raise ArtifactError(f"{path} is not what was written.", remedy=RETRAIN)


def _remembered(folder: Path) -> dict[str, FileState]:
    """The states of files that were compared; nothing if that cannot be read."""
    with suppress(OSError, msgspec.MsgspecError, RecursionError, UnicodeError):
        return msgspec.json.decode((folder / VERIFIED).read_bytes(), type=dict[str, FileState])
    return {}


def _remember(folder: Path, states: Mapping[str, FileState]) -> None:
    """Put this in the place of what is remembered; in a folder that cannot be written to, do without."""
    partial = folder / f".{VERIFIED}.{os.getpid()}.{threading.get_ident()}"
    with suppress(OSError):
        partial.write_bytes(msgspec.json.encode(states))
        partial.replace(folder / VERIFIED)
