"""Files of events as JSON lines: NDJSON or one JSON array, plain or .gz, or the input."""

import gzip
import io
import sys
import zlib
from array import array
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from lsec.core.errors import InvalidInput

FORMATS = "Give files of one JSON event a line (NDJSON) or one JSON array of events, or `-` for the input."
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


class Place(NamedTuple):
    """Where an event stands: its line or, in an array, its element, from 0; and the same in words."""

    row: int
    words: str


class EventFiles:
    """The events of files; blank lines are left out, and where each event stood is remembered."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._firsts: list[int] = []
        self._indexes = array("Q")
        self._arrays: set[int] = set()
        for file in files:
            _check(file)

    def count(self) -> int | None:
        """How many events there are; None where only reading them tells: from the input or a pipe."""
        if not all(str(file) != "-" and file.is_file() for file in self._files):
            return None
        return sum(1 for file in self._files for _ in _read(file))

    def __iter__(self) -> Iterator[bytes]:
        for number, file in enumerate(self._files):
            self._firsts.append(len(self._indexes))
            for is_array, index, event in _read(file):
                if is_array:
                    self._arrays.add(number)
                self._indexes.append(index)
                yield event

    def place(self, position: int) -> Place:
        """Where an event stood, by its position in the order of reading."""
        number = max(number for number, first in enumerate(self._firsts) if first <= position)
        index = self._indexes[position]
        unit = "element" if number in self._arrays else "line"
        return Place(index, f"{self._files[number]}, {unit} {index + 1}")


def _check(file: Path) -> None:
    if str(file) == "-":
        return
    if file.is_dir():
        raise InvalidInput(
            f"{file} is a folder.",
            remedy=f"Give the files in it, or, for a data set in the paper's layout: lsec import-lsec {file}",
        )
    if not file.exists():
        raise InvalidInput(f"There is no file {file}.", remedy=FORMATS)


def _read(file: Path) -> Iterator[tuple[bool, int, bytes]]:
    """Each event with its index, and whether that counts the elements of an array or lines."""
    try:
        with _open(file) as lines:
            is_first = True
            for index, line in enumerate(lines):
                event = (line if index else line.removeprefix(BYTE_ORDER_MARK)).strip()
                if is_first and event.startswith(b"["):
                    yield from _elements(file, event + b"\n" + lines.read())
                    return
                if event:
                    is_first = False
                    yield False, index, event
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{file} cannot be read: {error}.") from error


def _elements(file: Path, text: bytes) -> Iterator[tuple[bool, int, bytes]]:
    try:
        elements = _ARRAY.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{file} begins with [ but is no JSON array: {error}.", remedy=FORMATS) from error
    for index, element in enumerate(elements):
        yield True, index, msgspec.json.format(bytes(element), indent=-1)


def _open(file: Path) -> io.BufferedReader | gzip.GzipFile | nullcontext[BinaryIO]:
    if str(file) == "-":
        return nullcontext(sys.stdin.buffer)
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")
