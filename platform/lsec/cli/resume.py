"""How far files of events were sent, kept beside each one, so that a break sends nothing twice.

The API recognises an event that is sent again for an hour only; this file knows for ever.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lsec.cli.event_files import FileBatch, is_regular
from lsec.cli.output import err

SUFFIX = ".lsec-resume"
SAVE_EVERY_S = 1.0


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Of one file, all before a line (or element) was answered; the rest must hold for that to count."""

    next: int
    url: str
    size: int
    mtime_ns: int
    log_events: int
    """The log held so many events by then; one with fewer is another log."""


class Resume:
    """Follows the answers of one command, and finds where it goes on; `-` and pipes have no such place."""

    def __init__(self, files: Sequence[Path], url: str, *, log_events: int, from_start: bool) -> None:
        self._marks = {file: _mark(file) for file in files if is_regular(file)}
        self._url = url
        self._log_events = log_events
        self.starts: dict[Path, int] = {} if from_start else self._found()
        """Where to go on, of the files that an earlier command had begun."""
        self._ends = dict(self.starts)
        self._next = 0
        self._answered: dict[int, tuple[int, Path, int]] = {}
        """Batches that overtook another one: events, file and end, by their first event."""
        self._save_at = time.monotonic() + SAVE_EVERY_S
        self._can_save = True

    def _found(self) -> dict[Path, int]:
        """Where an earlier command broke off; says so."""
        starts = {}
        for file, mark in self._marks.items():
            state = _read(file)
            if state is None:
                continue
            if (state.size, state.mtime_ns) != mark:
                _say(f"{file} has changed since it was sent in part, so it is sent from its start.")
            elif state.url != self._url or state.log_events > self._log_events:
                _say(f"{file} was sent in part, but to another log, so it is sent from its start.")
            else:
                starts[file] = state.next
                _say(f"Resuming at line {state.next + 1:,} of {file}; --from-start sends all again.")
        return starts

    def answered(self, batch: FileBatch, num_accepted: int) -> None:
        """Notes a batch; saved every second. Only what has no gap before it counts as sent."""
        self._log_events += num_accepted
        self._answered[batch.first] = (len(batch.lines), batch.file, batch.end)
        while self._next in self._answered:
            num_events, file, self._ends[file] = self._answered.pop(self._next)
            self._next += num_events
        if time.monotonic() >= self._save_at:
            self.save()

    def save(self) -> None:
        """Keeps where to go on."""
        for file, end in self._ends.items():
            if file in self._marks and self._can_save:
                size, mtime_ns = self._marks[file]
                state = State(
                    next=end, url=self._url, size=size, mtime_ns=mtime_ns, log_events=self._log_events
                )
                self._write(beside(file), msgspec.json.encode(state))
        self._save_at = time.monotonic() + SAVE_EVERY_S

    def _write(self, path: Path, content: bytes) -> None:
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as target:
                target.write(content)
                target.flush()
                os.fsync(target.fileno())
            part.replace(path)
        except OSError as error:
            self._can_save = False
            _say(f"{path} cannot be written ({error.strerror}): after a break all is sent again.")

    def places(self) -> str:
        """Where the same command goes on, in words; empty if nothing is kept."""
        if not self._can_save:
            return ""
        ends = ((file, end) for file, end in self._ends.items() if file in self._marks)
        return ", ".join(f"line {end + 1:,} of {file}" for file, end in list(ends)[-1:])

    def finish(self) -> None:
        """Forgets it all: everything was sent."""
        for file in self._marks:
            beside(file).unlink(missing_ok=True)


def beside(file: Path) -> Path:
    """Where it is kept how far a file was sent."""
    return file.with_name(file.name + SUFFIX)


def _mark(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _read(file: Path) -> State | None:
    try:
        return msgspec.json.decode(beside(file).read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        _say(f"{beside(file)} cannot be read, so {file} is sent from its start.")
        return None


def _say(text: str) -> None:
    err.print(text, markup=False, soft_wrap=True)
