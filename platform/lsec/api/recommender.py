"""What a user should see now: the release's slate, less what the graph knows better, then popular goods."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal

from lsec.api.stores.active_release import ReleaseFollower
from lsec.api.stores.erasures import ErasureStore
from lsec.api.stores.graph import SERVING_TIMEOUT_S, Graph
from lsec.core.artifact import Artifact

MAX_POPULAR = 1000
MAX_BOUGHT = 1000
SPARE = 20
"""Products looked at beside the k that are needed, for those that may not be shown."""
POPULAR_CACHE_S = 10.0
POPULAR_SCORE = 0.0
"""The score of a product that no model scored for this user."""
POPULAR = {"kind": "popular", "text": "Popular in the shop"}
"""The reason of a filler."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, and the release that is served while it is answered."""

    user_id: str
    k: int
    include_bought: bool
    artifact: Artifact | None

    @property
    def release_id(self) -> str | None:
        return self.artifact.manifest.release_id if self.artifact else None


@dataclass(frozen=True, slots=True)
class Pick:
    """A product to show; `score` is the model's, or POPULAR_SCORE for a popular filler."""

    product_id: str
    score: float
    from_slate: bool


@dataclass(frozen=True, slots=True)
class Recommendations:
    """A user's products, best first, and where they come from."""

    user_id: str
    release_id: str | None
    source: Literal["slate", "popular"]
    products: list[dict[str, Any]]


class Recommender:
    """Two or three short queries a request; all else is read from the memory-mapped artifact."""

    def __init__(self, graph: Graph, follower: ReleaseFollower, erasures: ErasureStore) -> None:
        self._graph = graph
        self._follower = follower
        self._erasures = erasures
        self._popular: list[str] = []
        self._popular_until = 0.0

    async def recommend(
        self, user_id: str, *, k: int, include_bought: bool, explain: bool
    ) -> Recommendations:
        """At most k products for a user, known or not; fewer only if no more may be shown."""
        wish = Wish(user_id, k, include_bought, self._follower.current)
        slate = [] if user_id in self._erasures.hidden else await self._slate(wish)
        popular = await self._popular_ids(wish.artifact)
        picks = await self._pick(wish, slate, popular)
        reasons = await self._reasons(user_id, picks) if explain else {}
        return Recommendations(
            user_id,
            wish.release_id,
            "slate" if any(pick.from_slate for pick in picks) else "popular",
            [_product(pick, reasons.get(pick.product_id), explain=explain) for pick in picks],
        )

    async def _pick(
        self, wish: Wish, slate: Sequence[tuple[str, float]], popular: Sequence[str]
    ) -> list[Pick]:
        """The first k of the slate and then the popular ones that may be shown.

        One query tells as a rule: the long rest is looked at only if too few of the first may be shown.
        """
        scores = dict(slate)
        candidates = chain(scores, (product_id for product_id in popular if product_id not in scores))
        picks: list[Pick] = []
        for size in (wish.k + SPARE, None):
            page = list(islice(candidates, size)) if len(picks) < wish.k else []
            if not page:
                break
            has_slate, allowed = await self._allowed(wish, page)
            if slate and not has_slate:
                # The user was erased since the release was trained, and may be back with other data.
                return await self._pick(wish, [], popular)
            picks += [
                Pick(product_id, scores.get(product_id, POPULAR_SCORE), from_slate=product_id in scores)
                for product_id in page
                if product_id in allowed
            ]
        return picks[: wish.k]

    async def _slate(self, wish: Wish) -> list[tuple[str, float]]:
        artifact = wish.artifact
        row = artifact.user_row(wish.user_id) if artifact else None
        if artifact is None or row is None:
            return []
        slate = artifact.slate(row)
        if not wish.include_bought:
            return slate
        rows = await self._graph.rows(
            "recommendations/bought", timeout_s=SERVING_TIMEOUT_S, user_id=wish.user_id, limit=MAX_BOUGHT
        )
        scores = dict(slate) | artifact.scores(row, [r["product_id"] for r in rows])
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))

    async def _popular_ids(self, artifact: Artifact | None) -> Sequence[str]:
        if artifact is not None:
            return artifact.popular_products(MAX_POPULAR)
        if time.monotonic() >= self._popular_until:
            rows = await self._graph.rows(
                "recommendations/popular", timeout_s=SERVING_TIMEOUT_S, limit=MAX_POPULAR
            )
            self._popular = [row["product_id"] for row in rows]
            self._popular_until = time.monotonic() + POPULAR_CACHE_S
        return self._popular

    async def _allowed(self, wish: Wish, product_ids: Sequence[str]) -> tuple[bool, set[str]]:
        """Whether the user's slate counts (taken for granted if nothing may be shown), and what may be shown.

        The artifact's files know nothing of erasures: the slates in the graph are deleted with them.
        """
        rows = await self._graph.rows(
            "recommendations/candidates",
            timeout_s=SERVING_TIMEOUT_S,
            user_id=wish.user_id,
            release_id=wish.release_id or "",
            product_ids=product_ids,
            include_bought=wish.include_bought,
        )
        return (rows[0]["has_slate"], set(rows[0]["product_ids"])) if rows else (True, set())

    async def _reasons(self, user_id: str, picks: Sequence[Pick]) -> dict[str, dict[str, Any]]:
        product_ids = [pick.product_id for pick in picks if pick.from_slate]
        if not product_ids:
            return {}
        rows = await self._graph.rows(
            "recommendations/reasons", timeout_s=SERVING_TIMEOUT_S, user_id=user_id, product_ids=product_ids
        )
        return {row["product_id"]: row for row in rows}


def _product(pick: Pick, row: dict[str, Any] | None, *, explain: bool) -> dict[str, Any]:
    product: dict[str, Any] = {"product_id": pick.product_id, "score": pick.score}
    if explain:
        product["reason"] = _reason(row) if pick.from_slate else POPULAR
    return product


def _reason(row: dict[str, Any] | None) -> dict[str, Any]:
    """The reason of a product of the slate; the users alike are a sample, so that there may be more."""
    if row is not None and row["streamers"]:
        names = [streamer["name"] or streamer["id"] for streamer in row["streamers"]]
        return {
            "kind": "followed_streamers",
            "text": f"Sold by {_listed(names)}, whom you follow",
            "streamers": [streamer["id"] for streamer in row["streamers"]],
        }
    if row is not None and row["num_alike"]:
        num_users = row["num_alike"]
        users = "1 user" if num_users == 1 else f"{num_users} users"
        text = f"Bought by at least {users} who bought what you bought"
        return {"kind": "users_alike", "text": text, "num_users": num_users}
    return {"kind": "taste", "text": "Chosen from what you bought"}


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
