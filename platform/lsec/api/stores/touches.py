"""The graph's purchases and touches as columns for the estimators, fetched in few big records."""

from collections.abc import Sequence
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
    categories[found["index"]] = _Rows().of(found["category"])
    return categories


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
) -> tuple[Purchases, Touches]:
    """The purchases in [since, until), and the touches from their times on and before `until`.

    Rows of users, products and streamers are their dense indexes. `in_stream` leaves out what happened
    outside any stream, follows too, and tells streams apart, which are -1 otherwise; `in_shop` adds the
    views without a streamer. InvalidInput past MAX_ROWS.
    """
    streams = _Rows()
    bought: list[_Chunk] = []
    touched: dict[TouchKind, list[_Chunk]] = {kind: [] for kind in TouchKind}
    num_rows = 0
    asked = {"until": until, "in_stream": in_stream, "in_shop": in_shop, "category": category}
    asked["streamers"] = streamers.indexes
    for start in range(0, await num_users(graph), USERS_AT_ONCE):
        asked |= {"start": start, "stop": start + USERS_AT_ONCE}
        chunk = await _chunk(graph, "touches/purchases", asked | {"since": since})
        buyers = sorted(set(chunk["user"]))
        bought.append(_columns(chunk, streams))
        if buyers_only and not buyers:
            continue
        asked["users"] = buyers if buyers_only else None
        for kind, query in _QUERIES.items():
            is_follow = kind == TouchKind.FOLLOW
            if is_follow and in_stream:
                continue
            from_then = {"since": follows_since if is_follow else touches_since}
            chunk = await _chunk(graph, query, asked | from_then)
            num_rows += len(chunk["at"])
            touched[kind].append(_columns(chunk, streams))
        if num_rows > MAX_ROWS:
            raise InvalidInput(
                f"There are more than {MAX_ROWS:,} touches to look at.", remedy="Ask for a shorter window."
            )
    return _as_purchases(bought), _as_touches(touched)


async def _chunk(graph: Graph, query: str, asked: dict[str, Any]) -> dict[str, list[Any]]:
    used = {name: asked[name] for name in load_query(query).parameters}
    return await graph.lists(query, timeout_s=ANALYSIS_TIMEOUT_S, **used)


class _Rows:
    """A row for each id, in the order of their coming; -1 for ''."""

    def __init__(self) -> None:
        self._rows = {"": -1}

    def of(self, ids: Sequence[str]) -> Int64:
        rows = self._rows
        return np.fromiter((rows.setdefault(id_, len(rows) - 1) for id_ in ids), np.int64, len(ids))


def _columns(chunk: dict[str, list[Any]], streams: _Rows) -> _Chunk:
    columns = {name: np.array(values, np.int64) for name, values in chunk.items() if name != "stream"}
    return columns | {"stream": streams.of(chunk["stream"])}


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
