"""What the benchmark of a warm start says of a small market."""

from typing import Any

import numpy as np
import pytest

from bench.small_market import small_sets
from bench.warm_start import measure, purchases_before
from workers.training.hyperparameters import Hyperparameters


def test_the_figures_of_a_set_are_of_both_trainings_and_their_difference() -> None:
    data = small_sets()[0]
    hp = Hyperparameters.from_mapping({"num_steps": 4, "validate_every": 2, "dimensions": 8})
    assert data.test is not None
    figures: dict[str, Any] = measure(data, data.test, hp, seeds=1)
    low, high = figures["gain_interval"]
    assert low <= figures["gain"] <= high
    assert low < high  # the two are not one training
    assert figures["gain"] == pytest.approx(figures["warm_ndcg@10"] - figures["cold_ndcg@10"])
    assert figures["speedup"] == pytest.approx(figures["cold_s"] / figures["warm_s"])
    assert (figures["cold_steps"], figures["warm_steps"]) == (4, 3)


def test_a_tenth_of_the_purchases_comes_later_and_users_with_none_before_are_new() -> None:
    data = small_sets()[0].train
    before = purchases_before(data, seed=0)
    assert len(before.buys) / len(data.buys) == pytest.approx(0.9, abs=0.03)
    assert np.array_equal(np.unique(before.buys.sources), np.arange(before.num_users))
    pairs = {
        name: set(zip(d.user_ids[d.buys.sources].tolist(), d.buys.targets.tolist(), strict=True))
        for name, d in (("all", data), ("before", before))
    }
    assert pairs["before"] < pairs["all"]
