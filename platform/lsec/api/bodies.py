"""The body of a request, decompressed, within a limit that holds before and after."""

import asyncio
import zlib
from collections.abc import Callable
from typing import Protocol

import zstandard
from fastapi import Request

from lsec.core.errors import BodyTooLarge, InvalidInput, UnsupportedMediaType

PIECE_BYTES = 128
"""What is decompressed at a time. Four bytes of zstd may stand for a block of 128 KiB, so that one piece
gives 4 MiB at the most, whatever it says."""
MAX_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
"""RFC 9659: what a receiver needs to hold; compressors go past it only when told to."""


class _Decompressor(Protocol):
    """What zlib and zstandard have in common: it reads one member or frame."""

    def decompress(self, data: bytes, /) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


MAX_MEMBERS = 1000
"""Each is opened by itself, and an empty one has few bytes: a body of them would keep a thread for long."""

_OPEN: dict[str, Callable[[], _Decompressor]] = {
    "gzip": lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16),
    "zstd": lambda: zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES).decompressobj(),
}
ENCODINGS = tuple(_OPEN)


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """The body without its Content-Encoding.

    BodyTooLarge as soon as it is, declared or not, before it is all read or decompressed;
    UnsupportedMediaType for another encoding, InvalidInput for data that is not in the one it names.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    encoding = {"x-gzip": "gzip", "identity": ""}.get(encoding, encoding)
    if encoding and encoding not in _OPEN:
        raise UnsupportedMediaType(
            f"The content encoding {encoding[:60]!r} is not known.",
            remedy=f"Send the body as it is, or in one of {', '.join(ENCODINGS)}.",
            accept_encoding=", ".join(ENCODINGS),
        )
    body = await _read_raw(request, max_bytes)
    # A small body may be a large one inside, so others are answered meanwhile.
    return await asyncio.to_thread(decompress, body, encoding, max_bytes=max_bytes) if encoding else body


async def _read_raw(request: Request, max_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def decompress(data: bytes, encoding: str, *, max_bytes: int) -> bytes:
    """What the data, one member or frame after another, stands for.

    BodyTooLarge past `max_bytes`, at most one piece after it; InvalidInput if it is broken, ends too early
    or has too many members.
    """
    parts: list[bytes] = []
    num_bytes = num_members = 0
    stream: _Decompressor | None = None
    for start in range(0, len(data), PIECE_BYTES):
        rest = data[start : start + PIECE_BYTES]
        while rest:
            if stream is None:
                stream, num_members = _OPEN[encoding](), num_members + 1
                if num_members > MAX_MEMBERS:
                    raise _unreadable(encoding, f"has more than {MAX_MEMBERS:,} members or frames")
            try:
                part = stream.decompress(rest)
            except (zlib.error, zstandard.ZstdError) as error:
                raise _unreadable(encoding, f"is broken: {error}") from None
            num_bytes += len(part)
            if num_bytes > max_bytes:
                raise _too_large(max_bytes, " when decompressed")
            parts.append(part)
            rest, stream = (stream.unused_data, None) if stream.eof else (b"", stream)
    if stream is not None:
        raise _unreadable(encoding, "ends too early")
    return b"".join(parts)


def _too_large(max_bytes: int, where: str = "") -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is larger than {max_bytes} bytes{where}.", remedy="Split it into several requests."
    )


def _unreadable(encoding: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"The {encoding} body {what}.",
        remedy="Nothing was taken. Compress it again as a whole, or leave Content-Encoding out if it is not "
        "compressed.",
    )
