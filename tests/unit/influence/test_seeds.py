"""Seed sets against exhaustive search and plain greedy selection."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lsec.core.errors import InvalidInput
from lsec.influence.rows import Touches, TouchKind
from lsec.influence.seeds import Reach, choose_seeds, reach_of_touches

Floats = NDArray[np.float64]


def reach_of(matrix: Floats) -> Reach:
    """The reach whose probabilities are the matrix [S, U]; zeros are left out."""
    streamers, users = np.nonzero(matrix)
    order = np.random.default_rng(0).permutation(len(users))
    streamers, users = streamers[order], users[order]
    return Reach(len(matrix), matrix.shape[1], streamers, users, matrix[streamers, users])


def drawn(seed: int, num_streamers: int, num_users: int, *, certain: bool = False) -> Floats:
    rng = np.random.default_rng(seed)
    shown = rng.random((num_streamers, num_users)) < rng.random((num_streamers, 1)) * 0.6
    return np.where(shown, 1.0 if certain else rng.random(shown.shape), 0.0)


def value(matrix: Floats, chosen: list[int], weights: Floats) -> float:
    return float(weights @ (1 - np.prod(1 - matrix[chosen], axis=0)))


def best_of_all(matrix: Floats, weights: Floats, costs: Floats, max_seeds: int, budget: float) -> float:
    sets = (list(one) for size in range(max_seeds + 1) for one in combinations(range(len(matrix)), size))
    return max(value(matrix, one, weights) for one in sets if costs[one].sum() <= budget)


def plain_greedy(
    matrix: Floats, weights: Floats, costs: Floats, max_seeds: int, budget: float, *, per_cost: bool
) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < max_seeds:
        now = value(matrix, chosen, weights)
        gains = [
            (value(matrix, [*chosen, s], weights) - now) / (costs[s] if per_cost else 1)
            if s not in chosen and costs[[*chosen, s]].sum() <= budget
            else 0.0
            for s in range(len(matrix))
        ]
        if max(gains) <= 1e-12:
            break
        chosen.append(int(np.argmax(gains)))
    return chosen


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.booleans())
def test_k_seeds_reach_what_is_guaranteed_and_no_set_passes_the_bound(
    seed: int, max_seeds: int, certain: bool
) -> None:
    matrix = drawn(seed, 8, 30, certain=certain)
    weights = np.random.default_rng(seed).random(30)
    found = choose_seeds(reach_of(matrix), max_seeds=max_seeds, weights=weights)
    best = best_of_all(matrix, weights, np.ones(8), max_seeds, np.inf)
    assert found.guarantee == pytest.approx(1 - 1 / np.e)
    assert found.guarantee * best - 1e-9 <= found.reach <= best + 1e-9 <= found.upper_bound + 2e-9
    assert found.reach == pytest.approx(value(matrix, found.streamers.tolist(), weights))
    assert len(found.streamers) <= max_seeds


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 1), st.one_of(st.none(), st.integers(1, 4)))
def test_a_budget_is_kept_and_the_guarantee_and_the_bound_hold(
    seed: int, share: float, max_seeds: int | None
) -> None:
    matrix = drawn(seed, 8, 30)
    costs = np.random.default_rng(seed + 1).integers(1, 20, 8).astype(np.float64)
    weights, budget = np.ones(30), float(share * costs.sum())
    found = choose_seeds(reach_of(matrix), costs=costs, budget=budget, max_seeds=max_seeds)
    best = best_of_all(matrix, weights, costs, max_seeds or 8, budget)
    assert found.costs.sum() <= budget
    assert found.guarantee * best - 1e-9 <= found.reach <= best + 1e-9 <= found.upper_bound + 2e-9
    assert found.share_of_bound <= 1
    if max_seeds is None:
        assert found.guarantee >= (1 - 1 / np.e) / 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_lazy_selection_chooses_what_plain_greedy_selection_does(seed: int) -> None:
    matrix = drawn(seed, 12, 40)
    costs = np.random.default_rng(seed + 2).integers(1, 9, 12).astype(np.float64)
    budget, weights = float(costs.sum() / 3), np.ones(40)
    found = choose_seeds(reach_of(matrix), costs=costs, budget=budget)
    by_rule = {
        "reach": plain_greedy(matrix, weights, costs, 12, budget, per_cost=False),
        "reach per cost": plain_greedy(matrix, weights, costs, 12, budget, per_cost=True),
    }
    assert found.streamers.tolist() == by_rule[found.rule]
    values = [value(matrix, chosen, weights) for chosen in by_rule.values()]
    assert found.reach == pytest.approx(max(values))


def test_few_gains_are_computed_again() -> None:
    rng = np.random.default_rng(4)
    sizes = np.minimum((rng.pareto(1.1, 1000) * 10 + 1).astype(np.int64), 5000)
    streamers = np.repeat(np.arange(1000), sizes)
    users = np.concatenate([rng.choice(20_000, size, replace=False) for size in sizes])
    reach = Reach(1000, 20_000, streamers, users, rng.random(len(users)))
    found = choose_seeds(reach, max_seeds=50)
    assert len(found.streamers) == 50
    assert found.num_evaluations < 1000 + 50 * 1000 / 20
    assert found.share_of_bound > 0.8


def test_marginal_reaches_fall_and_ties_go_to_the_lower_row() -> None:
    matrix = np.repeat(np.eye(3), 2, axis=0)
    found = choose_seeds(reach_of(matrix), max_seeds=6)
    assert found.streamers.tolist() == [0, 2, 4]
    assert found.marginal_reach.tolist() == [1, 1, 1]
    assert (found.reach, found.upper_bound, found.share_of_bound) == (3, 3, 1)


def test_one_dear_streamer_beats_a_cheap_one_of_better_value() -> None:
    matrix = np.zeros((2, 100))
    matrix[0, :2], matrix[1] = 1, 1
    costs = np.array([1.0, 100.0])
    found = choose_seeds(reach_of(matrix), costs=costs, budget=100)
    assert (found.streamers.tolist(), found.rule) == ([1], "reach")


def test_nothing_affordable_gives_an_empty_set() -> None:
    found = choose_seeds(reach_of(np.ones((3, 2))), costs=np.full(3, 5.0), budget=4)
    assert (found.streamers.tolist(), found.reach, found.upper_bound) == ([], 0, 0)
    assert choose_seeds(reach_of(np.zeros((3, 2))), max_seeds=2).share_of_bound == 1


def test_a_choice_out_of_range_is_refused() -> None:
    reach = reach_of(np.ones((2, 2)))
    with pytest.raises(InvalidInput, match="a number of them, a budget"):
        choose_seeds(reach)
    with pytest.raises(InvalidInput, match="cost above 0"):
        choose_seeds(reach, budget=3, costs=np.array([0.0, 1.0]))
    with pytest.raises(InvalidInput, match="weight of 0"):
        choose_seeds(reach, max_seeds=1, weights=np.array([-1.0, 1.0]))
    with pytest.raises(InvalidInput, match="below 1"):
        choose_seeds(reach, max_seeds=0)
    with pytest.raises(InvalidInput, match="budget is below"):
        choose_seeds(reach, budget=-1)
    ones = np.ones(1, np.int64)
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        Reach(2, 2, ones, ones, np.array([1.5]))
    with pytest.raises(InvalidInput, match="different lengths"):
        Reach(2, 2, ones, ones, np.ones(2))
    with pytest.raises(InvalidInput, match="twice"):
        choose_seeds(Reach(2, 2, ones.repeat(2), ones.repeat(2), np.ones(2)), max_seeds=1)


def test_who_follows_or_watched_more_streams_is_reached_more_surely() -> None:
    rows = [
        # user, streamer, kind, stream
        (0, 0, TouchKind.WATCH, 5),
        (0, 0, TouchKind.WATCH, 5),
        (0, 0, TouchKind.WATCH, 6),
        (0, 0, TouchKind.FOLLOW, -1),
        (1, 0, TouchKind.WATCH, 6),
        (2, 1, TouchKind.FOLLOW, -1),
        (2, 1, TouchKind.WATCH, -1),
        (3, 1, TouchKind.VIEW, 7),
    ]
    user, streamer, kind, stream = np.array(rows).T
    zeros = np.zeros(len(rows), np.int64)
    touches = Touches(user, streamer, kind.astype(np.int8), zeros, zeros - 1, stream)
    reach = reach_of_touches(touches, np.array([3, 1]), num_users=4, follow_reach=0.2)
    found = zip(reach.streamers.tolist(), reach.users.tolist(), reach.probabilities.tolist(), strict=True)
    assert sorted(found) == [
        (0, 0, pytest.approx(1 - 0.8 * 0.5)),
        (0, 1, pytest.approx(0.25)),
        (1, 2, pytest.approx(0.2)),
    ]
