"""What a user should see now: from the release and what they have done since, from this process's memory."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from neo4j.exceptions import DriverError, Neo4jError

from lsec.api.reasons import POPULAR, TASTE, Explainer, popular_in
from lsec.api.stores.challenger import Arm, Challenger
from lsec.api.stores.erasures import ErasureStore
from lsec.api.stores.graph import SERVING_TIMEOUT_S, Graph
from lsec.api.stores.streams import Streams
from lsec.serving.answer import answer
from lsec.serving.known import Known
from lsec.serving.shelf import Shelf
from lsec.serving.shopper import Shopper
from lsec.serving.tags import Rows
from lsec.serving.wish import Pick, Wish

MAX_POPULAR = 1000
POPULAR_CACHE_S = 10.0
RETRY_S = 1.0
"""The graph is not asked for the popular products again so soon after it has failed."""
UNKNOWN = Known(None, None)
MANY_ROWS = 5_000
"""From so many products to choose from, the scores are made outside the event loop."""
PERSONAL = frozenset({"folded_in", "slate"})


class Recommendations(NamedTuple):
    """A user's products, best first; `degraded` names what was away when they were chosen."""

    user_id: str
    release_id: str | None
    source: str
    products: list[Pick]
    degraded: tuple[str, ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """The answer as it is sent."""
        return {
            "user_id": self.user_id,
            "release_id": self.release_id,
            "source": self.source,
            "products": self.products,
        }


class Recommender:
    """Answers from memory; asks the graph for a changed user, a stream's showcase, and reasons."""

    def __init__(
        self,
        graph: Graph,
        champion: Arm,
        challenger: Challenger,
        streams: Streams,
        erasures: ErasureStore,
        explainer: Explainer,
    ) -> None:
        self._graph = graph
        self._champion = champion
        self._challenger = challenger
        self._streams = streams
        self._erasures = erasures
        self._explainer = explainer
        self._popular: list[str] = []
        self._popular_until = 0.0

    async def recommend(
        self, user_id: str, wish: Wish, *, stream_id: str = "", explain: bool = False
    ) -> Recommendations:
        """At most wish.k products for a user, known or not; fewer only if no more may be shown.

        While an experiment runs, users of its share are answered from the challenger. NotFound for a stream
        that does not exist.
        """
        arm = self._challenger.arm_of(user_id)
        shelf, degraded = arm.market.shelf, set(arm.market.away)
        if stream_id:
            wish = await self._showcased(wish, stream_id, shelf, degraded)
        known, is_current = UNKNOWN, True
        if user_id not in self._erasures.hidden:
            known, is_current = await arm.shoppers.known(user_id, shelf)
        if not is_current:
            degraded.add("user")
        return await self._chosen(user_id, wish, shelf, known, degraded, explain=explain)

    async def recommend_to(
        self, shopper: Shopper, wish: Wish, *, stream_id: str = "", explain: bool = False
    ) -> Recommendations:
        """At most wish.k products for a visitor of whom only this is known, and nothing is kept."""
        arm = self._champion
        shelf, degraded = arm.market.shelf, set(arm.market.away)
        if stream_id:
            wish = await self._showcased(wish, stream_id, shelf, degraded)
        known, is_current = await arm.shoppers.visitor(shopper, shelf)
        if not is_current:
            degraded.add("user")
        return await self._chosen("", wish, shelf, known, degraded, explain=explain)

    async def _showcased(self, wish: Wish, stream_id: str, shelf: Shelf, degraded: set[str]) -> Wish:
        """The wish for what the stream showcases; as it was while the graph cannot tell."""
        try:
            showcase = await self._streams.showcase(stream_id)
        except (DriverError, Neo4jError):
            degraded.add("graph")
            return wish
        return wish._replace(only=self._streams.rows(showcase, shelf.catalog))

    async def _chosen(
        self, user_id: str, wish: Wish, shelf: Shelf, known: Known, degraded: set[str], *, explain: bool
    ) -> Recommendations:
        popular = shelf.artifact.popular if shelf.artifact else await self._popular_rows(shelf, degraded)

        def choose() -> list[Pick]:
            return answer(
                wish,
                shelf,
                ranking=known.ranking,
                shopper=known.shopper,
                popular=popular,
                bought=known.bought,
            )

        is_long = wish.is_narrow and wish.only is None and len(shelf.catalog) > MANY_ROWS
        picks = await asyncio.to_thread(choose) if is_long else choose()
        if explain:
            await self._explain(user_id, wish, picks, degraded)
        source = picks[0]["source"] if picks else "none"
        return Recommendations(user_id, shelf.release_id, source, picks, tuple(sorted(degraded)))

    async def _popular_rows(self, shelf: Shelf, degraded: set[str]) -> Rows:
        """What is bought most while there is no release, as the graph has it."""
        if time.monotonic() >= self._popular_until:
            try:
                rows = await self._graph.rows(
                    "recommendations/popular", timeout_s=SERVING_TIMEOUT_S, limit=MAX_POPULAR
                )
            except (DriverError, Neo4jError):
                if not self._popular:
                    # Without a release, and nothing ever read, there is nothing to answer from.
                    raise
                self._popular_until = time.monotonic() + RETRY_S
                degraded.add("graph")
            else:
                self._popular = [row["product_id"] for row in rows]
                self._popular_until = time.monotonic() + POPULAR_CACHE_S
        return shelf.catalog.rows(self._popular)

    async def _explain(self, user_id: str, wish: Wish, picks: list[Pick], degraded: set[str]) -> None:
        """Give each of the products its reason."""
        paths = await self._paths(user_id, [pick["product_id"] for pick in picks], degraded)
        for pick in picks:
            pick["reason"] = paths.get(pick["product_id"]) or _without_path(pick, wish)

    async def _paths(
        self, user_id: str, product_ids: Sequence[str], degraded: set[str]
    ) -> dict[str, dict[str, Any]]:
        if not user_id or not product_ids or user_id in self._erasures.hidden:
            return {}
        try:
            return await self._explainer.explain(user_id, product_ids)
        except (DriverError, Neo4jError):
            degraded.add("graph")
            return {}


def _without_path(pick: Pick, wish: Wish) -> dict[str, Any]:
    """The reason of a product that no path leads to."""
    if pick["source"] in PERSONAL:
        return TASTE
    return popular_in(wish.category) if wish.category else POPULAR
