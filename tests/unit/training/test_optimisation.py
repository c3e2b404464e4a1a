"""The tasks of a step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training.markets import interactions, market
from workers.training.data import Interactions, distinct_pairs, no_pairs
from workers.training.hyperparameters import Hyperparameters
from workers.training.optimisation import Optimisation

CPU = torch.device("cpu")


def learner(data: Interactions, **setting: float) -> Optimisation:
    hyperparameters = Hyperparameters.from_mapping({"dimensions": 16} | setting)
    return Optimisation(data, hyperparameters, seed=5, device=CPU)


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
    trained = learner(data, sold_weight=1.0 if is_used else 0.0, follow_weight=0.0)
    for step in range(50):
        trained.step(step)
    users, products, _ = trained.vectors()
    likes = users[:2] @ products[4:6].T
    assert bool((likes[0] > likes[1] + 0.3).all()) == is_used
