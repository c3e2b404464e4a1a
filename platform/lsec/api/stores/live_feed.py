"""The live feed: what the log takes in, for whoever listens, from any place that the log still holds."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from typing import Any, TypeVar

import orjson
import redis.asyncio
from redis.exceptions import RedisError

from graph_schema.events import Event
from lsec.api.stores.live_chunks import Chunk, Place, Wanted, parse_token, read_chunk, token_of
from lsec.core.errors import Overloaded, RateLimited
from lsec.core.event_log import START_POSITION, LogKeys, position_key
from lsec.core.settings import Settings

READ_ENTRIES = 16
"""Entries read at once for all: each may be as large as a request."""
LISTENER_ENTRIES = 4
"""Entries read at once for one listener that is behind."""
MAX_READS = 3
"""Listeners read the log so many at a time, for appends use the same connections."""
EVENTS_PER_TURN = 256
"""Requests are answered after so many events of a listener's."""
BLOCK_MS = 1_000
RETRY_S = 0.5
MAX_WAITING_EVENTS = 10_000
"""A listener that is further behind reads the log itself."""
MAX_LISTENERS = 200
MAX_LISTENERS_OF_KEY = 20
RETRY_AFTER_S = 30
RECONNECT_MS = 1_000
PLACE_EVERY_S = 15.0
"""A listener that wants nothing of what comes is told so often how far it is."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class Queue:
    """Chunks that wait for one listener; when they are too many, they go and it must read the log."""

    def __init__(self, *, key_id: str = "") -> None:
        self.key_id = key_id
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

    def __init__(
        self,
        client: redis.asyncio.Redis,
        settings: Settings,
        *,
        leaving: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._client = client
        self._leaving = leaving
        self._keys = [LogKeys(shard) for shard in range(settings.shards)]
        self._queues: set[Queue] = set()
        # The client's dict is invariant in the types that it takes for a key and a place.
        self._ends: dict[bytes | str | memoryview, int | bytes | str | memoryview] = {}
        self._is_wanted = asyncio.Event()
        self._is_reading = asyncio.Event()
        self._reads = asyncio.Semaphore(MAX_READS)

    @property
    def num_listeners(self) -> int:
        """How many listen now."""
        return len(self._queues)

    def listener(self, wanted: Wanted, *, key_id: str, token: str = "") -> "Listener":
        """A listener from the token's place on, or from now; InvalidInput if it is no token.

        RateLimited if the key has too many.
        """
        if [queue.key_id for queue in self._queues].count(key_id) >= MAX_LISTENERS_OF_KEY:
            raise RateLimited(
                f"{MAX_LISTENERS_OF_KEY} listen with this key already.", retry_after_s=RETRY_AFTER_S
            )
        if self.num_listeners >= MAX_LISTENERS:
            raise Overloaded(f"{MAX_LISTENERS} listen already.", retry_after_s=RETRY_AFTER_S)
        places = parse_token(token) if token else {}
        known = {shard: place for shard, place in places.items() if shard < len(self._keys)}
        return Listener(self, wanted, known, key_id=key_id)

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

    def hides(self, event: Event) -> bool:
        """Whether it is of a user who is to be forgotten, of whom nothing is shown."""
        return getattr(event, "user_id", "") in self._leaving()

    def join(self, key_id: str) -> Queue:
        """A queue that gets every chunk appended after `reading` has returned."""
        queue = Queue(key_id=key_id)
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

    async def read(self, shard: int, start: str) -> tuple[list[Chunk], str | None]:
        """A page of what the log holds from `start` on, and the start of the next; None at the end."""
        chunks = []
        async with self._reads:
            found: Any = await self._client.xrange(self._keys[shard].log, min=start, count=LISTENER_ENTRIES)
            for entry_id, fields in found:
                chunk = read_chunk(shard, entry_id, fields)
                if chunk is not None:
                    chunks.append(chunk)
                await asyncio.sleep(0)
        return chunks, f"({found[-1][0].decode()}" if found else None


class Listener:
    """One client's way through the log."""

    def __init__(self, feed: LiveFeed, wanted: Wanted, places: dict[int, Place], *, key_id: str) -> None:
        self._feed = feed
        self._wanted = wanted
        self._places = places
        self._key_id = key_id

    async def messages(self) -> AsyncIterator[bytes]:
        """Server-sent messages, those of an entry together, for ever."""
        queue = self._feed.join(self._key_id)
        try:
            await self._feed.reading()
            ends = await keep_trying(self._feed.ends)
            yield self._begin(ends)
            told_at = time.monotonic()
            async for chunk in self._chunks(queue):
                text = await self._pass(chunk)
                if not text and time.monotonic() - told_at > PLACE_EVERY_S:
                    # Else it would come back to where it last got something, and read all again.
                    text = b"id: %s\n\n" % token_of(self._places).encode()
                if text:
                    yield text
                    told_at = time.monotonic()
        finally:
            self._feed.leave(queue)

    async def _chunks(self, queue: Queue) -> AsyncIterator[Chunk]:
        """What the log holds, then what is appended, and again after the queue has overflowed.

        The queue gets all that comes after what is read of the log; what is in both, `_pass` tells.
        """
        while True:
            async for chunk in self._logged():
                yield chunk
            while (new := await queue.get()) is not None:
                yield new

    async def _logged(self) -> AsyncIterator[Chunk]:
        """What the log holds after the listener's places, a page of each shard in turn."""
        starts = {shard: place.entry_id for shard, place in self._places.items()}
        is_end = False
        while not is_end:
            is_end = True
            for shard, start in list(starts.items()):
                chunks, following = await keep_trying(partial(self._feed.read, shard, start))
                for chunk in chunks:
                    yield chunk
                if following is not None:
                    starts[shard], is_end = following, False

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
        return b"retry: %d\nid: %s\n\n" % (RECONNECT_MS, token_of(self._places).encode()) + gaps

    async def _pass(self, chunk: Chunk) -> bytes:
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
        messages = []
        for index in range(max(0, place.num_events - chunk.num_before), len(chunk.events)):
            event = chunk.events[index]
            if event is not None and self._wanted.takes(event) and not self._feed.hides(event):
                messages.append(b"%s%d\n%s" % (head, chunk.num_before + index + 1, chunk.message(index)))
            if index % EVENTS_PER_TURN == EVENTS_PER_TURN - 1:
                await asyncio.sleep(0)
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
