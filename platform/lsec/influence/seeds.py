"""The set of streamers that reaches the most users for a budget, by lazy greedy selection.

A streamer s in the set reaches user u with probability p_su, independently of the others, so a set A reaches
f(A) = Σ_u w_u (1 − Π_{s in A} (1 − p_su)) users, each weighing w_u. What a streamer adds shrinks as the set
grows: f is submodular, which is what makes greedy selection good, an old gain a bound on the new one, and
the gains at the end a bound on the best set there is.
"""

import heapq
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from lsec.core.errors import InvalidInput
from lsec.influence.pairs import distinct
from lsec.influence.rows import Touches, TouchKind

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ONE_CONSTRAINT: Final = 1 - float(np.exp(-1))
"""What greedy keeps of the best set of k: Nemhauser, Wolsey and Fisher 1978."""
FOLLOW_REACH: Final = 0.1
"""Probability that a stream reaches a follower who watched none in the window."""

Rule = Literal["reach", "reach per cost"]


@dataclass(frozen=True, slots=True)
class Reach:
    """Which users a streamer reaches: pairs streamers[E], users[E] with their probabilities[E]."""

    num_streamers: int
    num_users: int
    streamers: Ints
    users: Ints
    probabilities: Floats

    def __post_init__(self) -> None:
        if not len(self.streamers) == len(self.users) == len(self.probabilities):
            raise InvalidInput("The columns of a reach have different lengths.")
        if not np.all((self.probabilities >= 0) & (self.probabilities <= 1)):
            raise InvalidInput("A probability of reaching a user is not between 0 and 1.")


@dataclass(frozen=True, slots=True)
class Seeds:
    """Streamers[k] in the order chosen, what each added to the reach and costs, and how good the set is.

    No set within the constraints reaches more than upper_bound; guarantee is the share of the best set
    that this rule never falls below, 0 where both a budget and a number bind and nothing is proven.
    num_evaluations counts the gains computed, over both rules.
    """

    streamers: Ints
    marginal_reach: Floats
    costs: Floats
    rule: Rule
    guarantee: float
    upper_bound: float
    num_evaluations: int

    @property
    def reach(self) -> float:
        return float(self.marginal_reach.sum())

    @property
    def share_of_bound(self) -> float:
        """The reach over the bound: at least this share of the best set; 1 when nobody can be reached."""
        return min(self.reach / self.upper_bound, 1.0) if self.upper_bound > 0 else 1.0


def choose_seeds(
    reach: Reach,
    *,
    max_seeds: int | None = None,
    costs: Floats | None = None,
    budget: float | None = None,
    weights: Floats | None = None,
) -> Seeds:
    """The better of the greedy sets by reach and by reach per cost, of at most max_seeds within the budget.

    costs[S] are above 0, of 1 when left out; weights[U] say what reaching a user is worth, 1 when left out.
    Ties go to the lower row; a streamer who adds nothing is not chosen. InvalidInput without any constraint,
    or for a cost, weight, number or budget out of range.
    Source: Leskovec et al. 2007, Cost-effective outbreak detection in networks, sections 3 and 4.
    """
    if max_seeds is None and budget is None:
        raise InvalidInput("Choosing seeds needs a number of them, a budget, or both.")
    num = reach.num_streamers
    prices = np.ones(num) if costs is None else costs
    values = np.ones(reach.num_users) if weights is None else weights
    limit = num if max_seeds is None else max_seeds
    money = float(np.sum(prices)) if budget is None else budget
    _validate(reach, prices, values, limit, money)
    audience = _Audience(reach)
    rules: tuple[Rule, ...] = ("reach", "reach per cost")
    # Equal costs give both rules the same order.
    if not num or np.all(prices == prices[0]):
        rules = ("reach",)
    sets = {rule: _lazy_greedy(audience, values, prices, limit, money, rule) for rule in rules}
    best = max(rules, key=lambda rule: sum(sets[rule].gains))
    chosen = np.array(sets[best].chosen, np.int64)
    # What can be added to any set bounds the best one: the empty set's bound is tighter where few fit.
    known = [_Chosen([], [], 0), *sets.values()]
    return Seeds(
        streamers=chosen,
        marginal_reach=np.array(sets[best].gains, np.float64),
        costs=prices[chosen],
        rule=best,
        guarantee=_guarantee(prices, limit, money),
        upper_bound=min(_bound(audience, values, one, prices, limit, money) for one in known),
        num_evaluations=sum(one.num_evaluations for one in sets.values()),
    )


def reach_of_touches(
    touches: Touches, num_streams: Ints, *, num_users: int, follow_reach: float = FOLLOW_REACH
) -> Reach:
    """Probability that a next stream reaches each user who follows or watched the streamer.

    It is 1 − (1 − follow_reach if following)(1 − w / (n + 1)), w of the streamer's n = num_streams[S] streams
    having been watched; touches outside any stream count for no stream.
    """
    num_streamers = len(num_streams)
    watching = (touches.kind == TouchKind.WATCH) & (touches.stream >= 0)
    keys = touches.user * num_streamers + touches.streamer
    num_rows = int(touches.stream.max(initial=0)) + 1
    seen = distinct(keys[watching] * num_rows + touches.stream[watching]) // num_rows
    followed = distinct(keys[touches.kind == TouchKind.FOLLOW])
    pairs, codes = np.unique(np.concatenate([seen, followed]), return_inverse=True)
    streamers = pairs % max(num_streamers, 1)
    num_watched = np.bincount(codes[: len(seen)], minlength=len(pairs)).astype(np.float64)
    misses: Floats = 1 - np.minimum(num_watched / (num_streams[streamers] + 1), 1)
    misses[codes[len(seen) :]] *= 1 - follow_reach
    return Reach(num_streamers, num_users, streamers, pairs // max(num_streamers, 1), 1 - misses)


class _Audience:
    """The reach by streamer. `left` below is what each user is still worth, [U]."""

    def __init__(self, reach: Reach) -> None:
        order = np.lexsort((reach.users, reach.streamers))
        self.num_streamers = reach.num_streamers
        self.streamers = reach.streamers[order]
        self.users = reach.users[order]
        self.probabilities = reach.probabilities[order]
        self.starts = np.searchsorted(self.streamers, np.arange(reach.num_streamers + 1))
        if np.any((np.diff(self.streamers) == 0) & (np.diff(self.users) == 0)):
            raise InvalidInput("A pair of a streamer and a user is given twice.")

    def all_gains(self, left: Floats) -> Floats:
        gains = np.bincount(
            self.streamers, left[self.users] * self.probabilities, minlength=self.num_streamers
        )
        return gains.astype(np.float64)

    def gain(self, left: Floats, streamer: int) -> float:
        own = slice(self.starts[streamer], self.starts[streamer + 1])
        return float(left[self.users[own]] @ self.probabilities[own])

    def cover(self, left: Floats, streamer: int) -> None:
        own = slice(self.starts[streamer], self.starts[streamer + 1])
        left[self.users[own]] *= 1 - self.probabilities[own]


@dataclass(frozen=True, slots=True)
class _Chosen:
    chosen: list[int]
    gains: list[float]
    num_evaluations: int


def _lazy_greedy(
    audience: _Audience, weights: Floats, prices: Floats, limit: int, money: float, rule: Rule
) -> _Chosen:
    """CELF: a gain is computed again only when its old value, a bound on the new one, is the largest."""
    left = weights.copy()
    gains = audience.all_gains(left)
    divisors = prices if rule == "reach per cost" else np.ones_like(prices)
    # Entries are (−priority, streamer, its gain, the size of the set that the gain is for).
    heap = [
        (-gain / divisor, streamer, gain, 0)
        for streamer, (gain, divisor) in enumerate(zip(gains.tolist(), divisors.tolist(), strict=True))
    ]
    heapq.heapify(heap)
    found = _Chosen([], [], 0)
    num_evaluations = len(heap)
    while heap and len(found.chosen) < limit:
        _, streamer, gain, size = heapq.heappop(heap)
        if prices[streamer] > money:
            continue
        if size < len(found.chosen):
            gain = audience.gain(left, streamer)
            num_evaluations += 1
            heapq.heappush(heap, (-gain / float(divisors[streamer]), streamer, gain, len(found.chosen)))
            continue
        if gain <= 0:
            break
        found.chosen.append(streamer)
        found.gains.append(gain)
        audience.cover(left, streamer)
        money -= float(prices[streamer])
    return _Chosen(found.chosen, found.gains, num_evaluations)


def _guarantee(prices: Floats, limit: int, money: float) -> float:
    """The proven share of the best set, for whichever constraint can bind at all."""
    ordered = np.sort(prices)
    limit = min(limit, len(prices))
    if not limit or np.all(prices == prices[0]) or ordered[len(prices) - limit :].sum() <= money:
        return ONE_CONSTRAINT
    if limit == len(prices) or ordered[: limit + 1].sum() > money:
        return ONE_CONSTRAINT / 2
    return 0.0


def _bound(
    audience: _Audience, weights: Floats, known: _Chosen, prices: Floats, limit: int, money: float
) -> float:
    """The reach that no set within the constraints passes: that of a known one and the most it can gain."""
    left = weights.copy()
    for streamer in known.chosen:
        audience.cover(left, streamer)
    remaining = audience.all_gains(left)
    remaining[known.chosen] = 0
    return sum(known.gains) + _most_addable(remaining, prices, limit, money)


def _most_addable(gains: Floats, prices: Floats, limit: int, money: float) -> float:
    """The most that any set within the constraints can add to one after which gains[S] are left.

    The sum of gains is at most that of the `limit` largest, and at most that of the fractional knapsack. A
    streamer dearer than the budget is in no set.
    """
    gains = np.where(prices <= money, gains, 0)
    largest = float(np.sort(gains)[len(gains) - min(limit, len(gains)) :].sum())
    order = np.argsort(-gains / prices, kind="stable")
    before = np.cumsum(prices[order]) - prices[order]
    taken = np.clip((money - before) / prices[order], 0, 1)
    return min(largest, float(gains[order] @ taken))


def _validate(reach: Reach, prices: Floats, values: Floats, limit: int, money: float) -> None:
    if len(prices) != reach.num_streamers or not np.all(np.isfinite(prices) & (prices > 0)):
        raise InvalidInput("Every streamer needs a cost above 0.", field="costs")
    if len(values) != reach.num_users or not np.all(np.isfinite(values) & (values >= 0)):
        raise InvalidInput("Every user needs a weight of 0 or more.", field="weights")
    if limit < 1:
        raise InvalidInput("The number of seeds is below 1.", field="max_seeds")
    if not money >= 0:
        raise InvalidInput("The budget is below 0.", field="budget")
