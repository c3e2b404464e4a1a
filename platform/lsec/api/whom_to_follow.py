"""Streamers for a user: the model's second task on the live graph, with true reasons."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from neo4j.exceptions import DriverError, Neo4jError
from pydantic import BaseModel, ConfigDict

from lsec.api.dependencies import Services
from lsec.api.reasons import TASTE, Path, duration, listed, node
from lsec.api.stores.graph import SERVING_TIMEOUT_S
from lsec.serving.answer import Ranking
from lsec.serving.shelf import Shelf
from lsec.serving.whom_to_follow import knows_streamers, liked_streamers, sellers_of_ranking

MOST_FOLLOWED = {"kind": "popular", "text": "One of the most followed"}
SPARE = 50
"""So many more than are asked for are looked at, as some may be gone."""

Scored = tuple[str, float, str]
"""A streamer's id, score and source."""


class StreamerReason(BaseModel):
    """Why a streamer is named; the path leads from the user to the streamer, and is in the graph now.

    `minutes` is how long the user watched, `products` what they bought of what the streamer sells.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "kind": "sells_bought",
                "text": "Sells Blue mug, which you bought",
                "products": ["p3"],
                "path": {
                    "nodes": [
                        {"label": "User", "id": "u1"},
                        {"label": "Product", "id": "p3", "name": "Blue mug"},
                        {"label": "Streamer", "id": "s1", "name": "Ann"},
                    ],
                    "relationships": [
                        {"type": "BOUGHT", "from": 0, "to": 1},
                        {"type": "SELLS", "from": 2, "to": 1},
                    ],
                },
            }
        }
    )
    kind: Literal["sells_bought", "watched", "taste", "popular"]
    text: str
    products: list[str] | None = None
    minutes: int | None = None
    path: Path | None = None


async def streamers_to_follow(
    services: Services, user_id: str, *, k: int, explain: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """At most k streamers whom the user, known or not, does not follow yet; and what was away."""
    shelf = services.market.shelf
    degraded = set(services.market.away)
    is_hidden = user_id in services.erasures.hidden
    ranking, followed = (None, set()) if is_hidden else await _of_user(services, shelf, user_id, degraded)
    alive = await services.streamers.followers()
    if services.streamers.is_away:
        degraded.add("graph")
    chosen = _chosen(_candidates(shelf, ranking, alive, k + len(followed) + SPARE), followed, alive, k)
    streamers: list[dict[str, Any]] = [
        {"streamer_id": id_, "score": score, "source": source, "num_followers": alive.get(id_)}
        for id_, score, source in chosen
    ]
    if explain:
        paths = {} if is_hidden else await _reasons(services, user_id, [s[0] for s in chosen], degraded)
        for streamer in streamers:
            by_default = MOST_FOLLOWED if streamer["source"] == "most_followed" else TASTE
            streamer["reason"] = paths.get(streamer["streamer_id"], by_default)
    body = {
        "user_id": user_id,
        "release_id": shelf.release_id,
        "source": chosen[0][2] if chosen else "none",
        "streamers": streamers,
    }
    return body, tuple(sorted(degraded))


async def _of_user(
    services: Services, shelf: Shelf, user_id: str, degraded: set[str]
) -> tuple[Ranking | None, set[str]]:
    """The user's ranking, and whom they follow now, as far as is known."""
    known, is_current = await services.shoppers.known(user_id, shelf)
    if not is_current:
        degraded.add("user")
    try:
        found = await services.graph.lists("serving/followed", timeout_s=SERVING_TIMEOUT_S, user_id=user_id)
    except (DriverError, Neo4jError):
        degraded.add("graph")
        return known.ranking, set(known.shopper.followed if known.shopper else ())
    return known.ranking, set(found["streamer_ids"])


def _candidates(shelf: Shelf, ranking: Ranking | None, alive: dict[str, int], num: int) -> Iterator[Scored]:
    """Streamers in the order of the chain, some perhaps more than once."""
    if ranking is not None and shelf.artifact is not None:
        if knows_streamers(shelf.artifact):
            rows, scores = liked_streamers(shelf.artifact, ranking, num)
            ids = (id_.decode() for id_ in shelf.artifact.streamer_ids[rows].tolist())
            yield from ((id_, score, ranking.source) for id_, score in zip(ids, scores.tolist(), strict=True))
        else:
            yield from ((id_, 0.0, "sellers") for id_ in sellers_of_ranking(shelf, ranking, num))
    yield from ((id_, 0.0, "most_followed") for id_ in alive)


def _chosen(candidates: Iterable[Scored], followed: set[str], alive: dict[str, int], k: int) -> list[Scored]:
    """The first k who are not followed, and are there as far as is known."""
    chosen: dict[str, Scored] = {}
    for candidate in candidates:
        if len(chosen) == k:
            break
        if candidate[0] not in followed and (not alive or candidate[0] in alive):
            chosen.setdefault(candidate[0], candidate)
    return list(chosen.values())


async def _reasons(
    services: Services, user_id: str, streamer_ids: Sequence[str], degraded: set[str]
) -> dict[str, dict[str, Any]]:
    if not streamer_ids:
        return {}
    try:
        rows = await services.graph.rows(
            "serving/paths_to_streamers",
            timeout_s=SERVING_TIMEOUT_S,
            user_id=user_id,
            streamer_ids=list(streamer_ids),
        )
    except (DriverError, Neo4jError):
        degraded.add("graph")
        return {}
    return {row["streamer_id"]: reason_of(user_id, row) for row in rows}


def reason_of(user_id: str, row: dict[str, Any]) -> dict[str, Any]:
    """The StreamerReason, as JSON, that a row of `serving/paths_to_streamers` stands for."""
    user, streamer = {"label": "User", "id": user_id}, node("Streamer", row["streamer_id"], row["name"])
    products = row["products"]
    if products:
        places = range(1, len(products) + 1)
        return {
            "kind": "sells_bought",
            "text": f"Sells {listed(products)}, which you bought",
            "products": [product["id"] for product in products],
            "path": {
                "nodes": [user, *(node("Product", p["id"], p["name"]) for p in products), streamer],
                "relationships": [{"type": "BOUGHT", "from": 0, "to": place} for place in places]
                + [{"type": "SELLS", "from": len(products) + 1, "to": place} for place in places],
            },
        }
    minutes = row["seconds"] // 60
    return {
        "kind": "watched",
        "text": f"You watched {row['name'] or row['streamer_id']}{duration(minutes)}",
        "minutes": minutes,
        "path": {"nodes": [user, streamer], "relationships": [{"type": "WATCHED", "from": 0, "to": 1}]},
    }
