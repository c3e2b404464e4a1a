"""A user's products: from their own ranking first, then from what is popular with ever more people."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact import Artifact
from lsec.serving.catalog import Catalog, barring
from lsec.serving.reranking import diversified, tired
from lsec.serving.shelf import Shelf
from lsec.serving.shopper import Shopper
from lsec.serving.tags import Rows, Vector
from lsec.serving.wish import Pick, Source, Wish

NOT_SCORED = 0.0
VARIETY = 4
"""A varied answer is chosen from so many times the products that are asked for."""


class Ranking(NamedTuple):
    """What the model thinks of one user: a vector, and the best products [N] by it, best first.

    `source` is "slate" for the release's own, whose user has a row there, and "folded_in" for one made
    since, with a vector of its own.
    """

    rows: Rows
    scores: NDArray[np.float32]
    source: Source
    user_row: int = -1
    own_vector: Vector | None = None

    def vector(self, artifact: Artifact | None) -> Vector:
        """The user's vector [d] beside that artifact's; most answers of a slate need none."""
        if self.own_vector is not None:
            return self.own_vector
        assert artifact is not None
        return artifact.user_vector(self.user_row)


def answer(
    wish: Wish,
    shelf: Shelf,
    *,
    ranking: Ranking | None,
    shopper: Shopper | None,
    popular: Rows,
    bought: Rows,
) -> list[Pick]:
    """At most k products, best first, each once.

    `shopper` is None for a user who has not changed since the release; `bought` are the product rows that
    they bought, by their live state or the release's; `popular` are rows, best first.
    """
    chosen = _Chosen(wish, shelf.catalog, _unwanted(wish, shelf.catalog, shopper, bought))
    only = only_rows(wish, shelf.catalog)
    if ranking is not None:
        rows, scores = _ranked(wish, shelf, ranking, only, shopper, bought)
        chosen.take(rows, scores, ranking.source)
    # The user's own ranking has all of what there is to choose from, if that is narrow.
    if len(chosen.picks) < wish.k and (ranking is None or only is None):
        for rows, source in _fillers(wish, shelf, shopper, only, popular):
            chosen.take(rows, None, source)
            if len(chosen.picks) >= wish.k:
                break
    return chosen.picks


class _Chosen:
    """What is chosen so far; each product is asked about once."""

    def __init__(self, wish: Wish, catalog: Catalog, unwanted: set[int]) -> None:
        self._wish = wish
        self._catalog = catalog
        self._seen = unwanted
        self.picks: list[Pick] = []

    def take(self, rows: Rows, scores: NDArray[np.floating[Any]] | None, source: Source) -> None:
        """Takes the best that may be shown of rows [N], each once, best first, up to what is still wanted.

        Without scores they are not scored for the user.
        """
        if self._wish.diversity:
            rows, scores = self._varied(rows, scores)
        wish, catalog, seen, picks = self._wish, self._catalog, self._seen, self.picks
        faults, bars = catalog.faults, barring(in_stock=wish.in_stock)
        names, name = catalog.names, catalog.product_id
        start, num_looked_at = 0, wish.k - len(picks)
        # Nearly always the first few will do, and for so few lists are quicker than arrays.
        while start < len(rows) and len(picks) < wish.k:
            part = slice(start, start + num_looked_at)
            numbers = rows[part].tolist()
            values = [NOT_SCORED] * len(numbers) if scores is None else scores[part].tolist()
            picks += [
                {"product_id": names[row] or name(row), "score": value, "source": source}
                for row, value in zip(numbers, values, strict=True)
                if row not in seen and not faults[row] & bars
            ]
            seen.update(numbers)
            start, num_looked_at = start + num_looked_at, 2 * num_looked_at
        del picks[wish.k :]

    def _varied(
        self, rows: Rows, scores: NDArray[np.floating[Any]] | None
    ) -> tuple[Rows, NDArray[np.floating[Any]]]:
        """As many of rows [N] as are still wanted, of the best that may be shown: those unlike each other."""
        wish, catalog = self._wish, self._catalog
        num_wanted = wish.k - len(self.picks)
        is_fresh = catalog.is_offered(rows, in_stock=wish.in_stock) & ~np.isin(rows, list(self._seen))
        best = np.flatnonzero(is_fresh)[: num_wanted * VARIETY]
        rows = rows[best]
        scores = np.full(len(rows), NOT_SCORED) if scores is None else scores[best]
        order = diversified(rows, scores, catalog, k=num_wanted, diversity=wish.diversity)
        return rows[order], scores[order]


def _unwanted(wish: Wish, catalog: Catalog, shopper: Shopper | None, bought: Rows) -> set[int]:
    unwanted: set[int] = set()
    if not wish.include_bought:
        unwanted.update(bought.tolist())
    if shopper is not None and shopper.dismissed:
        unwanted.update(catalog.rows(shopper.dismissed).tolist())
    if wish.exclude:
        unwanted.update(catalog.rows(wish.exclude).tolist())
    return unwanted


def only_rows(wish: Wish, catalog: Catalog) -> Rows | None:
    """The rows to choose from; None for all."""
    if not wish.is_narrow:
        return None
    rows = wish.only
    for tags, name in ((catalog.sellers, wish.streamer_id), (catalog.categories, wish.category)):
        if name:
            having = tags.rows_with([name])
            rows = having if rows is None else rows[np.isin(rows, having)]
    return rows


def _ranked(
    wish: Wish,
    shelf: Shelf,
    ranking: Ranking,
    only: Rows | None,
    shopper: Shopper | None,
    bought: Rows,
) -> tuple[Rows, NDArray[np.floating[Any]]]:
    """The user's own ranking of what is asked for, best first."""
    rows: Rows = ranking.rows
    scores: NDArray[np.floating[Any]] = ranking.scores
    is_sorted = True
    if only is not None:
        rows, scores, is_sorted = only, shelf.scores(ranking.vector(shelf.artifact), only), False
    elif shelf.newest is not None and len(shelf.newest.rows):
        rows = np.concatenate([rows, shelf.newest.rows])
        scores, is_sorted = (
            np.concatenate([scores, shelf.newest.scores(ranking.vector(shelf.artifact))]),
            False,
        )
    if only is None and wish.include_bought:
        missing = np.setdiff1d(bought, rows)
        rows = np.concatenate([rows, missing])
        scores = np.concatenate([scores, shelf.scores(ranking.vector(shelf.artifact), missing)])
        is_sorted = False
    if shopper is not None and shopper.impressed:
        times = zip(shopper.impressed.values(), map(shelf.catalog.row, shopper.impressed), strict=True)
        impressed = {row: num for num, row in times if row is not None}
        rows, scores, is_sorted = rows, tired(rows, scores, impressed), False
    if is_sorted:
        return rows, scores
    order = np.argsort(-scores, kind="stable")
    return rows[order], scores[order]


def _fillers(
    wish: Wish, shelf: Shelf, shopper: Shopper | None, only: Rows | None, popular: Rows
) -> Iterator[tuple[Rows, Source]]:
    """Rows that no model scored for the user, in the order of the chain."""
    catalog = shelf.catalog

    def among(rows: Rows) -> Rows:
        return rows if only is None else rows[np.isin(rows, only)]

    if shopper is not None:
        streamers = [*shopper.followed, *_most(shopper.watched)]
        if streamers:
            yield among(shelf.by_popularity(catalog.sellers.rows_with(streamers))), "followed"
        touched = catalog.rows([*shopper.bought, *shopper.viewed])
        categories = {number for row in touched.tolist() for number in catalog.categories.of(row)}
        if categories:
            yield among(shelf.by_popularity(catalog.categories.rows_of(categories))), "popular_in_category"
    if only is not None:
        yield shelf.by_popularity(only), "popular_in_category" if wish.category else "popular"
    yield among(popular), "popular"


def _most(amounts: Mapping[str, int]) -> list[str]:
    return sorted(amounts, key=lambda name: (-amounts[name], name))
