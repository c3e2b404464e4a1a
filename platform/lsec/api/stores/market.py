"""The live market in this process: the products as the graph has them, and who has changed since the release.

Each commit of an ingester names whom and what it changed; this follows, and reads the graph anew only for
these. So a request asks nothing of the graph for a user who has not changed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import redis.asyncio
from neo4j.exceptions import DriverError, Neo4jError
from redis.exceptions import RedisError

from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S, SERVING_TIMEOUT_S, Graph
from lsec.api.stores.shoppers import Shoppers
from lsec.api.stores.streams import Streams
from lsec.core.artifact import Artifact
from lsec.core.event_log import START_POSITION, LogKeys, decode_changes
from lsec.core.settings import Settings
from lsec.serving.catalog import HIDDEN, OUT_OF_STOCK, Catalog, ProductState
from lsec.serving.shelf import Shelf

PRODUCTS_PER_READ = 5_000
PRODUCTS_PER_CHANGE = 100
ENTRIES_PER_READ = 256
CHANGES_PER_TURN = 200
"""Requests are answered after so many changes."""
BLOCK_MS = 500
RETRY_S = 0.5
MAX_SILENCE_S = 120.0
"""After so long without its stream of changes, that may have been cut: all is read anew."""

log = logging.getLogger(__name__)


class Market:
    """What is served now; `follow` keeps it so, in the background.

    `prepare` is called whenever the graph can be asked anew, before it is said to be there.
    """

    def __init__(
        self,
        graph: Graph,
        client: redis.asyncio.Redis,
        settings: Settings,
        *,
        shoppers: Shoppers,
        streams: Streams,
        prepare: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        self._graph = graph
        self._client = client
        self._shoppers = shoppers
        self._streams = streams
        self._prepare = prepare
        self._keys = [LogKeys(shard) for shard in range(settings.shards)]
        self._writing = asyncio.Lock()
        self.shelf = Shelf(None, Catalog())
        """What requests are answered from: one assignment swaps it, and a request reads it once."""
        self.away: frozenset[str] = frozenset({"graph", "log"})
        """Which services cannot be asked, or do not tell what is new: "graph", "log"."""

    async def serve(self, artifact: Artifact | None) -> None:
        """Serve another release, with the products as they are known."""
        async with self._writing:
            catalog = self.shelf.catalog
            if artifact is not None:
                catalog = await asyncio.to_thread(catalog.aligned, artifact.products)
                await self._shoppers.expect(artifact)
            shelf = Shelf(artifact, catalog)
            await asyncio.to_thread(shelf.take_in_new)
            self._shoppers.begin(shelf)
            self.shelf = shelf

    async def graph_answers(self, answers: bool) -> None:
        """Take in that the graph can be asked, or cannot; one that is back plans its queries first."""
        if answers and "graph" in self.away:
            for prepare in self._prepare:
                await prepare()
        self._is_away("graph", not answers)

    def _is_away(self, service: str, is_away: bool) -> None:
        self.away = self.away | {service} if is_away else self.away - {service}

    async def follow(self) -> None:
        """Follow the changes, for ever; while a service is away, what is known goes on."""
        while True:
            try:
                await self._follow_on()
            except (RedisError, OSError, DriverError, Neo4jError) as error:
                if isinstance(error, (RedisError, OSError)):
                    self._is_away("log", True)
                log.debug("the changes cannot be followed", exc_info=True)
                self.shelf.catalog.expire(_now_ms())
                await asyncio.sleep(RETRY_S)

    async def _follow_on(self) -> None:
        """Read all products, then what changes, until a service fails for long or the log is another."""
        epochs = await self._epochs()
        places = await self._ends()
        await self._read_products()
        self._shoppers.begin(self.shelf, is_same_graph=False)
        self._is_away("log", False)
        heard_at = time.monotonic()
        while time.monotonic() - heard_at < MAX_SILENCE_S:
            try:
                if await self._epochs() != epochs:
                    return
                news: Any = await self._client.xread(places, count=ENTRIES_PER_READ, block=BLOCK_MS)
                self.shelf.catalog.expire(_now_ms())
                for name, entries in news:
                    for place, entry in entries:
                        await self._take(_changes(entry))
                        places[name] = place
                if news:
                    await asyncio.to_thread(self.shelf.take_in_new)
            except (RedisError, OSError, DriverError, Neo4jError) as error:
                if isinstance(error, (RedisError, OSError)):
                    self._is_away("log", True)
                self.shelf.catalog.expire(_now_ms())
                await asyncio.sleep(RETRY_S)
            else:
                if time.monotonic() - heard_at > MAX_SILENCE_S:
                    return
                self._is_away("log", False)
                heard_at = time.monotonic()

    async def _epochs(self) -> list[Any]:
        """Which logs these are: with another one the graph may have been restored or emptied."""
        return list(await self._client.mget([keys.epoch for keys in self._keys]))

    async def _ends(self) -> dict[Any, Any]:
        """The last entry of each shard's stream of changes."""
        places: dict[Any, Any] = {}
        for keys in self._keys:
            last: Any = await self._client.xrevrange(keys.changes, count=1)
            places[keys.changes.encode()] = last[0][0] if last else START_POSITION
        return places

    async def _read_products(self) -> None:
        last = (await self._graph.rows("serving/last_index", timeout_s=SERVING_TIMEOUT_S))[0]["products"]
        states: list[ProductState] = []
        for start in range(0, last + 1, PRODUCTS_PER_READ):
            states += product_states(
                await self._graph.lists(
                    "serving/products",
                    timeout_s=ANALYSIS_TIMEOUT_S,
                    start=start,
                    stop=start + PRODUCTS_PER_READ,
                )
            )
        async with self._writing:
            shelf = self.shelf
            catalog = Catalog(shelf.artifact.products) if shelf.artifact else Catalog()
            await asyncio.to_thread(catalog.fill, states, now_ms=_now_ms())
            shelf = Shelf(shelf.artifact, catalog)
            await asyncio.to_thread(shelf.take_in_new)
            self.shelf = shelf

    async def _take(self, changes: Sequence[tuple[str, str]]) -> None:
        products = sorted({id_ for kind, id_ in changes if kind == "product"})
        for start in range(0, len(products), PRODUCTS_PER_CHANGE):
            await self._read_again(products[start : start + PRODUCTS_PER_CHANGE])
        for place, (kind, id_) in enumerate(changes, 1):
            if place % CHANGES_PER_TURN == 0:
                await asyncio.sleep(0)
            if kind in ("user", "shown"):
                self._shoppers.changed(id_, has_new_taste=kind == "user")
            elif kind == "stream":
                self._streams.forget(id_)

    async def _read_again(self, product_ids: Sequence[str]) -> None:
        lists = await self._graph.lists(
            "serving/changed_products", timeout_s=SERVING_TIMEOUT_S, asked={"ids": product_ids}
        )
        async with self._writing:
            catalog = self.shelf.catalog
            catalog.put(product_states(lists), now_ms=_now_ms())
            catalog.drop(set(product_ids).difference(lists["ids"]))


def product_states(lists: dict[str, list[Any]]) -> list[ProductState]:
    """The products of one record of `serving/products`."""
    columns = (lists[name] for name in ("ids", "faults", "expires_ms", "categories", "sellers"))
    return [
        ProductState(
            product_id,
            is_hidden=bool(faults & HIDDEN),
            in_stock=not faults & OUT_OF_STOCK,
            expires_ms=None if expires_ms < 0 else expires_ms,
            categories=categories,
            sellers=sellers,
        )
        for product_id, faults, expires_ms, categories, sellers in zip(*columns, strict=True)
    ]


def _changes(entry: dict[bytes, bytes]) -> list[tuple[str, str]]:
    """What an entry says; nothing if it is damaged, which must not end the process again and again."""
    try:
        return decode_changes(entry[b"c"])
    except (KeyError, ValueError, msgspec.MsgspecError):
        log.exception("an entry of the stream of changes cannot be read")
        return []


def _now_ms() -> int:
    return int(time.time() * 1000)
