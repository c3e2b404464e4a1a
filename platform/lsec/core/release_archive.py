"""An artifact's folder as a tar stream of known length, with its files' hashes for `sha256sum --check`."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from lsec.core.artifact import MANIFEST
from lsec.core.errors import NotFound

CHUNK_BYTES = 1024 * 1024
SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive: its header, its open content, and that content's length."""

    header: bytes
    content: BinaryIO
    num_bytes: int

    @property
    def padding(self) -> int:
        """Zero bytes that fill its last block."""
        return -self.num_bytes % tarfile.BLOCKSIZE


class Archive:
    """The open archive of a folder; it stays whole if the folder is replaced or deleted meanwhile.

    NotFound if there is none, or it is just being replaced.
    """

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        try:
            self._members = self._opened(folder)
        except OSError as error:
            self._stack.close()
            raise NotFound(
                f"The artifact of release {folder.name} is not kept here.",
                remedy="If it is listed as kept, ask again: it may just be replaced.",
            ) from error

    def _opened(self, folder: Path) -> list[Member]:
        manifest = (folder / MANIFEST).read_bytes()
        hashes = dict(msgspec.json.decode(manifest)["files"]) | {
            MANIFEST: hashlib.sha256(manifest).hexdigest()
        }
        members = []
        for path in sorted(each for each in folder.iterdir() if each.is_file() and each.name != MANIFEST):
            content = self._stack.enter_context(path.open("rb"))
            members.append(_member(f"{folder.name}/{path.name}", content, os.fstat(content.fileno()).st_size))
        if (folder / MANIFEST).read_bytes() != manifest:
            raise OSError("an erasure has replaced the artifact meanwhile")
        sums = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items())).encode()
        for name, data in ((MANIFEST, manifest), (SUMS, sums)):
            members.append(_member(f"{folder.name}/{name}", io.BytesIO(data), len(data)))
        return members

    @property
    def num_bytes(self) -> int:
        """The length of the stream."""
        files = sum(len(each.header) + each.num_bytes + each.padding for each in self._members)
        return files + 2 * tarfile.BLOCKSIZE

    def chunks(self) -> Iterator[bytes]:
        """The stream; the files close at its end."""
        with self._stack:
            for member in self._members:
                yield member.header
                left = member.num_bytes
                while left:
                    chunk = member.content.read(min(CHUNK_BYTES, left))
                    if not chunk:
                        raise OSError("a file of the artifact has become shorter")
                    left -= len(chunk)
                    yield chunk
                yield b"\0" * member.padding
            yield b"\0" * (2 * tarfile.BLOCKSIZE)

    def close(self) -> None:
        """Close the files of a stream that is not read."""
        self._stack.close()


def _member(name: str, content: BinaryIO, num_bytes: int) -> Member:
    info = tarfile.TarInfo(name)
    info.size = num_bytes
    info.mode = 0o644
    return Member(info.tobuf(tarfile.PAX_FORMAT), content, num_bytes)
