"""Coverage, novelty and Gini against PyG, a plain sum over pairs, and lists whose figures are known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lsec.core.beyond_accuracy import beyond_accuracy, coverage, gini, novelty, relative_coverage
from tests.unit.pyg import pyg_metrics


@given(st.integers(0, 10**6))
def test_gini_is_half_the_relative_mean_difference(seed: int) -> None:
    times_shown = np.random.default_rng(seed).integers(0, 9, 20) + np.eye(20, dtype=int)[0]
    differences = np.abs(times_shown[:, None] - times_shown[None, :]).mean()
    assert gini(times_shown) == pytest.approx(differences / (2 * times_shown.mean()))


def test_gini_goes_from_equal_to_one_product_for_all() -> None:
    assert gini(np.full(10, 3)) == pytest.approx(0)
    assert gini(np.eye(10, dtype=int)[4]) == pytest.approx(0.9)
    with pytest.raises(ValueError, match="nothing is shown"):
        gini(np.zeros(3, int))


def test_novelty_is_the_bits_of_equally_popular_products() -> None:
    assert novelty(np.array([1, 0, 3, 0]), np.full(4, 7)) == pytest.approx(2)
    assert np.isfinite(novelty(np.array([1, 1]), np.array([9, 0])))
    assert novelty(np.array([0, 1]), np.array([9, 1])) > novelty(np.array([1, 0]), np.array([9, 1]))


def test_coverage_and_novelty_equal_pygs() -> None:
    rng = np.random.default_rng(0)
    top = np.stack([rng.permutation(50)[:12] for _ in range(9)])
    purchases = rng.integers(0, 30, 50)
    found = beyond_accuracy(top, purchases, k=5)
    bits = -np.log2((purchases + 1) / (purchases.sum() + 50))
    metrics = pyg_metrics()
    theirs = {
        "coverage@5": metrics.LinkPredCoverage(k=5, num_dst_nodes=50),
        # Average popularity is novelty, when a product's bits are given as its popularity.
        "novelty@5": metrics.LinkPredAveragePopularity(k=5, popularity=torch.from_numpy(bits)),
    }
    for name, metric in theirs.items():
        metric.update(torch.from_numpy(top), torch.empty(2, 0, dtype=torch.long))
        assert found[name] == pytest.approx(float(metric.compute()), rel=1e-5)


def test_pads_are_not_shown_and_only_the_top_counts() -> None:
    top = np.array([[0, 1, -1], [0, -1, -1], [0, 2, 3]])
    found = beyond_accuracy(top, np.array([5, 1, 1, 1]), k=2)
    times_shown = np.array([3, 1, 1, 0])
    assert found["coverage@2"] == coverage(times_shown) == 0.75
    assert found["gini@2"] == gini(times_shown)
    assert found["novelty@2"] == novelty(times_shown, np.array([5, 1, 1, 1]))


def test_few_lists_are_held_against_what_they_could_show() -> None:
    # Two places of a hundred products, both used, and a second list that repeats the first.
    assert relative_coverage(np.bincount([3, 7], minlength=100)) == 1
    assert relative_coverage(np.bincount([3, 7, 3, 7], minlength=100)) == 0.5
    # Many places of few products.
    assert relative_coverage(np.array([9, 9, 0, 9])) == coverage(np.array([9, 9, 0, 9])) == 0.75
    with pytest.raises(ValueError, match="nothing is shown"):
        relative_coverage(np.zeros(3, int))


def test_empty_lists_have_no_figures() -> None:
    assert beyond_accuracy(np.full((2, 3), -1), np.ones(4, int), k=3) == {}
    assert beyond_accuracy(np.empty((0, 3), int), np.ones(4, int), k=3) == {}
