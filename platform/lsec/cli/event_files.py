"""Files of events as JSON lines: NDJSON or one JSON array, plain, .gz or .zst, or the input."""

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import msgspec
import zstandard

from lsec.client.sending import Batch, cut
from lsec.core.errors import InvalidInput

FORMATS = "Give files of one JSON event a line (NDJSON) or one JSON array of events, or `-` for the input."
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REJECT_START = b'{"place":'
"""How a line of `--rejects` begins: it is read as the event in it."""
ZSTD_CHUNK_BYTES = 64 * 1024
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """A rejected event with where it stood and why; text where it is no JSON."""

    place: str
    field: str | None
    reason: str
    event: msgspec.Raw


class Row(NamedTuple):
    """An event and where it stands: its line or, in an array, its element, from 0."""

    number: int
    event: bytes


@dataclass(frozen=True, slots=True)
class FileBatch(Batch):
    """Events of one file, with their lines or elements, and how much of all files was read with them."""

    file: Path
    indexes: list[int]
    num_bytes: int

    @property
    def end(self) -> int:
        """The first line or element after the batch, blank ones aside."""
        return self.indexes[-1] + 1


class EventFiles:
    """The events of files, read as they are asked for; what cannot be read is found at once where it can be.

    An array is held whole in memory, lines are not.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._arrays = {file for file in files if _check(file)}

    def num_bytes(self) -> int | None:
        """The size of all files; None where only reading tells: of the input or a pipe."""
        if not all(is_regular(file) for file in self._files):
            return None
        return sum(file.stat().st_size for file in self._files)

    def batches(self, size: int, starts: dict[Path, int]) -> Iterator[FileBatch]:
        """All events in batches; in a file with a start, from that line or element on."""
        first = num_before = 0
        for file in self._files:
            num_file_bytes = file.stat().st_size if is_regular(file) else None
            start = starts.get(file, 0)
            with ExitStack() as stack:
                raw = sys.stdin.buffer if str(file) == "-" else stack.enter_context(_opening(file))
                rows = (row for row in _read(file, raw) if row.number >= start)
                for some in cut(rows, size, lambda row: len(row.event)):
                    num_bytes = num_before + raw.tell() if num_file_bytes is not None else 0
                    lines = [row.event for row in some]
                    yield FileBatch(first, lines, file, [row.number for row in some], num_bytes)
                    first += len(some)
            num_before += num_file_bytes or 0

    def place(self, file: Path, index: int) -> str:
        """Where an event stands, in words."""
        return f"{file}, {'element' if file in self._arrays else 'line'} {index + 1}"


def is_regular(file: Path) -> bool:
    """Whether it can be read again from the start: neither the input nor a pipe."""
    return str(file) != "-" and file.is_file()


def reject_line(event: bytes, *, place: str, field: str | None, reason: str) -> bytes:
    """A rejected event as a line of `--rejects`."""
    try:
        msgspec.json.decode(event)
    except msgspec.DecodeError:
        event = msgspec.json.encode(event.decode("utf-8", "replace"))
    reject = Reject(place=place, field=field, reason=reason, event=msgspec.Raw(event))
    return msgspec.json.encode(reject) + b"\n"


def _check(file: Path) -> bool:
    """Whether the file holds an array; InvalidInput if it can be told by now that it cannot be sent."""
    if str(file) == "-":
        return False
    if file.is_dir():
        raise InvalidInput(
            f"{file} is a folder.",
            remedy=f"Give the files in it, or, for a data set in the paper's layout: lsec import-lsec {file}",
        )
    if not file.exists():
        raise InvalidInput(f"There is no file {file}.", remedy=FORMATS)
    if not file.is_file():
        return False
    with _opening(file) as raw:
        lines = _lines(file, raw)
        for line in lines:
            if text := line.removeprefix(BYTE_ORDER_MARK).strip():
                is_array = text.startswith(b"[")
                if is_array:
                    _elements(file, text, lines)
                return is_array
    return False


def _opening(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise _unreadable(file, error) from error


def _read(file: Path, raw: BinaryIO) -> Iterator[Row]:
    """Each event with its place; blank lines are left out."""
    lines = _lines(file, raw)
    is_first = True
    for index, line in enumerate(lines):
        event = (line if index else line.removeprefix(BYTE_ORDER_MARK)).strip()
        if is_first and event.startswith(b"["):
            yield from _elements(file, event, lines)
            return
        if event:
            is_first = False
            yield Row(index, _unwrapped(event) if event.startswith(REJECT_START) else event)


def _lines(file: Path, raw: BinaryIO) -> Iterator[bytes]:
    try:
        match file.suffix:
            case ".gz":
                yield from gzip.GzipFile(fileobj=raw)
            case ".zst":
                yield from _zstd_lines(raw)
            case _:
                yield from raw
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise _unreadable(file, error) from error


def _zstd_lines(raw: BinaryIO) -> Iterator[bytes]:
    """Lines of one or several frames; EOFError where they break off, which zstandard's reader passes over."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    line: list[bytes] = []
    is_whole = True
    while data := raw.read(ZSTD_CHUNK_BYTES):
        while data:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            first, *others = frame.decompress(data).split(b"\n")
            line.append(first)
            if others:
                yield b"".join(line)
                yield from others[:-1]
                line = others[-1:]
            data, is_whole = frame.unused_data, frame.eof
    if not is_whole:
        raise EOFError("it breaks off")
    yield b"".join(line)


def _elements(file: Path, start: bytes, lines: Iterable[bytes]) -> Iterator[Row]:
    """The elements of an array that begins with a line and goes on with others."""
    try:
        elements = _ARRAY.decode(b"\n".join([start, *lines]))
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{file} begins with [ but is no JSON array: {error}.", remedy=FORMATS) from error
    return (
        Row(index, msgspec.json.format(bytes(element), indent=-1)) for index, element in enumerate(elements)
    )


def _unwrapped(line: bytes) -> bytes:
    """The event in a line of `--rejects`; the line itself if it is none."""
    try:
        event = bytes(msgspec.json.decode(line, type=Reject).event)
        return cast(str, msgspec.json.decode(event)).encode() if event.startswith(b'"') else event
    except msgspec.DecodeError:
        return line


def _unreadable(file: Path, error: Exception) -> InvalidInput:
    return InvalidInput(f"{file} cannot be read: {error}.")
