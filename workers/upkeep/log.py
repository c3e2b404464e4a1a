"""The event log's part in an erasure: its event goes in, and it is seen when the user is out.

The log is trimmed by whole nodes of its stream, by the ingester and here: a single entry that is deleted
stays in its node's bytes, in memory and in files, unseen. So what cannot be read is not there either.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, cast

import msgspec
import redis

from graph_schema.events import UserErased
from lsec.core.event_log import (
    APPEND_SCRIPT,
    START_POSITION,
    LogKeys,
    append_arguments,
    decode_event,
    entry_id_ms,
    parse_append_reply,
    parse_committed,
    split_chunk,
)
from lsec.core.settings import Settings
from workers.ingest.ingester import CHANGES_KEPT_MS

CHUNKS_PER_READ = 50
POLL_S = 0.1
EMPTY_SCRIPT = """#!lua
-- Empties a stream if its last entry is still the given one.
-- KEYS: stream. ARGV: entry id.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if #last == 1 and last[1][1] == ARGV[1] then
  return redis.call('XTRIM', KEYS[1], 'MAXLEN', 0)
end
return 0
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the graph is in a shard of the log."""

    appended: int
    committed: int


class UpkeepLog:
    """The log's server as the upkeep sees it."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        # The client's stubs leave open whether replies are text, bytes or awaitable.
        self._client: Any = client
        self._settings = settings
        self._append = client.register_script(APPEND_SCRIPT)
        self._empty = client.register_script(EMPTY_SCRIPT)
        self._shards = [LogKeys(shard) for shard in range(settings.shards)]

    def append(self, event: UserErased, *, shard: int) -> int:
        """Put an event into the log, if it is not there; its running number, or a later one."""
        keys, arguments = append_arguments([event], shard=shard, window_s=self._settings.dedup_window_s)
        return parse_append_reply(cast(list[object], self._append(keys=keys, args=arguments))).total

    def progress(self, shard: int) -> Progress:
        """How much of a shard is in the graph."""
        keys = LogKeys(shard)
        committed = parse_committed(self._client.hgetall(keys.committed))
        return Progress(int(self._client.get(keys.appended) or 0), committed.total)

    def last_held(self, users: Mapping[str, date]) -> dict[str, int]:
        """Of users with the last day to be erased, those whom the log still holds, and of when (ms)."""
        needles = {user_id: msgspec.msgpack.encode(user_id) for user_id in users}
        held: dict[str, int] = {}
        for keys in self._shards:
            for entry_id, fields in self._entries(keys.log):
                chunk = fields.get(b"c", b"")
                for user_id in [each for each, needle in needles.items() if needle in chunk]:
                    if _holds(chunk, fields.get(b"n", b"0"), user_id, users[user_id]):
                        held[user_id] = entry_id_ms(entry_id)
        return held

    def oldest_change_ms(self) -> int | None:
        """When the oldest change was told that is still kept; None if there is none."""
        oldest = [
            entry_id_ms(entry_id.decode())
            for keys in self._shards
            for entry_id, _ in self._client.xrange(keys.changes, count=1)
        ]
        return min(oldest, default=None)

    def empty_idle(self) -> None:
        """Empty streams of which nothing is needed: with few entries, no whole node would ever go."""
        seconds, microseconds = self._client.time()
        now_ms = seconds * 1000 + microseconds // 1000
        for keys in self._shards:
            committed = parse_committed(self._client.hgetall(keys.committed)).position
            kept_ms = self._settings.log_retention_s * 1000
            if (last := self._last(keys.log)) == committed and entry_id_ms(last) < now_ms - kept_ms:
                self._empty(keys=[keys.log], args=[last])
            if (last := self._last(keys.changes)) and entry_id_ms(last) < now_ms - CHANGES_KEPT_MS:
                self._empty(keys=[keys.changes], args=[last])

    def rewrite_files(self, *, timeout_s: float) -> bool:
        """Have the append-only file written anew from what is in memory; whether that is done."""
        deadline = time.monotonic() + timeout_s
        if not self._client.info("persistence")["aof_enabled"]:
            return True
        if not self._await_rewrite(deadline):
            return False
        self._client.bgrewriteaof()
        return self._await_rewrite(deadline) and self._rewrite_state()["aof_last_bgrewrite_status"] == "ok"

    def _await_rewrite(self, deadline: float) -> bool:
        """Whether no rewriting goes on before the deadline."""
        while time.monotonic() < deadline:
            state = self._rewrite_state()
            if not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]:
                return True
            time.sleep(POLL_S)
        return False

    def _rewrite_state(self) -> dict[str, Any]:
        return cast(dict[str, Any], self._client.info("persistence"))

    def _last(self, stream: str) -> str:
        """The id of a stream's last entry, '' for an empty one."""
        found = self._client.xrevrange(stream, count=1)
        return found[0][0].decode() if found else ""

    def _entries(self, stream: str) -> Iterator[tuple[str, dict[bytes, bytes]]]:
        after = START_POSITION
        while entries := self._client.xrange(stream, f"({after}", count=CHUNKS_PER_READ):
            for entry_id, fields in entries:
                after = entry_id.decode()
                yield after, fields


def _holds(chunk: bytes, num_events: bytes, user_id: str, until: date) -> bool:
    """Whether a chunk has an event of the user's of that day or before; so it does if it is damaged."""
    try:
        events = [decode_event(payload) for payload in split_chunk(chunk, int(num_events))]
    except ValueError:
        return True
    return any(is_erased(event, user_id, until) for event in events)


def is_erased(event: Any, user_id: str, until: date) -> bool:
    """Whether an erasure of the user up to a day takes the event."""
    at: datetime = event.at
    return getattr(event, "user_id", "") == user_id and day_of(at) <= until


def day_of(at: datetime) -> date:
    """The UTC day of a moment."""
    return at.astimezone(UTC).date()
