"""The durable event log: appending, waiting for commits, and the measure of its load."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import cast

import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from graph_schema.events import Event
from lsec.core.errors import Overloaded, Unavailable
from lsec.core.event_log import (
    APPEND_SCRIPT,
    SHARDS_KEY,
    START_POSITION,
    AppendResult,
    Committed,
    LogKeys,
    append_arguments,
    entry_id_ms,
    parse_append_reply,
    parse_committed,
)
from lsec.core.settings import MIB, Settings

FOLLOW_BLOCK_MS = 1_000
"""The commits are read again after this long at the latest, should a change have gone unheard."""
LOAD_EVERY_S = 1.0
RETRY_AFTER_S = 5
MAX_CONNECTIONS = 64
CHUNKS_PER_READ = 50

_News = list[tuple[bytes, list[tuple[bytes, object]]]]
"""An XREAD reply: streams with their new entries."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShardLag:
    """How far the graph is behind one shard of the log."""

    shard: int
    appended: int
    committed: int
    position: str
    backlog_events: int
    age_s: float
    """Seconds since the oldest uncommitted chunk was appended; 0 when there is none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event is in the log: its number in its shard, and whether the graph is past it."""

    shard: int
    number: int
    is_committed: bool


def open_log(settings: Settings) -> redis.asyncio.Redis:
    """A client of the log's server. A request fails after one quick retry: producers retry better."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.log_url.get_secret_value(),
        max_connections=MAX_CONNECTIONS,
        timeout=10,
        socket_timeout=10,
        socket_connect_timeout=2,
        protocol=2,  # replies to XREAD are lists, as `follow` reads them
        retry=Retry(NoBackoff(), 1),
    )
    return redis.asyncio.Redis.from_pool(pool)


class EventLog:
    """Appends events and knows what is committed; `follow` and `watch_load` run in the background."""

    def __init__(self, client: redis.asyncio.Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._append = client.register_script(APPEND_SCRIPT)
        self._keys = [LogKeys(shard) for shard in range(settings.shards)]
        self._committed_totals = dict.fromkeys(range(settings.shards), 0)
        self._moved = asyncio.Event()
        self._appended_totals = dict.fromkeys(range(settings.shards), 0)
        self._used_memory_bytes = 0
        self._has_shards = False

    async def append(self, events: Sequence[Event], *, shard: int, request_id: str = "") -> AppendResult:
        """Append what is new of at most MAX_CHUNK_EVENTS as one chunk; again, only what was not kept yet."""
        if not self._has_shards:
            await self._take_shards()
        window_s = self._settings.dedup_window_s
        keys, arguments = append_arguments(events, shard=shard, window_s=window_s, request_id=request_id)
        result = parse_append_reply(await self._append(keys=keys, args=arguments))
        # Known at once, since a second at full rate is tens of thousands of events.
        self._appended_totals[shard] = result.total
        return result

    async def _take_shards(self) -> None:
        """Write in as many shards as the settings say; Unavailable while events of another number wait.

        Two ingesters would else have a user's events at once, or nobody those of a shard that is no more.
        """
        wanted = self._settings.shards
        await self._client.set(SHARDS_KEY, wanted, nx=True)
        found = int(await self._client.get(SHARDS_KEY) or wanted)
        if found != wanted:
            shards = await self._lag([LogKeys(shard) for shard in range(max(found, wanted))])
            if waiting := sum(shard.backlog_events for shard in shards):
                raise Unavailable(
                    f"{waiting} events of a log of {found} shards are not in the graph yet; "
                    f"LSEC_SHARDS is {wanted} now.",
                    remedy=f"Start API and ingesters with LSEC_SHARDS={found} until `lsec lag` shows 0.",
                )
            await self._client.set(SHARDS_KEY, wanted)
            log.warning("The log is written in %d shards from now on; it was %d.", wanted, found)
        self._has_shards = True

    def check_load(self) -> None:
        """Overloaded if the backlog or the memory of the log's server is past its limit."""
        limit = self._settings.max_backlog_events
        backlog = sum(
            max(0, total - self._committed_totals[shard]) for shard, total in self._appended_totals.items()
        )
        if backlog > limit:
            raise Overloaded(
                f"{backlog} events wait for the graph; the limit is {limit}.",
                retry_after_s=RETRY_AFTER_S,
            )
        used_mb = self._used_memory_bytes // MIB
        if used_mb > self._settings.max_log_memory_mb:
            raise Overloaded(
                f"The event log uses {used_mb} MiB; the limit is {self._settings.max_log_memory_mb}.",
                retry_after_s=RETRY_AFTER_S,
            )

    async def wait_committed(self, totals: dict[int, int], *, timeout_s: float) -> bool:
        """Whether each shard's committed total reached its number of `totals` within the time."""
        # What was heard last may be of a log that is gone.
        await self._read_commits()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._reached(totals):
                    await self._moved.wait()
        return self._reached(totals)

    def _reached(self, totals: dict[int, int]) -> bool:
        return all(self._committed_totals[shard] >= total for shard, total in totals.items())

    async def follow(self) -> None:
        """Keep the committed totals and wake who waits for them, for ever."""
        # The client's dict is invariant in the types that it takes for a key and a place.
        streams: dict[bytes | str | memoryview, int | bytes | str | memoryview] = {
            keys.changes.encode(): "$" for keys in self._keys
        }
        while True:
            try:
                await self._read_commits()
                news = cast(_News, await self._client.xread(streams, block=FOLLOW_BLOCK_MS))
            except (RedisError, OSError):
                log.debug("the event log cannot be read", exc_info=True)
                await asyncio.sleep(LOAD_EVERY_S)
                continue
            for name, entries in news:
                streams[name] = entries[-1][0]

    async def _read_commits(self) -> None:
        for shard, committed in enumerate(await self._commits(self._keys)):
            self._committed_totals[shard] = committed.total
        # Each waiter holds the event it waits on; those that come later wait on the next one.
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _commits(self, shards: Sequence[LogKeys]) -> list[Committed]:
        async with self._client.pipeline(transaction=False) as pipe:
            for keys in shards:
                pipe.hgetall(keys.committed)
            return [parse_committed(fields) for fields in await pipe.execute()]

    async def places(self, event_id: str) -> list[Place]:
        """Where the event is, within the window; in more than one shard if a replay moved it."""
        async with self._client.pipeline(transaction=False) as pipe:
            for keys in self._keys:
                pipe.get(keys.id_prefix + event_id)
                pipe.hgetall(keys.committed)
            replies = await pipe.execute()
        return [
            Place(shard, int(number), parse_committed(committed).total >= int(number))
            for shard, (number, committed) in enumerate(zip(replies[::2], replies[1::2], strict=True))
            if number is not None
        ]

    async def watch_load(self) -> None:
        """Measure the load every second, for ever."""
        while True:
            try:
                for shard in await self.lag():
                    self._appended_totals[shard.shard] = shard.appended
                    self._committed_totals[shard.shard] = shard.committed
                self._used_memory_bytes = await self.used_memory_bytes()
            except (RedisError, OSError):
                log.debug("the event log's load cannot be measured", exc_info=True)
            await asyncio.sleep(LOAD_EVERY_S)

    async def used_memory_bytes(self) -> int:
        """What the log's server has in memory."""
        return int((await self._client.info("memory"))["used_memory"])

    async def ingest_stats(self) -> list[dict[str, int]]:
        """What the ingester of each shard has counted."""
        async with self._client.pipeline(transaction=False) as pipe:
            for keys in self._keys:
                pipe.hgetall(keys.stats)
            replies = await pipe.execute()
        return [{name.decode(): int(value) for name, value in reply.items()} for reply in replies]

    async def lag(self) -> list[ShardLag]:
        """How far the graph is behind, shard by shard."""
        return await self._lag(self._keys)

    async def _lag(self, shards: Sequence[LogKeys]) -> list[ShardLag]:
        commits = await self._commits(shards)
        async with self._client.pipeline(transaction=False) as pipe:
            for keys, committed in zip(shards, commits, strict=True):
                pipe.get(keys.appended)
                pipe.xrange(keys.log, min=f"({committed.position}", max="+", count=1)
            replies = await pipe.execute()
        now_ms = time.time() * 1000
        return [
            _shard_lag(shard, committed, replies[2 * shard], replies[2 * shard + 1], now_ms)
            for shard, committed in enumerate(commits)
        ]

    async def entries(self) -> AsyncIterator[tuple[int, bytes, dict[bytes, bytes]]]:
        """Every entry that the log holds, as `read_chunk` takes it: its shard, its id and its fields."""
        for keys in self._keys:
            after = START_POSITION
            while True:
                entries = await self._client.xrange(keys.log, f"({after}", count=CHUNKS_PER_READ)
                if not entries:
                    break
                for entry_id, fields in cast(list[tuple[bytes, dict[bytes, bytes]]], entries):
                    after = entry_id.decode()
                    yield keys.shard, entry_id, fields

    async def check(self) -> None:
        """Run a real query."""
        await self._client.get(self._keys[0].epoch)


def _shard_lag(
    shard: int,
    committed: Committed,
    appended: bytes | None,
    oldest: list[tuple[bytes, object]],
    now_ms: float,
) -> ShardLag:
    num_appended = int(appended or 0)
    age_s = max(0.0, now_ms - entry_id_ms(oldest[0][0].decode())) / 1000 if oldest else 0.0
    return ShardLag(
        shard=shard,
        appended=num_appended,
        committed=committed.total,
        position=committed.position,
        backlog_events=max(0, num_appended - committed.total),
        age_s=round(age_s, 3),
    )
