"""Products like one: from the graph's vector index, or exactly from the release where that cannot tell."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
from neo4j.exceptions import DriverError, Neo4jError
from numpy.typing import NDArray

from lsec.api.dependencies import Services
from lsec.api.stores.graph import SERVING_TIMEOUT_S
from lsec.api.wishes import product_row
from lsec.serving.answer import only_rows
from lsec.serving.likeness import nearest
from lsec.serving.shelf import Shelf
from lsec.serving.tags import Rows
from lsec.serving.wish import Wish

MIN_FETCHED = 200
"""The more the index is asked for, the better it looks: of the 20 nearest of 20,000 random vectors it finds
95 % when it is asked for 50, 97.5 % for 100 and 99.5 % for 200, in much the same time."""
FETCHED_PER_WANTED = 2
"""Some of those found may not be on offer."""
MANY_ROWS = 5_000
"""From so many on, cosines are made outside the event loop."""


async def similar_products(
    services: Services, product_id: str, wish: Wish
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """At most wish.k products like this one that are on offer, and what was away.

    NotFound for a product that neither the graph nor the release has ever had.
    """
    shelf = services.market.shelf
    degraded = set(services.market.away)
    row = product_row(shelf, product_id)
    choice = _Choice(shelf, wish, row)
    if row is not None and shelf.artifact is not None and row < shelf.catalog.num_released:
        await _take_similar(services, choice, row, product_id, degraded)
    else:
        for rows, source in _without_vector(shelf, row):
            choice.take(rows, np.zeros(len(rows)), source)
    body = {
        "product_id": product_id,
        "release_id": shelf.release_id,
        "source": choice.products[0]["source"] if choice.products else "none",
        "products": choice.products,
    }
    return body, tuple(sorted(degraded))


async def _take_similar(
    services: Services, choice: "_Choice", row: int, product_id: str, degraded: set[str]
) -> None:
    """Take what the index finds; all that may be chosen is compared if too little of that may be shown."""
    limit = max(MIN_FETCHED, FETCHED_PER_WANTED * choice.wish.k)
    if choice.share * limit >= choice.wish.k:
        choice.take(*await _by_index(services, choice.shelf, product_id, limit, degraded), "similar")
    if choice.num_wanted:
        choice.begin_anew()
        choice.take(*await _exactly(choice, row), "similar")


async def _by_index(
    services: Services, shelf: Shelf, product_id: str, limit: int, degraded: set[str]
) -> tuple[Rows, NDArray[np.float64]]:
    """The rows of the products that the index finds nearest, with their cosines; none while it is away."""
    try:
        found = await services.graph.lists(
            "serving/similar",
            timeout_s=SERVING_TIMEOUT_S,
            release_id=shelf.release_id,
            product_id=product_id,
            limit=limit,
        )
    except (DriverError, Neo4jError):
        degraded.add("graph")
        return np.empty(0, np.int64), np.empty(0)
    rows = [shelf.catalog.row(id_) for id_ in found["product_ids"]]
    known = [place for place, row in enumerate(rows) if row is not None]
    return (
        np.array([rows[place] for place in known], np.int64),
        2 * np.array([found["scores"][place] for place in known], np.float64) - 1,
    )


async def _exactly(choice: "_Choice", row: int) -> tuple[Rows, NDArray[np.float32]]:
    rows = np.arange(choice.shelf.catalog.num_released) if choice.only is None else choice.only

    def look() -> tuple[Rows, NDArray[np.float32]]:
        return nearest(choice.shelf, row, rows[choice.allows(rows)], k=choice.wish.k)

    return await asyncio.to_thread(look) if len(rows) > MANY_ROWS else look()


def _without_vector(shelf: Shelf, row: int | None) -> Iterator[tuple[Rows, str]]:
    """What sells best of the same sellers, then of the same categories; of the shop for want of anything."""
    if row is None:
        if shelf.artifact is not None:
            yield shelf.artifact.popular, "popular"
        return
    catalog = shelf.catalog
    yield shelf.by_popularity(catalog.sellers.rows_of(catalog.sellers.of(row))), "same_seller"
    yield shelf.by_popularity(catalog.categories.rows_of(catalog.categories.of(row))), "same_category"


class _Choice:
    """The products of an answer, each once."""

    def __init__(self, shelf: Shelf, wish: Wish, row: int | None) -> None:
        self.shelf = shelf
        self.wish = wish
        self.only = only_rows(wish, shelf.catalog)
        self._unwanted = shelf.catalog.rows(wish.exclude)
        if row is not None:
            self._unwanted = np.append(self._unwanted, row)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Take nothing yet."""
        self.products: list[dict[str, Any]] = []
        self._left_out = self._unwanted

    @property
    def share(self) -> float:
        """How much of all products may be chosen from."""
        return 1.0 if self.only is None else len(self.only) / len(self.shelf.catalog)

    @property
    def num_wanted(self) -> int:
        return self.wish.k - len(self.products)

    def allows(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of rows [N] may be shown."""
        allowed = self.shelf.catalog.is_offered(rows, in_stock=self.wish.in_stock)
        allowed &= ~np.isin(rows, self._left_out)
        return allowed if self.only is None else allowed & np.isin(rows, self.only)

    def take(self, rows: Rows, scores: NDArray[np.floating[Any]], source: str) -> None:
        """Take the best that may be shown of rows [N], best first, with their scores [N], up to k."""
        places = np.flatnonzero(self.allows(rows))[: self.num_wanted]
        ids = self.shelf.catalog.product_ids(rows[places])
        self.products += [
            {"product_id": id_, "score": score, "source": source}
            for id_, score in zip(ids, scores[places].tolist(), strict=True)
        ]
        self._left_out = np.append(self._left_out, rows[places])
