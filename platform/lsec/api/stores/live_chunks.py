"""What the live feed passes on: places in the log, their tokens, and entries whose events were read once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from graph_schema.events import Event
from lsec.core.errors import InvalidInput
from lsec.core.event_log import decode_chunk, decode_event, position_key, split_chunk

_TOKEN_PART = re.compile(r"([0-9]{1,3}):([0-9]{1,18}-[0-9]{1,18})\.([0-9]{1,18})")
_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Place:
    """How far a listener is in a shard: the entry read last, and the number of the shard's events seen.

    The number tells how much of the entry was seen, and whether the next entry follows on.
    """

    entry_id: str
    num_events: int


def parse_token(token: str) -> dict[int, Place]:
    """The places of a resume token such as `0:1769860800000-0.41,1:1769860800003-0.7`; InvalidInput."""
    parts = [_TOKEN_PART.fullmatch(part) for part in token.split(",")]
    if not all(parts):
        raise InvalidInput(
            f"The last event id {token[:_MAX_SHOWN]!r} is none of this feed.",
            remedy="Send an `id:` as it came, or none to begin now.",
            field="last_event_id",
        )
    return {int(part[1]): Place(part[2], int(part[3])) for part in parts if part}


def token_of(places: Mapping[int, Place]) -> str:
    """The resume token of the places."""
    return ",".join(f"{shard}:{place.entry_id}.{place.num_events}" for shard, place in places.items())


@dataclass(frozen=True, slots=True)
class Wanted:
    """The events that a listener wants: of one of the types, if there are any, and of each field's ids."""

    types: frozenset[str] = frozenset()
    ids: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def takes(self, event: Event) -> bool:
        """Whether it is one of them."""
        if self.types and event.__struct_config__.tag not in self.types:
            return False
        return all(getattr(event, name, "") in ids for name, ids in self.ids.items())


@dataclass(frozen=True, slots=True)
class Chunk:
    """An entry of the log, decoded once for all listeners; None stands for an event that cannot be read."""

    shard: int
    entry_id: str
    num_before: int
    """The shard's events before it."""
    events: list[Event | None]
    _messages: dict[int, bytes] = field(default_factory=dict)

    def is_after(self, place: Place) -> bool:
        """Whether some of it lies after the place."""
        here, there = position_key(self.entry_id), position_key(place.entry_id)
        return here > there or (here == there and self.num_before + len(self.events) > place.num_events)

    def message(self, index: int) -> bytes:
        """The name and data of an event's message, made when first asked for."""
        if index not in self._messages:
            event = self.events[index]
            assert event is not None
            name, data = str(event.__struct_config__.tag), msgspec.json.encode(event)
            self._messages[index] = b"event: %s\ndata: %s\n\n" % (name.encode(), data)
        return self._messages[index]


def read_chunk(shard: int, entry_id: bytes, fields: Mapping[bytes, Any]) -> Chunk | None:
    """An entry as it lies in the log; None if it is damaged, which the dead letters tell."""
    try:
        num_events, total, chunk = int(fields[b"n"]), int(fields[b"t"]), fields[b"c"]
        events = _events(chunk, num_events)
    except (KeyError, ValueError):
        return None
    return Chunk(shard, entry_id.decode(), total - num_events, events)


def _events(chunk: bytes, num_events: int) -> list[Event | None]:
    try:
        return list(decode_chunk(chunk, num_events))
    except ValueError:
        return [_event(payload) for payload in split_chunk(chunk, num_events)]


def _event(payload: bytes) -> Event | None:
    try:
        return decode_event(payload)
    except ValueError:
        return None
