"""The graph's purchases and touches as columns for the estimators, fetched in few big records."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import numpy as np

from graph_schema.queries import load_query
from lsec.api.dependencies import FIRST_MOMENT
from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S, Graph
from lsec.core.errors import InvalidInput
from lsec.influence.paths import IN_STREAM, Window
from lsec.influence.rows import Int64, Purchases, Touches, TouchKind

USERS_AT_ONCE = 5000
"""A record holds so many users' rows: read at once it keeps the event loop for some milliseconds."""
STREAMERS_AT_ONCE = 20
"""A record holds so many streamers' views."""
QUERIES_AT_ONCE = 2
"""An estimate keeps the graph so busy at most: whatever else is asked there has room beside it."""
MAX_ROWS = 20_000_000
"""Touches of one estimate: their columns take 41 bytes each."""
LONGEST_STREAM = timedelta(days=1)
"""An in-stream window reaches back so far before the first purchase."""

_Chunk: TypeAlias = dict[str, Int64]

_QUERIES = {
    TouchKind.FOLLOW: "touches/follows",
    TouchKind.WATCH: "touches/watched",
    TouchKind.VIEW: "touches/viewed",
    TouchKind.ENGAGE: "touches/engaged",
}


@dataclass(frozen=True, slots=True)
class Streamers:
    """Ids and names of all streamers by their dense index."""

    ids: dict[int, str]
    names: dict[int, str]

    @property
    def indexes(self) -> dict[str, int]:
        return {id_: index for index, id_ in self.ids.items()}


async def all_streamers(graph: Graph) -> Streamers:
    """Every streamer of the graph."""
    found = await graph.lists("touches/streamers", timeout_s=ANALYSIS_TIMEOUT_S)
    return Streamers(
        dict(zip(found["index"], found["id"], strict=True)),
        dict(zip(found["index"], found["name"], strict=True)),
    )


async def num_users(graph: Graph) -> int:
    """How many dense indexes are given to users."""
    bounds = await graph.rows("export/index_bounds", timeout_s=ANALYSIS_TIMEOUT_S)
    return next((int(row["next"]) for row in bounds if row["label"] == "User"), 0)


async def product_categories(graph: Graph) -> Int64:
    """A row for the category of each product, by the product's dense index; -1 for none."""
    found = await graph.lists("touches/categories", timeout_s=ANALYSIS_TIMEOUT_S)
    categories = np.full(max(found["index"], default=-1) + 1, -1)
    categories[found["index"]] = Rows().of(found["category"])
    return categories


async def visitors(graph: Graph, streamer_id: str, *, since: datetime, until: datetime) -> Int64:
    """The users who watched a streamer within [since, until), by their dense indexes, ascending."""
    found = await graph.lists(
        "touches/visitors",
        timeout_s=ANALYSIS_TIMEOUT_S,
        streamer_id=streamer_id,
        since=since,
        until=until,
    )
    return np.sort(np.array(found["user"], np.int64))


def touched_since(since: datetime, window: Window) -> datetime:
    """From when on a touch may be on the path of a purchase at or after `since`."""
    reach = LONGEST_STREAM if window == IN_STREAM else window
    return since - min(reach, since - FIRST_MOMENT)


async def purchases_and_touches(
    graph: Graph,
    streamers: Streamers,
    *,
    since: datetime,
    until: datetime,
    touches_since: datetime,
    follows_since: datetime,
    category: str = "",
    in_stream: bool = False,
    in_shop: bool = False,
    buyers_only: bool = False,
    users: Int64 | None = None,
) -> tuple[Purchases, Touches]:
    """The purchases in [since, until), and the touches from their times on and before `until`.

    Rows of users, products and streamers are their dense indexes. `in_stream` leaves out what happened
    outside any stream, follows too, and tells streams apart, which are -1 otherwise; `in_shop` adds the
    views without a streamer. Of all users, or of those in `users`, ascending. InvalidInput past MAX_ROWS.
    """
    fetched = _Fetched(streamers)
    asked = {"until": until, "in_stream": in_stream, "in_shop": in_shop, "category": category}
    views_by_user = in_shop or buyers_only
    for chosen in _ranges(await num_users(graph), users):
        asked |= chosen
        chunk = await _chunk(graph, "touches/purchases", asked | {"since": since})
        buyers = sorted(set(chunk["user"]))
        fetched.bought.append(fetched.columns(chunk))
        if buyers_only and not buyers:
            continue
        if buyers_only:
            asked["users"] = buyers
        wanted = {TouchKind.WATCH, TouchKind.ENGAGE}
        wanted |= set() if in_stream else {TouchKind.FOLLOW}
        wanted |= {TouchKind.VIEW} if views_by_user else set()
        since_of = dict.fromkeys(TouchKind, touches_since) | {TouchKind.FOLLOW: follows_since}
        await asyncio.gather(
            *(
                fetched.fetch(graph, kind, _QUERIES[kind], asked | {"since": since_of[kind]})
                for kind in wanted
            )
        )
    if not views_by_user:
        await fetched.fetch_views(graph, asked | {"since": touches_since})
    return _as_purchases(fetched.bought), _as_touches(fetched.touched)


def _ranges(num: int, users: Int64 | None) -> Iterator[dict[str, Any]]:
    """Ranges of dense indexes, each with those of `users` that are in it: a range without any is left out."""
    for start in range(0, num, USERS_AT_ONCE):
        stop, inside = start + USERS_AT_ONCE, None
        if users is not None:
            inside = users[slice(*np.searchsorted(users, (start, stop)))].tolist()
        if inside is None or inside:
            yield {"start": start, "stop": stop, "users": inside}


async def _chunk(graph: Graph, query: str, asked: dict[str, Any]) -> dict[str, list[Any]]:
    used = {name: asked[name] for name in load_query(query).parameters}
    return await graph.lists(query, timeout_s=ANALYSIS_TIMEOUT_S, **used)


class _Fetched:
    """Purchases and touches as they come, record by record."""

    def __init__(self, streamers: Streamers) -> None:
        self._streamers = {"": -1} | streamers.indexes
        self._streams = Rows()
        self._num_touches = 0
        self._turns = asyncio.Semaphore(QUERIES_AT_ONCE)
        self.bought: list[_Chunk] = []
        self.touched: dict[TouchKind, list[_Chunk]] = {kind: [] for kind in TouchKind}

    async def fetch(self, graph: Graph, kind: TouchKind, query: str, asked: dict[str, Any]) -> None:
        """Keep the touches of a query; InvalidInput past MAX_ROWS."""
        async with self._turns:
            chunk = await _chunk(graph, query, asked)
            self._num_touches += len(chunk["at"])
            if self._num_touches > MAX_ROWS:
                raise InvalidInput(
                    f"There are more than {MAX_ROWS:,} touches to look at.",
                    remedy="Ask for a shorter window.",
                )
            self.touched[kind].append(self.columns(chunk))

    async def fetch_views(self, graph: Graph, asked: dict[str, Any]) -> None:
        """Keep the views with any streamer, of some streamers at a time."""
        starts = range(0, max(self._streamers.values()) + 1, STREAMERS_AT_ONCE)
        for first in starts[::QUERIES_AT_ONCE]:
            parts = range(first, first + QUERIES_AT_ONCE * STREAMERS_AT_ONCE, STREAMERS_AT_ONCE)
            of_parts = [asked | {"start": start, "stop": start + STREAMERS_AT_ONCE} for start in parts]
            await asyncio.gather(
                *(self.fetch(graph, TouchKind.VIEW, "touches/viewed_with", each) for each in of_parts)
            )

    def columns(self, chunk: dict[str, list[Any]]) -> _Chunk:
        """A record's lists as columns, with rows for ids; -1 for a streamer who has come since."""
        columns = {name: values for name, values in chunk.items() if name not in ("stream", "streamer_id")}
        if "streamer_id" in chunk:
            columns["streamer"] = [self._streamers.get(id_, -1) for id_ in chunk["streamer_id"]]
        arrays = {name: np.array(values, np.int64) for name, values in columns.items()}
        return arrays | {"stream": self._streams.of(chunk["stream"])}


class Rows:
    """A row for each id, in the order of their coming; -1 for ''."""

    def __init__(self) -> None:
        self._rows = {"": -1}

    def of(self, ids: Sequence[str]) -> Int64:
        rows = self._rows
        return np.fromiter((rows.setdefault(id_, len(rows) - 1) for id_ in ids), np.int64, len(ids))


def _joined(chunks: list[_Chunk], name: str) -> Int64:
    return np.concatenate([np.zeros(0, np.int64), *(chunk[name] for chunk in chunks)])


def _as_purchases(chunks: list[_Chunk]) -> Purchases:
    plain = ("user", "product", "streamer", "stream", "at", "amount", "quantity")
    is_refunded = _joined(chunks, "is_refunded").astype(np.bool_)
    return Purchases(**{name: _joined(chunks, name) for name in plain}, is_refunded=is_refunded)


def _as_touches(by_kind: dict[TouchKind, list[_Chunk]]) -> Touches:
    chunks = [chunk for kind in by_kind for chunk in by_kind[kind]]
    counts = [sum(len(chunk["at"]) for chunk in by_kind[kind]) for kind in by_kind]
    plain = ("user", "streamer", "at", "product", "stream")
    return Touches(
        **{name: _joined(chunks, name) for name in plain},
        kind=np.repeat(np.array(list(by_kind), np.int8), counts),
    )
