"""Entries of the log: reading them in order without a gap, and decoding their events."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import redis

from graph_schema.events import Event
from lsec.core.errors import LogMismatch
from lsec.core.event_log import LogKeys, decode_chunk, decode_event, split_chunk

WHOLE_CHUNK = -1
"""The index of a chunk that cannot be split into events."""
FIRST_GUESS = 500
"""Events in a chunk, before one was seen."""
LOOK_PAST_UNREADABLE = 16
LINGER_MS = 25
FULL_ENOUGH = 4
"""A batch with a quarter of its events is worth a transaction: no waiting for more."""
REMEDY = (
    "Restore the log and the graph together, or start the ingester once with --adopt-log to go on "
    "with the log as it is: what it no longer holds stays out of the graph."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One chunk of the log; `total` counts the shard's events up to its end, None if unreadable."""

    entry_id: str
    num_events: int
    total: int | None
    chunk: bytes
    request_id: str = ""

    @property
    def num_before(self) -> int:
        """The shard's event count before this entry, which must be readable."""
        return (self.total or 0) - self.num_events


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event at its place in the log."""

    entry_id: str
    index: int
    payload: bytes
    event: Event


@dataclass(frozen=True, slots=True)
class Damaged:
    """What cannot be decoded at a place in the log; the index is WHOLE_CHUNK for a chunk."""

    entry_id: str
    index: int
    payload: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class LogState:
    """A log as seen at one moment; `first` is its first readable entry after a position."""

    epoch: str | None
    appended: int
    first: Entry | None


def decode_entries(entries: Sequence[Entry]) -> list[Event]:
    """All events of the entries; ValueError if one is damaged."""
    events: list[Event] = []
    for entry in entries:
        _check_counts(entry)
        events.extend(decode_chunk(entry.chunk, entry.num_events))
    return events


def split_entries(entries: Sequence[Entry]) -> tuple[list[LoggedEvent], list[Damaged]]:
    """Each event with its place, and apart from them what cannot be decoded."""
    events: list[LoggedEvent] = []
    damaged: list[Damaged] = []
    for entry in entries:
        try:
            payloads = _payloads(entry)
        except ValueError as error:
            damaged.append(Damaged(entry.entry_id, WHOLE_CHUNK, entry.chunk, str(error)))
            continue
        for index, payload in enumerate(payloads):
            try:
                events.append(LoggedEvent(entry.entry_id, index, payload, decode_event(payload)))
            except ValueError as error:
                damaged.append(Damaged(entry.entry_id, index, payload, str(error)))
    return events, damaged


def events_of(entries: Sequence[Entry]) -> list[Event]:
    """The events of the entries that can be decoded."""
    return [logged.event for logged in split_entries(entries)[0]]


def _payloads(entry: Entry) -> list[bytes]:
    _check_counts(entry)
    return split_chunk(entry.chunk, entry.num_events)


def _check_counts(entry: Entry) -> None:
    if entry.total is None:
        raise ValueError(f"entry {entry.entry_id} has no readable counts")


def check_sequence(entries: Sequence[Entry], num_events: int) -> int:
    """The shard's event count after the entries that follow on `num_events`; LogMismatch at a gap."""
    for entry in entries:
        if entry.total is None:
            continue
        if entry.num_before != num_events:
            missing = entry.num_before - num_events
            raise LogMismatch(
                f"The log goes on at {entry.entry_id} with {missing} events missing before it.", remedy=REMEDY
            )
        num_events = entry.total
    return num_events


class LogReader:
    """Reads a shard's entries in order, ahead of what the caller takes."""

    def __init__(self, client: redis.Redis, keys: LogKeys) -> None:
        self._client = client
        self._keys = keys
        self._ahead: list[Entry] = []

    def state(self, position: str) -> LogState:
        """The log's epoch, count and first readable entry after the position, at one moment."""
        with self._client.pipeline(transaction=True) as pipe:
            pipe.get(self._keys.epoch)
            pipe.get(self._keys.appended)
            pipe.xrange(self._keys.log, f"({position}", "+", count=LOOK_PAST_UNREADABLE)
            epoch, appended, found = pipe.execute()
        readable = [entry for entry in map(_entry, found) if entry.total is not None]
        return LogState(epoch.decode() if epoch else None, int(appended or 0), next(iter(readable), None))

    def read(self, position: str, *, max_events: int, block_ms: int) -> list[Entry]:
        """Whole entries after the position, up to `max_events` events but at least one entry.

        Empty if none came within `block_ms`. Where they do not fill a batch, more are awaited for a moment:
        a transaction costs about the same for one event as for a hundred.
        """
        self._fill(position, max_events, block_ms)
        if self._ahead and not self._has_enough(max_events):
            time.sleep(min(block_ms, LINGER_MS) / 1000)
            self._fill(position, max_events, 0)
        return self._take(max_events)

    def read_enough(self, position: str, *, max_events: int) -> list[Entry]:
        """The same without waiting; empty if the log does not hold enough yet to be worth a batch."""
        self._fill(position, max_events, 0)
        return self._take(max_events) if self._has_enough(max_events) else []

    def _has_enough(self, max_events: int) -> bool:
        return sum(entry.num_events for entry in self._ahead) * FULL_ENOUGH >= max_events

    def _take(self, max_events: int) -> list[Entry]:
        taken = num_events = 0
        while taken < len(self._ahead):
            num_events += self._ahead[taken].num_events
            if taken > 0 and num_events > max_events:
                break
            taken += 1
        entries, self._ahead = self._ahead[:taken], self._ahead[taken:]
        return entries

    def between(self, after: str, until: str) -> list[Entry]:
        """The entries after one position up to another, as far as the log still holds them."""
        found = cast(list[Any], self._client.xrange(self._keys.log, f"({after}", until))
        return [_entry(item) for item in found]

    def forget(self) -> None:
        """Drop what was read ahead, when the position moved elsewhere."""
        self._ahead = []

    def _fill(self, position: str, max_events: int, block_ms: int) -> None:
        """Read on until a batch is full, waiting only for its first entry."""
        while (num_ahead := sum(entry.num_events for entry in self._ahead)) < max_events:
            # What is read is held in memory, so it should fill the batch and not much more.
            average = max(1, num_ahead // len(self._ahead)) if self._ahead else FIRST_GUESS
            after = self._ahead[-1].entry_id if self._ahead else position
            count = max(1, -(-(max_events - num_ahead) // average))
            block = None if self._ahead else block_ms or None
            reply = cast(list[Any], self._client.xread({self._keys.log: after}, count=count, block=block))
            found = [_entry(item) for _, items in reply for item in items]
            self._ahead += found
            if len(found) < count:
                return


def _entry(item: tuple[bytes, dict[bytes, bytes]]) -> Entry:
    entry_id, fields = item
    try:
        request_id = fields.get(b"r", b"").decode(errors="replace")
        return Entry(entry_id.decode(), int(fields[b"n"]), int(fields[b"t"]), fields[b"c"], request_id)
    except (KeyError, ValueError, TypeError):
        return Entry(entry_id.decode(), 0, None, msgspec.msgpack.encode(fields))
