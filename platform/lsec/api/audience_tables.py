"""The rows of each view of an audience: nearest streamers, overlap, buyers of two, followers at risk."""

from dataclasses import fields
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from graph_schema.events import epoch_ms
from lsec.api.dependencies import FIRST_MOMENT, Services, invalid
from lsec.api.stores.active_release import active_release
from lsec.api.stores.audiences import (
    AUDIENCES,
    audience_pairs,
    following_of,
    members_of,
    purchases_beside,
    streamer_vectors,
)
from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S
from lsec.api.stores.touches import Streamers, num_users
from lsec.api.tables import Row, duration_of
from lsec.influence.audience import (
    Buyers,
    Nearest,
    buyers,
    followers_at_risk,
    nearest_by_audience,
    nearest_by_embedding,
    overlap,
    pace_of,
)
from lsec.influence.paths import window_ms

View: TypeAlias = Literal["nearest", "overlap", "buyers", "at_risk"]
Answer: TypeAlias = tuple[list[Row], dict[str, Any]]
"""Rows in no order, and what stands beside them."""

COLUMNS: Final[dict[View, tuple[str, ...]]] = {
    "nearest": ("streamer_id", "name", "similarity", "shared_users", "users"),
    "overlap": ("audience", "users", "other_users", "shared_users", "jaccard", "cosine", "lift"),
    "buyers": ("group", "buyers", "purchases", "amount"),
    "at_risk": ("user_id", "seconds_before", "seconds_recent", "seconds_expected"),
}
GROUPS: Final = tuple(field.name for field in fields(Buyers))
NO_RELEASE: Final = "no release is active, so there are no embeddings"


async def rows_of(
    services: Services, streamers: Streamers, asked: dict[str, Any], window: dict[str, datetime]
) -> Answer:
    """The rows of the view that is asked for, of streamers whom the graph knows, with details."""
    return await _ANSWERS[asked["view"]](services, streamers, asked, window)


async def _nearest(
    services: Services, streamers: Streamers, asked: dict[str, Any], window: dict[str, datetime]
) -> Answer:
    if asked["by"] == "embedding":
        return await _nearest_by_embedding(services, streamers, asked["streamer_id"])
    pairs = await audience_pairs(
        services.graph,
        asked["audience"],
        window=window,
        category=asked["category"] or "",
        streamers=streamers.indexes,
    )
    own, num = streamers.indexes[asked["streamer_id"]], max(streamers.ids) + 1
    found = await services.estimates.run(
        nearest_by_audience,
        *pairs,
        streamer=own,
        num_streamers=num,
        num_nearest=num,
        measure=asked["by"],
        min_shared=asked["min_shared"],
    )
    return _rows_of(found, streamers), {"users": int(np.sum(pairs[0] == own))}


async def _nearest_by_embedding(services: Services, streamers: Streamers, streamer_id: str) -> Answer:
    release_id = await active_release(services.graph, timeout_s=ANALYSIS_TIMEOUT_S)
    if release_id is None:
        return [], {"release_id": None, "reasons": [NO_RELEASE]}
    ids, vectors = await streamer_vectors(services.graph, release_id)
    # A release may hold streamers who are gone since, and lack those who came.
    known = [place for place, id_ in enumerate(ids) if id_ in streamers.indexes]
    ids = [ids[place] for place in known]
    if streamer_id not in ids:
        reason = f"release {release_id} has no embedding of {streamer_id}"
        return [], {"release_id": release_id, "reasons": [reason]}
    found = await services.estimates.run(
        nearest_by_embedding, vectors[known], streamer=ids.index(streamer_id), num_nearest=len(ids)
    )
    indexes = np.array([streamers.indexes[id_] for id_ in ids], np.int64)
    moved = Nearest(indexes[found.streamers], found.similarities, found.num_shared, found.num_users)
    return _rows_of(moved, streamers), {"release_id": release_id, "reasons": []}


def _rows_of(found: Nearest, streamers: Streamers) -> list[Row]:
    """A row for each of the nearest; embeddings share no users."""
    rows = zip(
        found.streamers.tolist(),
        found.similarities.tolist(),
        found.num_shared.tolist(),
        found.num_users.tolist(),
        strict=True,
    )
    return [
        _row(
            "nearest",
            streamers.ids[index],
            streamers.names[index],
            similarity,
            *(None if number < 0 else number for number in numbers),
        )
        for index, similarity, *numbers in rows
        if index in streamers.ids
    ]


async def _overlap(
    services: Services, _streamers: Streamers, asked: dict[str, Any], window: dict[str, datetime]
) -> Answer:
    category = asked["category"] or ""
    ours, theirs = [
        await members_of(services.graph, asked[field], window=window, category=category)
        for field in ("streamer_id", "other_id")
    ]
    num = await num_users(services.graph)
    rows = []
    for audience in AUDIENCES:
        found = await services.estimates.run(overlap, ours[audience], theirs[audience], num_users=num)
        sizes = (found.num_first, found.num_second, found.num_shared)
        lift = found.lift if found.num_first and found.num_second else None
        rows.append(_row("overlap", audience, *sizes, found.jaccard, found.cosine, lift))
    return rows, {"users": num}


async def _buyers(
    services: Services, _streamers: Streamers, asked: dict[str, Any], window: dict[str, datetime]
) -> Answer:
    purchases = await purchases_beside(
        services.graph,
        asked["streamer_id"],
        asked["other_id"],
        window=window,
        category=asked["category"] or "",
    )
    found = await services.estimates.run(buyers, purchases, first=0, second=1)
    groups = [getattr(found, name) for name in GROUPS]
    rows = [
        _row("buyers", name, group.num_buyers, group.num_purchases, group.amount)
        for name, group in zip(GROUPS, groups, strict=True)
    ]
    return rows, {}


async def _at_risk(
    services: Services, _streamers: Streamers, asked: dict[str, Any], window: dict[str, datetime]
) -> Answer:
    length = window["until"] - window["since"]
    before = duration_of(asked["before"]) if asked["before"] else length
    if window["since"] - before < FIRST_MOMENT:
        raise invalid("there is no time before it", "query", "since")
    following = await following_of(
        services.graph, asked["streamer_id"], since=window["since"] - before, recent=window
    )
    windows = {
        "until": epoch_ms(window["until"]),
        "recent_ms": window_ms(length),
        "before_ms": window_ms(before),
    }
    pace = pace_of(following.streams, **windows)
    found = await services.estimates.run(
        followers_at_risk,
        (following.followers, np.zeros_like(following.followers)),
        following.watching,
        min_seconds_before=asked["min_seconds"],
        max_share=asked["max_share"],
        pace=None if pace is None else np.array([pace]),
        **windows,
    )
    ids = dict(zip(following.followers.tolist(), following.ids, strict=True))
    columns = (found.users, found.seconds_before, found.seconds_recent, found.seconds_expected)
    rows = [
        _row("at_risk", ids[user], *seconds)
        for user, *seconds in zip(*(column.tolist() for column in columns), strict=True)
    ]
    # The graph may still hold users who are to be forgotten.
    rows = [row for row in rows if row["user_id"] not in services.erasures.hidden]
    counts = {"followers": len(following.followers), "followers_at_risk": len(rows)}
    return rows, counts | {"pace": pace}


def _row(view: View, *values: Any) -> Row:
    return dict(zip(COLUMNS[view], values, strict=True))


_ANSWERS = {"nearest": _nearest, "overlap": _overlap, "buyers": _buyers, "at_risk": _at_risk}
