"""The live feed: what the log takes in, for whoever listens, from any place that the log still holds."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import orjson
import redis.asyncio
from redis.exceptions import RedisError

from lsec.api.stores.live_chunks import Chunk, Place, Wanted, parse_token, read_chunk, token_of
from lsec.core.errors import Overloaded
from lsec.core.event_log import START_POSITION, LogKeys, position_key
from lsec.core.settings import Settings

READ_ENTRIES = 16
"""Entries read at once: each may be as large as a request."""
BLOCK_MS = 1_000
RETRY_S = 0.5
MAX_WAITING_EVENTS = 10_000
"""A listener that is further behind reads the log itself."""
MAX_LISTENERS = 200
RETRY_AFTER_S = 30
RECONNECT_MS = 1_000

T = TypeVar("T")
log = logging.getLogger(__name__)


class Queue:
    """Chunks that wait for one listener; when they are too many, they go and it must read the log."""

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque()
        self._num_events = 0
        self._overflowed = False
        self._news = asyncio.Event()

    def put(self, chunk: Chunk) -> None:
        """Add a chunk."""
        if self._num_events > MAX_WAITING_EVENTS:
            self._chunks.clear()
            self._num_events, self._overflowed = 0, True
        if not self._overflowed:
            self._chunks.append(chunk)
            self._num_events += len(chunk.events)
        self._news.set()

    async def get(self) -> Chunk | None:
        """The next chunk; None if some are gone: all that come from then on are kept again."""
        while not self._chunks and not self._overflowed:
            self._news.clear()
            await self._news.wait()
        if self._overflowed:
            self._overflowed = False
            return None
        chunk = self._chunks.popleft()
        self._num_events -= len(chunk.events)
        return chunk


class LiveFeed:
    """Reads the end of each shard's log while anybody listens; `follow` runs in the background."""

    def __init__(self, client: redis.asyncio.Redis, settings: Settings) -> None:
        self._client = client
        self._keys = [LogKeys(shard) for shard in range(settings.shards)]
        self._queues: set[Queue] = set()
        # The client's dict is invariant in the types that it takes for a key and a place.
        self._ends: dict[bytes | str | memoryview, int | bytes | str | memoryview] = {}
        self._is_wanted = asyncio.Event()
        self._is_reading = asyncio.Event()

    @property
    def num_listeners(self) -> int:
        """How many listen now."""
        return len(self._queues)

    def listener(self, wanted: Wanted, *, token: str = "") -> "Listener":
        """A listener from the token's place on, or from now; InvalidInput if it is no token."""
        if self.num_listeners >= MAX_LISTENERS:
            raise Overloaded(f"{MAX_LISTENERS} listen already.", retry_after_s=RETRY_AFTER_S)
        places = parse_token(token) if token else {}
        known = {shard: place for shard, place in places.items() if shard < len(self._keys)}
        return Listener(self, wanted, known)

    async def follow(self) -> None:
        """Give what is appended to those who listen, for ever."""
        while True:
            await self._is_wanted.wait()
            await keep_trying(self._read_on)

    async def _read_on(self) -> None:
        """Read until nobody listens; after an outage of the log's server, on from where it was."""
        if not self._ends:
            ends = await self.ends()
            self._ends = {self._keys[shard].log.encode(): end.entry_id for shard, end in ends.items()}
        shards = {keys.log.encode(): keys.shard for keys in self._keys}
        self._is_reading.set()
        while self._queues:
            news: Any = await self._client.xread(self._ends, count=READ_ENTRIES, block=BLOCK_MS)
            for name, entries in news:
                for entry_id, fields in entries:
                    chunk = read_chunk(shards[name], entry_id, fields)
                    if chunk is not None:
                        for queue in self._queues:
                            queue.put(chunk)
                    self._ends[name] = entry_id
                    # Requests are answered between chunks.
                    await asyncio.sleep(0)
        self._ends = {}
        self._is_wanted.clear()
        self._is_reading.clear()

    def join(self) -> Queue:
        """A queue that gets every chunk appended after `reading` has returned."""
        queue = Queue()
        self._queues.add(queue)
        self._is_wanted.set()
        return queue

    def leave(self, queue: Queue) -> None:
        """Give nothing more to the queue."""
        self._queues.discard(queue)

    async def reading(self) -> None:
        """Wait until the log's ends are known, from which on queues get all."""
        await self._is_reading.wait()

    async def ends(self) -> dict[int, Place]:
        """The end of each shard's log."""
        async with self._client.pipeline(transaction=True) as pipe:
            for keys in self._keys:
                pipe.get(keys.appended)
                pipe.xrevrange(keys.log, count=1)
            replies = await pipe.execute()
        return {
            shard: Place(last[0][0].decode() if last else START_POSITION, int(appended or 0))
            for shard, (appended, last) in enumerate(zip(replies[::2], replies[1::2], strict=True))
        }

    async def read(self, shard: int, place: Place) -> list[Chunk]:
        """The next entries of which some lies after the place, as far as the log holds them."""
        key = self._keys[shard].log
        found: Any = await self._client.xrange(key, min=place.entry_id, count=1 + READ_ENTRIES)
        chunks = []
        for entry_id, fields in found:
            chunk = read_chunk(shard, entry_id, fields)
            if chunk is not None and chunk.is_after(place):
                chunks.append(chunk)
            await asyncio.sleep(0)
        return chunks


class Listener:
    """One client's way through the log; `token` says how far the messages brought it."""

    def __init__(self, feed: LiveFeed, wanted: Wanted, places: dict[int, Place]) -> None:
        self._feed = feed
        self._wanted = wanted
        self._places = places
        self.token = token_of(places)

    async def messages(self) -> AsyncIterator[bytes]:
        """Server-sent messages, those of an entry together, for ever."""
        queue = self._feed.join()
        try:
            await self._feed.reading()
            ends = await keep_trying(self._feed.ends)
            yield self._begin(ends)
            async for chunk in self._chunks(queue):
                if text := self._pass(chunk):
                    yield text
                # Only now: a message that could not be sent is sent again when the client comes back.
                self.token = token_of(self._places)
        finally:
            self._feed.leave(queue)

    async def _chunks(self, queue: Queue) -> AsyncIterator[Chunk]:
        """What the log holds, then what is appended, and again after the queue has overflowed.

        The queue gets all that comes after what is read of the log; what is in both, `_pass` tells.
        """
        while True:
            for shard in list(self._places):
                while chunks := await keep_trying(partial(self._feed.read, shard, self._places[shard])):
                    for chunk in chunks:
                        yield chunk
            while (new := await queue.get()) is not None:
                yield new

    def _begin(self, ends: dict[int, Place]) -> bytes:
        """The first message: where the client is, and what it can never get."""
        gaps = b""
        for shard, end in ends.items():
            place = self._places.setdefault(shard, end)
            if place.num_events > end.num_events:
                gaps += self._gap(shard, Place(START_POSITION, 0), None)
            elif position_key(place.entry_id) > position_key(end.entry_id):
                # All of the log lies before it, if it holds anything.
                self._places[shard] = end
                if num_missed := end.num_events - place.num_events:
                    gaps += self._gap(shard, end, num_missed)
        self.token = token_of(self._places)
        return b"retry: %d\nid: %s\n\n" % (RECONNECT_MS, self.token.encode()) + gaps

    def _pass(self, chunk: Chunk) -> bytes:
        """The messages of a chunk: what is wanted of its events that were not seen yet."""
        place = self._places[chunk.shard]
        if not chunk.is_after(place):
            return b""
        text = b""
        if chunk.entry_id != place.entry_id and chunk.num_before != place.num_events:
            num_missed = chunk.num_before - place.num_events
            place = Place(chunk.entry_id, chunk.num_before)
            text = self._gap(chunk.shard, place, num_missed if num_missed > 0 else None)
        # The shard of the chunk goes last, so that the other part of all its tokens is the same.
        del self._places[chunk.shard]
        others = token_of(self._places)
        head = f"id: {others}{',' if others else ''}{chunk.shard}:{chunk.entry_id}.".encode()
        messages = [
            b"%s%d\n%s" % (head, chunk.num_before + index + 1, chunk.message(index))
            for index in range(max(0, place.num_events - chunk.num_before), len(chunk.events))
            if (event := chunk.events[index]) is not None and self._wanted.takes(event)
        ]
        self._places[chunk.shard] = Place(chunk.entry_id, chunk.num_before + len(chunk.events))
        return text + b"".join(messages)

    def _gap(self, shard: int, place: Place, num_missed: int | None) -> bytes:
        """A message that says what is missing before the place, where the listener now is."""
        self._places[shard] = place
        what = "The log was made anew." if num_missed is None else "The log no longer holds these events."
        data = orjson.dumps({"shard": shard, "num_events": num_missed, "reason": what})
        return b"id: %s\nevent: gap\ndata: %s\n\n" % (token_of(self._places).encode(), data)


async def keep_trying(action: Callable[[], Awaitable[T]]) -> T:
    """What the action gives, however long the log's server is away."""
    while True:
        try:
            return await action()
        except (RedisError, OSError):
            log.debug("the event log cannot be read", exc_info=True)
            await asyncio.sleep(RETRY_S)
