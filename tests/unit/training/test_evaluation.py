"""The report of a selection: the figures, their intervals, the segments, and popularity beside them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lsec.core.metrics import candidate_metrics
from tests.unit.training.markets import interactions, market
from workers.training.data import Interactions, distinct_pairs
from workers.training.evaluation import evaluated, popularity_scorer, segment_tables, selection_report
from workers.training.full_ranking import full_ranking_metrics
from workers.training.hyperparameters import Hyperparameters
from workers.training.ranking import Scorer
from workers.training.segments import product_segments, user_segments
from workers.training.validation import Validation, validation_split


@pytest.fixture
def validation(tmp_path: Path) -> Validation:
    data = market(tmp_path, num_users=200, num_products=150, num_buys=3000)
    return validation_split(data, Hyperparameters(num_candidates=100, max_validation_users=150), seed=1)


def taste_scorer(data: Interactions) -> Scorer:
    """Knows the planted taste: users like products of their own parity."""
    users, products = (
        torch.nn.functional.one_hot(torch.tensor([int(i[1:]) % 2 for i in ids.tolist()]), 2).float()
        for ids in (data.user_ids, data.product_ids)
    )
    noise = torch.rand(len(products), generator=torch.Generator().manual_seed(0)) / 10
    return Scorer(users, products, noise, 1.0)


def test_the_report_holds_the_figures_of_both_protocols(validation: Validation) -> None:
    scorer = taste_scorer(validation.train)
    report = selection_report(scorer, validation)
    lists = validation.lists
    assert report["num_validation_users"] == len(lists) == 150
    assert report["num_unknown_held_out"] == 0
    popular = popularity_scorer(validation.train)
    listed = validation.held_out[np.isin(validation.held_out.sources, lists.users)]
    for ranker, found in ((scorer, report), (popular, report["popularity"])):
        assert found["candidates"] == candidate_metrics(lists, ranker.candidates(lists))
        expected = full_ranking_metrics(ranker, listed, validation.train.buys, k=20)
        assert found["full_ranking"] == pytest.approx(expected)
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_intervals_and_differences_lie_around_the_means(validation: Validation) -> None:
    report = selection_report(taste_scorer(validation.train), validation)
    for protocol in ("candidates", "full_ranking"):
        for name, (low, high) in report["intervals"][protocol].items():
            assert low <= report[protocol][name] <= high
            assert low < high or report[protocol][name] == 1.0
    found = report["over_popularity"]
    assert found.keys() == {"ndcg@10", "recall@10", "ndcg@20", "recall@20"}
    for name, difference in found.items():
        protocol = "full_ranking" if name.endswith("@20") else "candidates"
        means = report[protocol][name], report["popularity"][protocol][name]
        assert difference["difference"] == pytest.approx(means[0] - means[1])
        assert difference["low"] < difference["difference"] < difference["high"]
    assert found["ndcg@10"]["low"] > 0


def test_a_single_user_has_figures_without_an_interval() -> None:
    data = interactions([(0, p) for p in range(6)], num_users=1, num_products=9)
    validation = validation_split(data, Hyperparameters(validation_share=0.4), seed=0)
    report = selection_report(popularity_scorer(validation.train), validation)
    assert report["num_validation_users"] == 1
    assert report["intervals"] == {"candidates": {}, "full_ranking": {}}
    assert report["over_popularity"]["ndcg@10"]["difference"] == 0
    json.dumps(report, allow_nan=False)


def test_the_segments_of_users_part_them_twice(validation: Validation) -> None:
    report = selection_report(taste_scorer(validation.train), validation)
    users = report["segments"]["users"]
    for names in (("new", "light", "heavy"), ("followers", "non_followers")):
        found = [users[name] for name in names if users[name]["num_users"]]
        num = sum(segment["num_users"] for segment in found)
        assert num == 150
        mean = sum(segment["num_users"] * segment["ndcg@10"] for segment in found) / num
        assert mean == pytest.approx(report["candidates"]["ndcg@10"])


def test_the_segments_of_products_part_the_recall(validation: Validation) -> None:
    ours = evaluated(taste_scorer(validation.train), validation)
    table = segment_tables(ours, validation.train)["products"]
    is_in = product_segments(validation.train)
    held_out = ours.top.held_out
    for name, mask in is_in.items():
        users = np.unique(held_out.sources[mask[held_out.targets]])
        assert table[name]["num_users"] == len(users)
    everything = ours.top.recall(np.ones(validation.train.num_products, np.bool_), k=20)
    assert everything == pytest.approx(ours.full_ranking["recall@20"])


def test_users_are_new_light_or_heavy_by_distinct_products() -> None:
    pairs = [(user, product) for user, num in enumerate([0, 4, 5, 19, 20]) for product in range(num)]
    pairs += [(1, 0)] * 30  # bought again and again
    data = interactions(pairs, num_users=5, num_products=20)
    segments = user_segments(data)
    found = {name: np.flatnonzero(segments[name]).tolist() for name in ("new", "light", "heavy")}
    assert found == {"new": [0, 1], "light": [2, 3], "heavy": [4]}
    assert segments["non_followers"].all()
    assert not segments["followers"].any()


def test_products_are_head_middle_or_tail_by_thirds_of_the_purchases() -> None:
    # 9 purchases each third: one product of 9, then 5 and 4, then 3 of 3, and one never bought.
    counts = [3, 9, 0, 5, 3, 4, 3]
    pairs = [(user, product) for product, num in enumerate(counts) for user in range(num)]
    segments = product_segments(interactions(pairs, num_users=9, num_products=7))
    found = {name: np.flatnonzero(mask).tolist() for name, mask in segments.items()}
    assert found == {"head": [1], "middle": [3, 5], "tail": [0, 2, 4, 6]}


def test_a_market_without_purchases_is_all_tail_and_all_new() -> None:
    data = interactions([], num_users=2, num_products=3)
    assert product_segments(data)["tail"].all()
    assert user_segments(data)["new"].all()


def test_popularity_ranks_by_purchases_and_then_by_row() -> None:
    data = interactions([(0, 2), (1, 2), (0, 1), (1, 3)], num_users=2, num_products=5)
    scores = popularity_scorer(data).all_products(torch.tensor([0]))[0]
    assert scores.argsort(descending=True).tolist() == [2, 1, 3, 0, 4]
    twice = distinct_pairs(np.array([0, 0, 1]), np.array([4, 4, 2]))
    assert twice.counts.tolist() == [2, 1]
