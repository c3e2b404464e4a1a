"""What the benchmark of users who are folded in says of a small market."""

from typing import Any

import numpy as np
import pytest

from bench.foldin import measure, without_users, worst
from bench.report import Json
from bench.small_market import small_sets


def test_the_figures_of_a_set_come_with_their_intervals() -> None:
    figures: dict[str, Any] = measure(small_sets()[0], seeds=1, overrides={"num_steps": 5, "dimensions": 8})
    for name in ("share_of_trained", "share_by_same_products", "ms"):
        low, high = figures[f"{name}_interval"]
        assert 0 < low <= figures[name] <= high
    share = figures["ndcg@10_folded_in"] / figures["ndcg@10_trained"]
    assert figures["share_of_trained"] == pytest.approx(share)
    # A fifth of the users, but for the few without a purchase in the test part.
    assert 50 < figures["users"] <= 60


def test_at_the_top_are_the_worst_sets() -> None:
    one: dict[str, Json] = {
        "share_of_trained": 0.9, "share_of_trained_interval": [0.8, 1.0], "ms": 2.0, "ms_interval": [1.0, 3.0]
    }  # fmt: skip
    other: dict[str, Json] = {
        "share_of_trained": 1.0, "share_of_trained_interval": [0.9, 1.1], "ms": 7.0, "ms_interval": [6.0, 8.0]
    }  # fmt: skip
    expected = {name: (one if name.startswith("share") else other)[name] for name in one}
    assert worst({"one": one, "other": other}) == expected


def test_nothing_is_left_of_the_users_who_are_taken_out() -> None:
    data = small_sets()[0].train
    rest = without_users(data, np.array([3, 7]))
    for pairs, before in ((rest.buys, data.buys), (rest.follows, data.follows)):
        assert {3, 7}.isdisjoint(pairs.sources.tolist())
        assert len(pairs) == (~np.isin(before.sources, [3, 7])).sum()
    assert rest.num_users == data.num_users
