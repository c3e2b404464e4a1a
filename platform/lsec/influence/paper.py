"""How the probability of a purchase depends on following and on the streamers selling, against controls.

Whoever follows many streamers, and whatever is popular, meets in some followed streamer's catalogue by
chance alone. So the share of new purchases found there stands beside that of a product as popular and that of
a user who follows as many; and the purchase probability by the number of followed sellers stands beside the
one expected if each user had bought as many products by popularity alone.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lsec.core.comparison import NORMAL_95, Interval
from lsec.core.errors import InvalidInput
from lsec.influence.pairs import distinct, is_among, values_of

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

EXPANDED_PER_CHUNK: Final = 4_000_000
MAX_FOLLOWED_SELLERS: Final = 4
"""From this many followed sellers on, pairs share a row of the table."""


@dataclass(frozen=True, slots=True)
class Tripartite:
    """Pairs of dense rows without repetition: follows, sells, and purchases before and after a cutoff.

    Each is (sources[E], targets[E]); `after` are the purchases to be explained.
    """

    num_users: int
    num_streamers: int
    num_products: int
    follows: tuple[Ints, Ints]
    sells: tuple[Ints, Ints]
    before: tuple[Ints, Ints]
    after: tuple[Ints, Ints]


@dataclass(frozen=True, slots=True)
class CatalogueShares:
    """Share of new purchases in a followed streamer's catalogue, and of three controls.

    Over purchases by users who follow someone; intervals are over users, each with all their purchases.
    """

    purchases: Interval
    popular_product: Interval
    other_user: Interval
    random_product: Interval
    num_purchases: int


@dataclass(frozen=True, slots=True)
class ProbabilityRow:
    """The pairs of a following user and a product not bought before, of one kind.

    num_followed_sellers is −1 where no streamer sells the product; the last number stands for itself and
    more. expected is the probability by popularity alone, ratio the purchases over those expected.
    """

    num_followed_sellers: int
    num_pairs: int
    num_purchases: int
    probability: float
    expected: float
    ratio: Interval


def catalogue_shares(graph: Tripartite, *, neighbours: int | None = None) -> CatalogueShares:
    """The share of `after` in followed catalogues, against products as popular and users who follow as many.

    A control is the mean over all others of the same popularity (purchases before), or of the same number
    of follows, or of the nearest such number where there is no other. With neighbours, it is the mean over
    as many places on either side in the order by that number, ties by row: if near rows are alike, so are
    these controls, and their share is larger. A product that outsells all others has no equal, so where few
    such make up most purchases the product control is too low. InvalidInput when nobody who follows has
    bought anything new.
    """
    num_follows = np.bincount(graph.follows[0], minlength=graph.num_users)
    popularity = np.bincount(graph.before[1], minlength=graph.num_products)
    users, products = _new_purchases_by_followers(graph)
    in_user, in_product, _ = followed_catalogues(graph)
    catalogue = in_user * graph.num_products + in_product
    followers, everything = np.flatnonzero(num_follows > 0), np.arange(graph.num_products)

    def is_in(of_users: Ints, of_products: Ints) -> Flags:
        return is_among(catalogue, of_users * graph.num_products + of_products)

    hits = is_in(users, products)
    if neighbours is None:
        popular = _share_of_equals(hits, (users, products), (in_user, in_product), popularity, everything)
        other = _share_of_equals(hits, (products, users), (in_product, in_user), num_follows, followers)
    else:
        places = [step for step in range(-neighbours, neighbours + 1) if step]
        near = _neighbours(products, popularity, everything, places)
        popular = np.mean([is_in(users, column) for column in near], axis=0)
        near = _neighbours(users, num_follows, followers, places)
        other = np.mean([is_in(column, products) for column in near], axis=0)
    random = (np.bincount(in_user, minlength=graph.num_users) / graph.num_products)[users]
    return CatalogueShares(
        purchases=_mean_over_users(users, hits),
        popular_product=_mean_over_users(users, popular),
        other_user=_mean_over_users(users, other),
        random_product=_mean_over_users(users, random),
        num_purchases=len(users),
    )


def purchase_probabilities(
    graph: Tripartite, *, max_followed_sellers: int = MAX_FOLLOWED_SELLERS
) -> list[ProbabilityRow]:
    """A row for products that no streamer sells, then one for each number of followed sellers from 0.

    InvalidInput when nobody who follows has bought anything new.
    """
    popularity = np.bincount(graph.before[1], minlength=graph.num_products)
    is_sold = np.bincount(graph.sells[1], minlength=graph.num_products) > 0
    users, products = _new_purchases_by_followers(graph)
    in_user, in_product, in_sellers = followed_catalogues(graph)
    catalogue = in_user * graph.num_products + in_product
    shape = (graph.num_users, max_followed_sellers + 2)

    def cells(of_users: Ints, of_products: Ints, sellers: Ints) -> Ints:
        kind: Ints = np.where(is_sold[of_products], 1 + np.minimum(sellers, max_followed_sellers), 0)
        return of_users * shape[1] + kind

    def num_sellers(of_users: Ints, of_products: Ints) -> Ints:
        return values_of(catalogue, in_sellers, of_users * graph.num_products + of_products)

    # All pairs of a user; then those of followed catalogues move to their cells, and those bought before go.
    pairs, weights = np.zeros(shape), np.zeros(shape)
    pairs[:, 0], pairs[:, 1] = np.sum(~is_sold), np.sum(is_sold)
    weights[:, 0], weights[:, 1] = popularity[~is_sold].sum(), popularity[is_sold].sum()
    own, bought = graph.before
    for cell, of_products, sign in (
        (cells(in_user, in_product, in_sellers), in_product, 1),
        (cells(in_user, in_product, np.zeros_like(in_sellers)), in_product, -1),
        (cells(own, bought, num_sellers(own, bought)), bought, -1),
    ):
        pairs += sign * np.bincount(cell, minlength=pairs.size).reshape(shape)
        weights += sign * np.bincount(cell, popularity[of_products], minlength=pairs.size).reshape(shape)
    new = np.bincount(cells(users, products, num_sellers(users, products)), minlength=pairs.size)
    new = new.reshape(shape)
    return _rows(pairs, weights, new, is_follower=np.bincount(graph.follows[0], minlength=shape[0]) > 0)


def followed_catalogues(graph: Tripartite) -> tuple[Ints, Ints, Ints]:
    """The distinct (user, product) of which the user follows a seller, in order, and how many, each [E]."""
    by_streamer = np.argsort(graph.sells[0], kind="stable")
    catalogue = graph.sells[1][by_streamer]
    sizes = np.bincount(graph.sells[0], minlength=graph.num_streamers)
    starts = np.cumsum(sizes) - sizes
    by_user = np.argsort(graph.follows[0], kind="stable")
    users, streamers = graph.follows[0][by_user], graph.follows[1][by_user]
    expanded = np.cumsum(sizes[streamers])
    keys: list[Ints] = []
    counts: list[Ints] = []
    start = 0
    while start < len(users):
        # Whole users only, and at least one.
        reached = int(expanded[start - 1]) if start else 0
        stop = int(np.searchsorted(expanded, reached + EXPANDED_PER_CHUNK, side="right"))
        last = users[min(max(stop, start + 1), len(users)) - 1]
        stop = int(np.searchsorted(users, last, side="right"))
        times = sizes[streamers[start:stop]]
        places = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        products = catalogue[np.repeat(starts[streamers[start:stop]], times) + places]
        found, number = np.unique(
            np.repeat(users[start:stop], times) * graph.num_products + products, return_counts=True
        )
        keys.append(found)
        counts.append(number.astype(np.int64))
        start = stop
    key = np.concatenate([np.empty(0, np.int64), *keys])
    count = np.concatenate([np.empty(0, np.int64), *counts])
    return key // max(graph.num_products, 1), key % max(graph.num_products, 1), count


def _new_purchases_by_followers(graph: Tripartite) -> tuple[Ints, Ints]:
    """Distinct pairs of `after`, not in `before`, of users who follow someone; InvalidInput if none."""
    before, after = (
        distinct(users * graph.num_products + products) for users, products in (graph.before, graph.after)
    )
    new = after[~is_among(before, after)]
    users, products = new // max(graph.num_products, 1), new % max(graph.num_products, 1)
    is_follower = np.bincount(graph.follows[0], minlength=graph.num_users)[users] > 0
    if not is_follower.any():
        raise InvalidInput("No user who follows a streamer has a new purchase.", remedy="Widen the window.")
    return users[is_follower], products[is_follower]


def _share_of_equals(
    hits: Flags, pairs: tuple[Ints, Ints], catalogue: tuple[Ints, Ints], measure: Ints, pool: Ints
) -> Floats:
    """For each (fixed, varied) pair, the share of catalogue pairs among others in the pool of equal measure.

    hits says whether the pair itself is one. Where no other has the measure, both of the nearest ones count.
    """
    fixed, varied = pairs
    levels, level_of_pool, sizes = np.unique(measure[pool], return_inverse=True, return_counts=True)
    level = np.zeros(len(measure), np.int64)
    level[pool] = level_of_pool
    num_levels = len(levels)
    keys, counts = np.unique(catalogue[0] * num_levels + level[catalogue[1]], return_counts=True)
    own = level[varied]
    num_found = values_of(keys, counts, fixed * num_levels + own) - hits
    num_others = sizes[own] - 1
    is_alone = num_others == 0
    infinite = np.full(1, np.inf)
    gaps = np.concatenate([infinite, np.diff(levels).astype(np.float64), infinite])
    for step, gap, back in ((-1, gaps[:-1], gaps[1:]), (1, gaps[1:], gaps[:-1])):
        takes = is_alone & (gap[own] <= back[own]) & np.isfinite(gap[own])
        near = own[takes] + step
        num_found[takes] += values_of(keys, counts, fixed[takes] * num_levels + near)
        num_others[takes] += sizes[near]
    shares: Floats = num_found / np.maximum(num_others, 1)
    return shares


def _neighbours(rows: Ints, measure: Ints, pool: Ints, places: list[int]) -> list[Ints]:
    """For each place, the row so far on in the pool ordered by measure, ties by row; the ends repeat."""
    order = pool[np.argsort(measure[pool], kind="stable")]
    rank = np.zeros(len(measure), np.int64)
    rank[order] = np.arange(len(order))
    return [order[np.clip(rank[rows] + place, 0, len(order) - 1)] for place in places]


def _mean_over_users(users: Ints, values: NDArray[np.generic]) -> Interval:
    _, codes = np.unique(users, return_inverse=True)
    totals = np.bincount(codes, values.astype(np.float64)).astype(np.float64)
    return _ratio(totals, np.bincount(codes).astype(np.float64))


def _ratio(above: Floats, below: Floats) -> Interval:
    """Σ above / Σ below over users, with the linearised 95 % interval of a ratio; unbounded for one user."""
    num, total = len(above), float(below.sum())
    if total <= 0:
        return Interval(float("nan"), float("nan"), float("nan"), num)
    ratio = float(above.sum()) / total
    deviations = above - ratio * below
    error = float("inf")
    if num > 1:
        error = NORMAL_95 * float(np.sqrt(num / (num - 1) * np.sum(deviations**2))) / total
    return Interval(ratio, ratio - error, ratio + error, num)


def _rows(pairs: Floats, weights: Floats, new: Ints, *, is_follower: Flags) -> list[ProbabilityRow]:
    """The table from each user's pairs, their popularity, and new purchases, all [U, rows]."""
    total = weights.sum(axis=1, keepdims=True)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    expected = new.sum(axis=1, keepdims=True) * shares
    columns = (column[is_follower].T for column in (pairs, new, expected))
    return [_row(kind - 1, *cells) for kind, cells in enumerate(zip(*columns, strict=True))]


def _row(num_followed_sellers: int, pairs: Floats, new: Ints, expected: Floats) -> ProbabilityRow:
    num_pairs, num_purchases = round(float(pairs.sum())), int(new.sum())
    return ProbabilityRow(
        num_followed_sellers,
        num_pairs,
        num_purchases,
        probability=num_purchases / num_pairs if num_pairs else float("nan"),
        expected=float(expected.sum()) / num_pairs if num_pairs else float("nan"),
        ratio=_ratio(new.astype(np.float64), expected),
    )
