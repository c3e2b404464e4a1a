"""Audiences, their purchases and watching as columns for the estimators, and streamers' released vectors."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graph_schema.queries import load_query
from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S, Graph
from lsec.api.stores.touches import MAX_ROWS, USERS_AT_ONCE, Rows, num_users
from lsec.core.errors import InvalidInput
from lsec.influence.audience import Watching
from lsec.influence.rows import Int64, Purchases

Audience: TypeAlias = Literal["followers", "watchers", "buyers"]
AUDIENCES: tuple[Audience, ...] = ("followers", "watchers", "buyers")


@dataclass(frozen=True, slots=True)
class Following:
    """A streamer's followers and their ids, what was watched, and the streams: started_at, ended_at in ms."""

    followers: Int64
    ids: list[str]
    watching: Watching
    streams: tuple[Int64, Int64]


async def columns_by_users(
    graph: Graph, query: str, *, streams: Rows | None = None, **asked: Any
) -> dict[str, Int64]:
    """The columns of a named query that answers a range of users with one record of lists, of all users.

    A column of streams gets rows from `streams`. InvalidInput past MAX_ROWS.
    """
    names = load_query(query).columns
    streams = streams or Rows()
    chunks: dict[str, list[Int64]] = {name: [np.zeros(0, np.int64)] for name in names}
    num_rows = 0
    for start in range(0, await num_users(graph), USERS_AT_ONCE):
        found = await graph.lists(
            query, timeout_s=ANALYSIS_TIMEOUT_S, start=start, stop=start + USERS_AT_ONCE, **asked
        )
        for name, values in found.items():
            chunks[name].append(streams.of(values) if name == "stream" else np.array(values, np.int64))
        num_rows += len(found[names[0]])
        if num_rows > MAX_ROWS:
            raise InvalidInput(
                f"There are more than {MAX_ROWS:,} rows to look at.", remedy="Ask for a shorter window."
            )
    return {name: np.concatenate(parts) for name, parts in chunks.items()}


async def audience_pairs(
    graph: Graph,
    audience: Audience,
    *,
    window: dict[str, datetime],
    category: str,
    streamers: dict[str, int],
) -> tuple[Int64, Int64]:
    """The dense indexes of those streamers[E] and of the users[E] in their audiences, each pair once."""
    asked: dict[str, Any] = window | {"category": category, "streamers": streamers}
    query = f"audience/{audience}"
    used = {name: asked[name] for name in load_query(query).parameters if name in asked}
    columns = await columns_by_users(graph, query, **used)
    # Streamers may have come meanwhile.
    is_asked = columns["streamer"] <= max(streamers.values())
    return columns["streamer"][is_asked], columns["user"][is_asked]


async def members_of(
    graph: Graph, streamer_id: str, *, window: dict[str, datetime], category: str
) -> dict[Audience, Int64]:
    """The users in each audience of a streamer whom the graph knows, by their dense indexes."""
    found = await graph.lists(
        "audience/members",
        timeout_s=ANALYSIS_TIMEOUT_S,
        streamer_id=streamer_id,
        category=category,
        **window,
    )
    return {audience: np.array(found[audience], np.int64) for audience in AUDIENCES}


async def purchases_beside(
    graph: Graph, first: str, second: str, *, window: dict[str, datetime], category: str
) -> Purchases:
    """All that the buyers of two streamers bought with any: the streamer is 0, 1, or 2 for all others."""
    found = await graph.lists(
        "audience/purchases",
        timeout_s=ANALYSIS_TIMEOUT_S,
        first=first,
        second=second,
        category=category,
        **window,
    )
    user, streamer, amount = (np.array(found[name], np.int64) for name in ("user", "streamer", "amount"))
    none, one = np.full_like(user, -1), np.ones_like(user)
    return Purchases(user, none, streamer, none, none, amount, one, np.zeros(len(user), np.bool_))


async def following_of(
    graph: Graph, streamer_id: str, *, since: datetime, recent: dict[str, datetime]
) -> Following:
    """Who followed a known streamer when the recent window began; what was watched from `since` on."""
    found = await graph.lists(
        "audience/watching",
        timeout_s=ANALYSIS_TIMEOUT_S,
        streamer_id=streamer_id,
        followed_until=recent["since"],
        since=since,
        until=recent["until"],
    )
    ids = found.pop("follower_id")
    columns = {name: np.array(values, np.int64) for name, values in found.items()}
    watchers = columns["watcher"]
    watching = Watching(watchers, np.zeros_like(watchers), columns["at"], columns["seconds"])
    streams = (columns["started_at"], columns["ended_at"])
    return Following(columns["follower"], ids, watching, streams)


async def streamer_vectors(graph: Graph, release_id: str) -> tuple[list[str], NDArray[np.float64]]:
    """The ids of the streamers of whom a release has vectors in the graph, and those [S, D]."""
    found = await graph.lists("audience/vectors", timeout_s=ANALYSIS_TIMEOUT_S, release_id=release_id)
    return found["streamer_id"], np.array(found["vector"], np.float64)
