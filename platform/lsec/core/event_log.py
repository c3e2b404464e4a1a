"""The event log's keys, its append script and its codecs; every part brings its own client.

A shard's log is a stream of chunks, one a request. An entry has `n`, the events in the chunk, `t`,
the events appended to the shard up to its end, `c`, the events in msgpack one after another, and `r`, the
id of the request that brought them. `t - n` of an entry is `t` of the entry before it: that is how a
reader finds a gap.
"""

import math
import struct
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from graph_schema.events import Event

START_POSITION = "0-0"
SHARDS_KEY = "lsec:shards"
"""How many shards the log is written in: a user's events must stay in one while the graph takes them in."""
MAX_CHUNK_EVENTS = 1000
"""Of a larger request more chunks are made: a chunk is applied in one transaction, as a whole."""
MAX_CHANGES = 100_000
"""Entries that the changes stream is cut to, roughly."""
BATCH_SIZES = (1, 10, 100, 1000, 5000, 20_000, math.inf)
"""Upper bounds of the ingester's batches in events: it counts those of each apart, by `size_field`."""

APPEND_SCRIPT = """#!lua
-- Appends what is new of a request as one chunk. No flag: the server refuses the script before its
-- first write when it is out of memory, so that no id is kept without its chunk.
-- KEYS: log, epoch, appended, one id key an event.
-- ARGV: window in s, epoch if new, request id, one event each.
redis.call('SET', KEYS[2], ARGV[2], 'NX')
local total = tonumber(redis.call('GET', KEYS[3]) or '0')
local fresh, chunk, duplicates = {}, {}, {}
for i = 4, #KEYS do
  if redis.call('SET', KEYS[i], total + #fresh + 1, 'NX', 'EX', ARGV[1]) then
    fresh[#fresh + 1] = KEYS[i]
    chunk[#chunk + 1] = ARGV[i]
  else
    duplicates[#duplicates + 1] = i - 4
  end
end
if #fresh == 0 then
  return {false, 0, total, duplicates}
end
local entry = redis.pcall('XADD', KEYS[1], '*', 'n', #fresh, 't', total + #fresh, 'r', ARGV[3],
  'c', table.concat(chunk))
if type(entry) == 'table' and entry.err then
  for i = 1, #fresh do redis.call('DEL', fresh[i]) end
  return entry
end
redis.call('INCRBY', KEYS[3], #fresh)
return {entry, #fresh, total + #fresh, duplicates}
"""

_MAX_ARRAY = 2**32 - 1

_encoder = msgspec.msgpack.Encoder()
_events: msgspec.msgpack.Decoder[list[Event]] = msgspec.msgpack.Decoder(list[Event])
_raw_events = msgspec.msgpack.Decoder(list[msgspec.Raw])
_event: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_changes = msgspec.msgpack.Decoder(list[tuple[str, str]])


@dataclass(frozen=True, slots=True)
class LogKeys:
    """Names of a shard's keys; the braces keep them on one server of a cluster."""

    shard: int

    def _key(self, name: str) -> str:
        return f"lsec:{{{self.shard}}}:{name}"

    @property
    def log(self) -> str:
        """The stream of chunks."""
        return self._key("log")

    @property
    def epoch(self) -> str:
        """Identity of this log, made with it."""
        return self._key("epoch")

    @property
    def appended(self) -> str:
        """Number of events appended in all."""
        return self._key("appended")

    @property
    def committed(self) -> str:
        """Hash that mirrors the graph's position."""
        return self._key("committed")

    @property
    def stats(self) -> str:
        """Hash of what the ingester counts, for the metrics."""
        return self._key("stats")

    @property
    def changes(self) -> str:
        """Stream of what each commit changed."""
        return self._key("changes")

    @property
    def ingester(self) -> str:
        """Lease of the shard's ingester; it expires when that stops."""
        return self._key("ingester")

    @property
    def replay_prefix(self) -> str:
        """What a dead letter's id is appended to; the value is the number of its replayed event."""
        return self._key("replay:")

    @property
    def id_prefix(self) -> str:
        """What an event's id is appended to; the value is the event's number, counted from 1."""
        return self._key("id:")


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What the append script did; `duplicates` are places in the sequence that was sent.

    Once the committed total has reached `total`, all of the sequence is in the graph, its
    duplicates too. `entry_id` is None when all were duplicates.
    """

    entry_id: str | None
    num_accepted: int
    total: int
    duplicates: list[int]


@dataclass(frozen=True, slots=True)
class Committed:
    """How far the graph is: the last applied entry, the events up to it, and when."""

    position: str
    total: int
    at_ms: int


def size_field(bound: float) -> str:
    """The field of a shard's stats for batches up to this one of BATCH_SIZES and above the one before."""
    return f"size_{bound}"


def shard_of(event: Event, num_shards: int) -> int:
    """The shard of an event: all of a user's events go to one."""
    if num_shards == 1:
        return 0
    return zlib.crc32(event.shard_key.encode()) % num_shards


def append_arguments(
    events: Sequence[Event], *, shard: int, window_s: int, request_id: str = ""
) -> tuple[list[str], list[bytes | int | str]]:
    """Keys and arguments of `APPEND_SCRIPT` for the events of one shard."""
    names = LogKeys(shard)
    prefix = names.id_prefix
    keys = [names.log, names.epoch, names.appended]
    keys.extend([prefix + event.event_id for event in events])
    arguments: list[bytes | int | str] = [window_s, new_epoch(), request_id]
    arguments.extend([_encoder.encode(event) for event in events])
    return keys, arguments


def new_epoch() -> str:
    """Identity for a log that has none yet."""
    return uuid.uuid4().hex


def parse_append_reply(reply: Sequence[object]) -> AppendResult:
    """What the append script's reply means."""
    entry_id, num_accepted, total, duplicates = msgspec.convert(
        reply, tuple[bytes | None, int, int, list[int]]
    )
    return AppendResult(entry_id.decode() if entry_id else None, num_accepted, total, duplicates)


def encode_chunk(events: Sequence[Event]) -> bytes:
    """The events as the append script stores them."""
    return b"".join([_encoder.encode(event) for event in events])


def decode_chunk(chunk: bytes, num_events: int) -> list[Event]:
    """The events of a chunk; ValueError if it or one of them is damaged."""
    return _events.decode(_as_list(chunk, num_events))


def split_chunk(chunk: bytes, num_events: int) -> list[bytes]:
    """Each event's own bytes, whether it is valid or not; ValueError if they cannot be told apart."""
    return [bytes(raw) for raw in _raw_events.decode(_as_list(chunk, num_events))]


def decode_event(payload: bytes) -> Event:
    """One event of a chunk; ValueError if it is damaged."""
    return _event.decode(payload)


def _as_list(chunk: bytes, num_events: int) -> bytes:
    """The chunk behind the header of a msgpack array, so that one call decodes it."""
    # Every event has a byte at least; a number that the header has no place for is no ValueError of its own.
    if not 0 <= num_events <= min(len(chunk), _MAX_ARRAY):
        raise ValueError(f"{num_events} events cannot be in a chunk of {len(chunk)} bytes")
    return struct.pack(">BI", 0xDD, num_events) + chunk


def encode_changes(changes: Sequence[tuple[str, str]]) -> bytes:
    """(kind, id) pairs for field `c` of the changes stream."""
    return _encoder.encode(changes)


def decode_changes(payload: bytes) -> list[tuple[str, str]]:
    """The (kind, id) pairs of an entry of the changes stream."""
    return _changes.decode(payload)


def parse_committed(fields: Mapping[Any, Any]) -> Committed:
    """The committed mirror; an empty hash means that nothing was committed yet."""
    values = {_text(name): _text(value) for name, value in fields.items()}
    return Committed(
        values.get("position", START_POSITION), int(values.get("total", 0)), int(values.get("at_ms", 0))
    )


def committed_fields(committed: Committed) -> dict[str, str | int]:
    """The fields of the committed mirror."""
    return {"position": committed.position, "total": committed.total, "at_ms": committed.at_ms}


def position_key(entry_id: str) -> tuple[int, int]:
    """What positions in the log are ordered by."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def entry_id_ms(entry_id: str) -> int:
    """When an entry was appended, in ms since 1970, by the log server's clock."""
    return position_key(entry_id)[0]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
