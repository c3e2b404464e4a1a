"""The tasks of a step, what is averaged over steps, and going on from there."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training.markets import interactions, market
from workers.training.data import Interactions, distinct_pairs, no_pairs
from workers.training.hyperparameters import Hyperparameters
from workers.training.optimisation import Optimisation
from workers.training.warm_start import Start

CPU = torch.device("cpu")


def learner(
    data: Interactions, start: Start | None = None, **setting: float | tuple[float, ...]
) -> Optimisation:
    hyperparameters = Hyperparameters.from_mapping({"dimensions": 16} | setting)
    return Optimisation(data, hyperparameters, seed=5, device=CPU, start=start)


def moves_streamers(data: Interactions, step: int) -> bool:
    trained = learner(data)
    before = trained.parameters["streamers"].clone()
    trained.step(step)
    return not torch.equal(trained.parameters["streamers"], before)


def test_auxiliary_tasks_take_turns_and_a_single_one_has_every_step(tmp_path: Path) -> None:
    data = market(tmp_path)
    assert [moves_streamers(data, step) for step in (0, 1, 2)] == [True, False, True]
    only_follows = replace(data, viewed=no_pairs(), sells=no_pairs())
    assert [moves_streamers(only_follows, step) for step in (0, 1, 2)] == [True, True, True]


@pytest.mark.parametrize("is_used", [True, False])
def test_a_user_is_drawn_to_what_followed_streamers_sell(is_used: bool) -> None:
    """Users 0 and 1 bought the same; user 0 follows the streamer who sells products 4 and 5."""
    bought = [(user, product) for user in range(6) for product in (user // 2, 3)]
    data = replace(
        interactions(bought, num_users=6, num_products=8),
        streamer_ids=np.array([b"s0"]),
        follows=distinct_pairs(np.array([0]), np.array([0])),
        sells=distinct_pairs(np.array([0, 0]), np.array([4, 5])),
    )
    # Without propagations, in which these two users are the same.
    trained = learner(data, sold_weight=1.0 if is_used else 0.0, follow_weight=0.0, layer_weights=(1.0,))
    for step in range(200):
        trained.step(step)
    users, products, _ = trained.vectors()
    likes = users[:2] @ products[4:6].T
    assert bool((likes[0] > likes[1] + 0.3).all()) == is_used


def test_the_bias_of_a_new_product_begins_with_the_logarithm_of_its_purchases() -> None:
    bought = [(user, product) for product, num in ((0, 7), (1, 3), (3, 1)) for user in range(num)]
    data = interactions(bought, num_users=8, num_products=4)
    bias = learner(data, popularity_start=0.5).parameters["bias"]
    doubled = math.log(2) / 2
    torch.testing.assert_close(bias.diff(), torch.tensor([-doubled, -2 * doubled, doubled]))
    assert bias.mean() == pytest.approx(0, abs=1e-6)

    users, products, streamers = (torch.zeros(num, 16) for num in (8, 4, data.num_streamers))
    is_known = torch.tensor([True, False, False, True])
    start = Start(users, products, streamers, torch.tensor([5.0, 0, 0, 6]), is_known)
    taken_over = learner(data, start, popularity_start=0.5).parameters["bias"]
    assert taken_over.tolist() == [5, bias[1], bias[2], 6]


def test_what_is_learned_is_the_moving_average_of_what_the_steps_change(tmp_path: Path) -> None:
    data = market(tmp_path)
    plain, averaged = learner(data, average_decay=0.0), learner(data, average_decay=0.9)
    expected = {name: each.clone() for name, each in averaged.parameters.items()}
    for step in range(3):
        assert plain.step(step) == averaged.step(step)
        for name, each in plain.parameters.items():
            expected[name] = 0.9 * expected[name] + 0.1 * each
            torch.testing.assert_close(averaged.parameters[name], expected[name])


def test_a_restored_learner_goes_on_from_what_its_steps_had_changed(tmp_path: Path) -> None:
    data = market(tmp_path)
    whole, resumed = learner(data), learner(data)
    for step in range(3):
        whole.step(step)
    resumed.restore(copy.deepcopy(whole.parameters), copy.deepcopy(whole.optimizer_state))
    assert resumed.step(3) == whole.step(3)
    for name, each in whole.parameters.items():
        assert torch.equal(resumed.parameters[name], each)
