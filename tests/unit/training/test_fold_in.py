"""Folding in follows the training's own loss."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lsec.core.fold_in import FoldIn
from workers.training.losses import Task, softmax_loss

RNG = np.random.default_rng(0)
# Not 5: for rows of 5 single-precision numbers OpenBLAS 0.3.31 may raise the flag of an invalid number, of
# which numpy warns, though there is none: its AVX-512 kernel adds up what lies beside them, too.
NUM_PRODUCTS, NUM_STREAMERS, DIMENSIONS = 30, 7, 6
NOTHING = np.empty(0, np.int64)


def unit_rows(num: int) -> NDArray[np.float32]:
    return functional.normalize(torch.from_numpy(RNG.normal(size=(num, DIMENSIONS))).float()).numpy()


FOLD_IN = FoldIn(
    products=unit_rows(NUM_PRODUCTS),
    bias=RNG.normal(size=NUM_PRODUCTS).astype(np.float32),
    degrees=RNG.integers(1, 9, NUM_PRODUCTS),
    streamers=unit_rows(NUM_STREAMERS),
    temperature=0.2,
    buy_weight=0.7,
    follow_weight=0.3,
)
BOUGHT, FOLLOWED = np.array([2, 5, 11]), np.array([1, 4])


TASKS: list[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32] | None, float]] = [
    (BOUGHT, FOLD_IN.products, FOLD_IN.bias, FOLD_IN.buy_weight),
    (FOLLOWED, FOLD_IN.streamers, None, FOLD_IN.follow_weight),
]
"""Each task's positives, all its targets, their bias, and what one of them weighs."""


def training_loss(vector: Tensor, tasks: list[tuple[Any, Any, Any, float]]) -> Tensor:
    """The loss of a training on this user alone, a step's own function; a pair weighs as in the fold-in."""
    total = vector.new_zeros(())
    for rows, targets, bias, weight in tasks:
        task = Task.from_pairs(
            np.zeros(len(rows), np.int64), rows, shape=(1, len(targets)), device=torch.device("cpu")
        )
        total = total + weight * len(rows) * softmax_loss(
            task,
            functional.normalize(vector[None], dim=1),
            torch.from_numpy(targets),
            temperature=FOLD_IN.temperature,
            bias=None if bias is None else torch.from_numpy(bias),
            num_users=1,
            num_targets=len(targets),
            generator=torch.Generator(),
        )
    return total


def descended(start: NDArray[np.float32], tasks: list[tuple[Any, Any, Any, float]]) -> NDArray[np.float32]:
    """Where torch's own Adam gets to on the loss of the training."""
    vector = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.Adam([vector], lr=FOLD_IN.learning_rate)
    for _ in range(FOLD_IN.num_steps):
        optimizer.zero_grad()
        training_loss(vector, tasks).backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        optimizer.step()
    return functional.normalize(vector.detach(), dim=0).numpy()


def test_its_steps_are_those_of_torch_on_the_loss_of_the_training() -> None:
    start = replace(FOLD_IN, num_steps=0).user_vector(BOUGHT, FOLLOWED)
    np.testing.assert_allclose(FOLD_IN.user_vector(BOUGHT, FOLLOWED), descended(start, TASKS), atol=1e-4)


def test_it_starts_at_the_propagation_of_the_purchases() -> None:
    start = replace(FOLD_IN, num_steps=0).user_vector(BOUGHT, FOLLOWED)
    total = sum(FOLD_IN.products[i] / np.sqrt(FOLD_IN.degrees[i]) for i in BOUGHT)
    np.testing.assert_allclose(start, total / np.linalg.norm(total), rtol=1e-5)
    start = replace(FOLD_IN, num_steps=0, degree_exponent=0.35).user_vector(BOUGHT, FOLLOWED)
    total = sum(FOLD_IN.products[i] / FOLD_IN.degrees[i] ** 0.35 for i in BOUGHT)
    np.testing.assert_allclose(start, total / np.linalg.norm(total), rtol=1e-5)


def test_a_user_who_only_follows_gets_a_vector_near_whom_they_follow() -> None:
    vector = FOLD_IN.user_vector(NOTHING, FOLLOWED)
    cosines = FOLD_IN.streamers @ vector
    assert set(np.argsort(-cosines)[:2]) == set(FOLLOWED.tolist())


def test_a_user_without_anything_has_no_vector() -> None:
    assert not FOLD_IN.user_vector(NOTHING, NOTHING).any()


def test_a_view_is_a_weaker_purchase_without_its_bias() -> None:
    viewed = np.array([2, 20, 21])
    with_views = replace(FOLD_IN, view_weight=0.1, view_edge=0.3)
    start = replace(with_views, num_steps=0).user_vector(BOUGHT, NOTHING, viewed=viewed)
    total = sum(FOLD_IN.products[i] / np.sqrt(FOLD_IN.degrees[i]) for i in BOUGHT)
    # The second product was bought, too.
    total = total + 0.3 * sum(FOLD_IN.products[i] / np.sqrt(FOLD_IN.degrees[i]) for i in viewed[1:])
    np.testing.assert_allclose(start, total / np.linalg.norm(total), rtol=1e-5)
    views = (viewed, with_views.products, None, with_views.view_weight)
    expected = descended(start, [*TASKS[:1], views])
    np.testing.assert_allclose(with_views.user_vector(BOUGHT, NOTHING, viewed=viewed), expected, atol=1e-4)


def test_views_that_weigh_nothing_change_nothing() -> None:
    vector = FOLD_IN.user_vector(BOUGHT, FOLLOWED)
    assert np.array_equal(FOLD_IN.user_vector(BOUGHT, FOLLOWED, viewed=np.array([3, 20])), vector)


def test_half_precision_gives_almost_the_same() -> None:
    halves = replace(
        FOLD_IN,
        products=FOLD_IN.products.astype(np.float16),
        streamers=FOLD_IN.streamers.astype(np.float16),
    )
    vector = halves.user_vector(BOUGHT, FOLLOWED)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, FOLD_IN.user_vector(BOUGHT, FOLLOWED), atol=2e-3)


def test_some_of_the_products_stand_for_all() -> None:
    drawn = [
        replace(FOLD_IN, max_negatives=20, seed=seed).user_vector(BOUGHT, FOLLOWED) for seed in (1, 1, 2)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert drawn[0] @ FOLD_IN.user_vector(BOUGHT, FOLLOWED) > 0.9
