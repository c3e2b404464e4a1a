"""The figures of both protocols against scikit-learn, PyG and a plain loop."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from lsec.core.metrics import (
    CandidateLists,
    candidate_lists,
    candidate_metrics,
    list_figures,
    ranked_positives,
    top_figures,
)
from tests.unit.pyg import pyg_metrics


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
) -> dict[str, list[float]]:
    """Each list's figures by a plain loop, with AUC by scikit-learn."""
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
    return figures


@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([1, 3, 10, 50]))
def test_the_figures_of_each_list_equal_a_plain_loop(seed: int, ties: bool, k: int) -> None:
    lists, scores = random_lists(seed, ties=ties)
    expected = reference(lists, scores, k)
    found = list_figures(lists, scores, cutoffs=(k,))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values)
    means = {name: float(np.mean(values)) for name, values in expected.items()}
    assert candidate_metrics(lists, scores, cutoffs=(k,)) == pytest.approx(means)


@given(st.integers(0, 10_000), st.booleans())
def test_single_precision_gives_the_same_ranks(seed: int, ties: bool) -> None:
    lists, scores = random_lists(seed, ties=ties)
    half = scores.astype(np.float32)
    double, single = (ranked_positives(lists, values) for values in (half.astype(np.float64), half))
    assert np.array_equal(double.ranks, single.ranks)
    assert np.array_equal(double.mid_ranks, single.mid_ranks)


def test_scores_of_minus_infinity_rank_last_but_before_padding() -> None:
    lists = candidate_lists(
        np.array([0, 0, 0, 1, 1, 1, 1, 1]),
        np.array([1, 2, 3, 1, 2, 3, 4, 5]),
        np.array([False, False, True, True, False, False, False, False]),
    )
    scores = np.full(lists.products.shape, -np.inf)
    scores[0, 3:] = 9  # pads, whose scores are nobody's
    ranked = ranked_positives(lists, scores)
    assert ranked.ranks.tolist() == [3, 1]
    assert ranked.mid_ranks.tolist() == [2, 3]
    assert list_figures(lists, scores)["auc"].tolist() == [0.5, 0.5]


def test_equal_scores_keep_the_order_of_products() -> None:
    users, products = np.zeros(40, int), np.random.default_rng(0).permutation(40)
    lists = candidate_lists(users, products, products == 17)
    assert ranked_positives(lists, np.zeros((1, 40))).ranks.tolist() == [18]


@given(st.integers(0, 10_000), st.sampled_from([1, 3, 10]))
def test_recall_of_some_products_counts_them_alone(seed: int, k: int) -> None:
    lists, scores = random_lists(seed, ties=True)
    is_counted = np.random.default_rng(seed).random(100) < 0.3
    found = ranked_positives(lists, scores).recall(is_counted, k=k)
    for row in range(len(lists)):
        listed = [p for p in lists.products[row].tolist() if p >= 0]
        best = sorted(range(len(listed)), key=lambda i: -scores[row, i])[:k]
        counted = {p for i, p in enumerate(listed) if lists.is_positive[row, i] and is_counted[p]}
        if counted:
            assert found[row] == pytest.approx(len(counted & {listed[i] for i in best}) / len(counted))
        else:
            assert np.isnan(found[row])


def top_lists(seed: int, *, num_positives: int | None = None) -> tuple[np.ndarray[Any, Any], CandidateLists]:
    """The products [20, 30] of full lists, best first, and the lists, in which some are positive."""
    rng = np.random.default_rng(seed)
    products = np.tile(np.arange(30), (20, 1))
    num = rng.integers(1, 12, 20) if num_positives is None else np.full(20, num_positives)
    is_positive = rng.random((20, 30)).argsort(axis=1) < num[:, None]
    return rng.random((20, 30)).argsort(axis=1), CandidateLists(np.arange(20), products, is_positive)


@pytest.mark.parametrize("k", [1, 5, 30])
def test_recall_and_ndcg_equal_pygs(k: int) -> None:
    top, lists = top_lists(k)
    is_hit = np.take_along_axis(lists.is_positive, top, axis=1)
    found = top_figures(is_hit, lists.is_positive.sum(axis=1), cutoffs=(k,))
    labels = torch.from_numpy(np.stack(np.nonzero(lists.is_positive)))
    metrics = pyg_metrics()
    for name, metric in {"recall": metrics.LinkPredRecall(k), "ndcg": metrics.LinkPredNDCG(k)}.items():
        metric.update(torch.from_numpy(top), labels)
        assert found[f"{name}@{k}"].mean() == pytest.approx(float(metric.compute()), rel=1e-5)


def test_mrr_equals_pygs_only_for_users_with_one_positive() -> None:
    """PyG's MRR counts the first positive alone and none below k; ours is the mean over all positives."""
    for num_positives in (1, 4):
        top, lists = top_lists(0, num_positives=num_positives)
        scores = -top.argsort(axis=1).astype(np.float64)
        metric = pyg_metrics().LinkPredMRR(30)
        metric.update(torch.from_numpy(top), torch.from_numpy(np.stack(np.nonzero(lists.is_positive))))
        ours, theirs = candidate_metrics(lists, scores)["mrr"], float(metric.compute())
        assert (ours == pytest.approx(theirs, rel=1e-5)) is (num_positives == 1)


def test_top_lists_have_no_figures_beyond_their_length() -> None:
    with pytest.raises(ValueError, match="no figures at 5"):
        top_figures(np.zeros((2, 4), np.bool_), np.ones(2, int), cutoffs=(2, 5))
    short = top_figures(np.array([[True, False]]), np.array([9]), cutoffs=(2,))
    assert short["recall@2"].tolist() == [1 / 9]
    assert short["ndcg@2"].tolist() == pytest.approx([1 / (1 + 1 / np.log2(3))])


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
