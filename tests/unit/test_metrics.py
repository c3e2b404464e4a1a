"""The candidate protocol's figures against scikit-learn and a plain loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from lsec.core.metrics import CandidateLists, candidate_lists, candidate_metrics


def random_lists(
    seed: int, *, ties: bool
) -> tuple[CandidateLists, np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    """Lists of unequal length with their scores, few distinct ones where ties are wanted."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 30, 12)
    users = np.repeat(np.arange(12), lengths)
    products = np.concatenate([rng.permutation(100)[:n] for n in lengths])
    lists = candidate_lists(users, products, rng.random(len(users)) < 0.3)
    scores = rng.integers(0, 4, lists.products.shape) if ties else rng.normal(size=lists.products.shape)
    return lists, scores.astype(np.float64)


def reference(
    lists: CandidateLists, scores: np.ndarray[tuple[int, int], np.dtype[np.float64]], k: int
) -> dict[str, float]:
    figures: dict[str, list[float]] = {"auc": [], "mrr": [], f"ndcg@{k}": [], f"recall@{k}": []}
    for row in range(len(lists)):
        valid = lists.is_valid[row]
        labels, values = lists.is_positive[row][valid], scores[row][valid]
        order = sorted(range(len(values)), key=lambda i: -values[i])
        ranks = [place + 1 for place, i in enumerate(order) if labels[i]]
        gain = sum(1 / np.log2(rank + 1) for rank in ranks if rank <= k)
        ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(k, len(ranks)) + 1))
        figures["auc"].append(roc_auc_score(labels, values))
        figures["mrr"].append(sum(1 / rank for rank in ranks) / len(ranks))
        figures[f"ndcg@{k}"].append(gain / ideal)
        figures[f"recall@{k}"].append(sum(rank <= k for rank in ranks) / len(ranks))
    return {name: float(np.mean(values)) for name, values in figures.items()}


@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([1, 3, 10, 50]))
def test_the_figures_equal_a_plain_loop(seed: int, ties: bool, k: int) -> None:
    lists, scores = random_lists(seed, ties=ties)
    expected = reference(lists, scores, k)
    assert candidate_metrics(lists, scores, cutoffs=(k,)) == pytest.approx(expected)


def test_ndcg_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20, 50))
    positive = rng.random((20, 50)) < 0.2
    lists = CandidateLists(np.arange(20), np.tile(np.arange(50), (20, 1)), positive)
    expected = ndcg_score(positive, scores, k=10)
    assert candidate_metrics(lists, scores)["ndcg@10"] == pytest.approx(expected)


def test_a_perfect_ranking_scores_one_and_a_constant_one_half() -> None:
    lists = candidate_lists(np.zeros(6, int), np.arange(6), np.arange(6) < 2)
    best = candidate_metrics(lists, -lists.products.astype(float))
    assert best["auc"] == best["ndcg@10"] == best["recall@10"] == 1.0
    assert candidate_metrics(lists, np.zeros((1, 6)))["auc"] == 0.5


def test_a_list_does_not_show_its_labels_by_its_order() -> None:
    users, products = np.zeros(4, int), np.array([9, 3, 7, 1])
    lists = candidate_lists(users, products, np.array([True, False, False, False]))
    assert lists.products.tolist() == [[1, 3, 7, 9]]


def test_a_list_of_one_kind_is_left_out() -> None:
    lists = candidate_lists(
        np.array([0, 0, 1, 1]), np.array([1, 2, 1, 2]), np.array([True, True, False, True])
    )
    assert lists.users.tolist() == [1]


def test_no_lists_give_no_figures() -> None:
    nothing = np.empty(0, np.int64)
    lists = candidate_lists(nothing, nothing, np.empty(0, np.bool_))
    assert candidate_metrics(lists, np.empty((0, 0))) == {}


def test_a_score_that_is_not_a_number_is_refused() -> None:
    lists = candidate_lists(np.zeros(2, int), np.arange(2), np.array([True, False]))
    with pytest.raises(ValueError, match="not a number"):
        candidate_metrics(lists, np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match="shape"):
        candidate_metrics(lists, np.zeros((1, 3)))
