"""The file of a backup: a tar, packed by zstd, whose first member says what the others must be."""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
import zstandard

from lsec.core.errors import StackError
from lsec.core.settings import MIB

MANIFEST = "manifest.json"
CHUNK_BYTES = MIB
UNPACK_ERRORS = (tarfile.TarError, zstandard.ZstdError, EOFError, msgspec.DecodeError)
OnBytes = Callable[[int], None]


class Entry(msgspec.Struct, frozen=True):
    """A file of the backup."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds, and which versions made it."""

    format: int
    created_at: datetime
    lsec: str
    neo4j: str
    valkey: str
    layout: int
    files: list[Entry]

    @property
    def num_bytes(self) -> int:
        """Size of all files, unpacked."""
        return sum(entry.size for entry in self.files)


class HashingReader:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO, on_bytes: OnBytes) -> None:
        self._file, self._on_bytes = file, on_bytes
        self._hash = hashlib.sha256()
        self._size = 0

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        self._size += len(data)
        self._on_bytes(len(data))
        return data

    def entry(self, name: str) -> Entry:
        """What was read, as an entry."""
        return Entry(name, self._size, self._hash.hexdigest())


def entry_of(name: str, path: Path, on_bytes: OnBytes) -> Entry:
    """The entry of a file as it is now."""
    with path.open("rb") as file:
        reader = HashingReader(file, on_bytes)
        while reader.read():
            pass
        return reader.entry(name)


def pack(target: Path, manifest: Manifest, sources: dict[str, Path], on_bytes: OnBytes) -> None:
    """Write the archive durably, readable by its owner alone: keys and passwords are in it.

    StackError if a file is no longer what the manifest says.
    """
    packer = zstandard.ZstdCompressor(write_checksum=True, threads=-1)
    with target.open("wb") as raw:
        target.chmod(0o600)
        with (
            packer.stream_writer(raw, closefd=False) as packed,
            tarfile.open(fileobj=packed, mode="w|") as tar,
        ):
            content = msgspec.json.encode(manifest)
            head = tarfile.TarInfo(MANIFEST)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
            for entry in manifest.files:
                _add(tar, entry, sources[entry.name], on_bytes)
        raw.flush()
        os.fsync(raw.fileno())


def _add(tar: tarfile.TarFile, entry: Entry, path: Path, on_bytes: OnBytes) -> None:
    with path.open("rb") as file:
        info = tar.gettarinfo(arcname=entry.name, fileobj=file)
        # Who owns it there says nothing where it is put back, and may be nobody's business.
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        reader = HashingReader(file, on_bytes)
        if info.size == entry.size:
            tar.addfile(info, cast(BinaryIO, reader))
    if reader.entry(entry.name) != entry:
        raise StackError(f"{path} changed while it was copied.", remedy="Stop what writes to it.")


class Archive:
    """An archive that is read from its start; `manifest` was read already."""

    def __init__(self, path: Path, tar: tarfile.TarFile, unpacked: BinaryIO) -> None:
        self._path, self._tar, self._unpacked = path, tar, unpacked
        member = tar.next()
        content = tar.extractfile(member) if member is not None and member.name == MANIFEST else None
        if content is None:
            raise tarfile.ReadError(f"it does not begin with {MANIFEST}")
        self.manifest = msgspec.json.decode(content.read(), type=Manifest)

    def unpack(self, folder: Path, on_bytes: OnBytes) -> None:
        """Write all files into the folder, durably; one that is not what the manifest says is an error."""
        missing = {entry.name: entry for entry in self.manifest.files}
        while (member := self._tar.next()) is not None:
            # Refuses what would come to lie outside of the folder, links and devices.
            info = tarfile.data_filter(member, str(folder))
            content = self._tar.extractfile(member) if member.isreg() else None
            if content is None or member.name not in missing or info.name != member.name:
                raise tarfile.ReadError(f"{member.name} does not belong into it")
            path = folder / info.name
            path.parent.mkdir(parents=True, exist_ok=True)
            reader = HashingReader(cast(BinaryIO, content), on_bytes)
            with path.open("xb") as file:
                path.chmod(info.mode or 0o600)
                while data := reader.read():
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if reader.entry(member.name) != missing.pop(member.name):
                raise tarfile.ReadError(f"{member.name} is not what the manifest says")
        if missing:
            raise tarfile.ReadError(f"{next(iter(missing))} is missing")
        # The tar ends before the frame does, whose checksum covers the manifest too.
        while self._unpacked.read(io.DEFAULT_BUFFER_SIZE):
            pass


@contextmanager
def reading(path: Path) -> Iterator[Archive]:
    """The archive of a file; StackError if it is damaged or none, also when that shows inside the block."""
    try:
        with (
            path.open("rb") as raw,
            zstandard.ZstdDecompressor().stream_reader(raw) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r|") as tar,
        ):
            yield Archive(path, tar, cast(BinaryIO, unpacked))
    except OSError as error:
        if error.filename != str(path):
            raise
        remedy = "`lsec backup FILE` writes one."
        raise StackError(f"{path} cannot be read: {error.strerror}.", remedy=remedy) from error
    except UNPACK_ERRORS as error:
        raise StackError(
            f"{path} is damaged or no backup: {error}. Nothing was changed.",
            remedy="Take another backup, or copy this one again from where it was kept.",
        ) from error
