"""Whom to tell of a product: the users whom it suits best, without those who may not be told now."""

import asyncio
from typing import Any

from neo4j.exceptions import DriverError, Neo4jError

from lsec.api.dependencies import Services
from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S
from lsec.api.wishes import product_row
from lsec.core.artifact import Artifact
from lsec.serving.product_audience import Appeal, appeal_of, ranked_users
from lsec.serving.shelf import Shelf

SPARE_SHARE, SPARE = 0.1, 20
"""So many more are asked about, as some may have bought the product since the release."""

User = dict[str, Any]


async def audience_of(
    services: Services, product_id: str, *, k: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """At most k users for a product, best first, and what was away.

    NotFound for a product that neither the graph nor the release has ever had.
    """
    shelf = services.market.shelf
    degraded = set(services.market.away)
    row = product_row(shelf, product_id)
    users: list[User] = []
    source = "none"
    appeal = None if row is None else await asyncio.to_thread(appeal_of, shelf, row)
    if appeal is not None and shelf.artifact is not None:
        users = await _scored(services, shelf, shelf.artifact, appeal, product_id, k, degraded)
        source = appeal.source
    elif row is not None:
        users = await _followers(services, product_id, k, degraded)
        source = "followers"
    body = {
        "product_id": product_id,
        "release_id": shelf.release_id,
        "source": source if users else "none",
        "users": users,
    }
    return body, tuple(sorted(degraded))


async def _scored(
    services: Services,
    shelf: Shelf,
    artifact: Artifact,
    appeal: Appeal,
    product_id: str,
    k: int,
    degraded: set[str],
) -> list[User]:
    num = k + int(k * SPARE_SHARE) + SPARE
    bought_row = shelf.artifact.product_row(product_id) if shelf.artifact else None
    # Also those whose erasure is in the graph: an artifact may hold them until it is done.
    hidden = services.erasures.hidden | services.erasures.leaving
    while True:
        rows, scores = await asyncio.to_thread(
            ranked_users, artifact, appeal, k=num, bought_row=bought_row, hidden=hidden
        )
        ranked = [
            (id_.decode(), score)
            for id_, score in zip(artifact.user_ids[rows].tolist(), scores.tolist(), strict=True)
        ]
        allowed = await _allowed(services, shelf, product_id, [id_ for id_, _ in ranked], degraded)
        found = [{"user_id": id_, "score": score} for id_, score in ranked if id_ in allowed]
        if len(found) >= k or len(ranked) < num:
            return found[:k]
        num *= 4


async def _allowed(
    services: Services, shelf: Shelf, product_id: str, user_ids: list[str], degraded: set[str]
) -> set[str]:
    """Who of the users may be told now; all of them, by the release alone, while the graph is away."""
    try:
        found = await services.graph.lists(
            "serving/may_be_told",
            timeout_s=ANALYSIS_TIMEOUT_S,
            release_id=shelf.release_id,
            product_id=product_id,
            user_ids=user_ids,
        )
    except (DriverError, Neo4jError):
        degraded.add("graph")
        return set(user_ids)
    return set(found["user_ids"]).difference(found["gone_ids"])


async def _followers(services: Services, product_id: str, k: int, degraded: set[str]) -> list[User]:
    """Who follows the product's sellers; `score` is 0, as no model knows the product."""
    hidden = services.erasures.hidden
    try:
        found = await services.graph.lists(
            "serving/followers_of_sellers",
            timeout_s=ANALYSIS_TIMEOUT_S,
            product_id=product_id,
            limit=k + len(hidden),
        )
    except (DriverError, Neo4jError):
        degraded.add("graph")
        return []
    return [{"user_id": id_, "score": 0.0} for id_ in found["user_ids"] if id_ not in hidden][:k]
