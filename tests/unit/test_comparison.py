"""Intervals and the paired bootstrap: against scipy, against coverage of known truths, and their limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lsec.core.comparison import DRAWS_PER_CHUNK, mean_interval, paired_bootstrap


def test_the_interval_of_a_mean_equals_scipys_normal_one() -> None:
    values = np.random.default_rng(0).random(200)
    found = mean_interval(values)
    low, high = stats.norm.interval(0.95, loc=values.mean(), scale=stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high), abs=1e-6)
    assert found.num == 200


def test_a_single_value_has_no_known_error() -> None:
    assert mean_interval(np.array([0.5])).high == float("inf")


def test_the_bootstrap_agrees_with_scipys_also_over_several_chunks() -> None:
    assert DRAWS_PER_CHUNK < 300 * 20_000
    rng = np.random.default_rng(1)
    second = rng.random(300)
    first = second + rng.normal(0.02, 0.1, 300)
    ours = paired_bootstrap({"ndcg": first}, {"ndcg": second}, num_resamples=20_000)["ndcg"]
    theirs = stats.bootstrap((first - second,), np.mean, n_resamples=20_000, method="percentile", rng=rng)
    assert ours.difference == pytest.approx(np.mean(first - second))
    interval = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=5e-4)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    num_held = 0
    for seed in range(200):
        second = rng.random(150)
        first = second + rng.normal(0.05, 0.2, 150)
        found = paired_bootstrap({"x": first}, {"x": second}, num_resamples=400, seed=seed)["x"]
        num_held += found.low <= 0.05 <= found.high
    assert 0.9 <= num_held / 200 <= 0.99


def test_a_clear_difference_has_a_small_p_and_none_a_large_one() -> None:
    values = np.random.default_rng(3).random(500)
    assert paired_bootstrap({"x": values + 0.01}, {"x": values})["x"].p < 0.001
    same = paired_bootstrap({"x": values}, {"x": values})["x"]
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_exchanging_the_runs_turns_the_difference_around(seed: int, num: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.random(num), rng.random(num)
    there = paired_bootstrap({"x": first}, {"x": second}, num_resamples=200, seed=seed)["x"]
    back = paired_bootstrap({"x": second}, {"x": first}, num_resamples=200, seed=seed)["x"]
    assert (there.difference, there.low, there.high) == pytest.approx(
        (-back.difference, -back.high, -back.low)
    )
    assert there.p == back.p


def test_figures_of_one_run_are_compared_on_the_same_resamples() -> None:
    rng = np.random.default_rng(4)
    first = {"a": rng.random(50), "only here": rng.random(50), "b": rng.random(50)}
    second = {"b": rng.random(50), "a": rng.random(50)}
    found = paired_bootstrap(first, second, num_resamples=300)
    assert found.keys() == {"a", "b"}
    alone = paired_bootstrap({"b": first["b"]}, {"b": second["b"]}, num_resamples=300)
    assert found["b"].low == pytest.approx(alone["b"].low)


def test_runs_over_different_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="different numbers"):
        paired_bootstrap({"x": np.zeros(3)}, {"x": np.zeros(4)})
    with pytest.raises(ValueError, match="not a number"):
        paired_bootstrap({"x": np.array([np.nan, 1])}, {"x": np.zeros(2)})


def test_nothing_to_compare_gives_nothing() -> None:
    assert paired_bootstrap({"x": np.zeros(0)}, {"x": np.zeros(0)}) == {}
    assert paired_bootstrap({"x": np.zeros(2)}, {"y": np.zeros(2)}) == {}
