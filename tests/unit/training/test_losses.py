"""The fused loss against autograd's own."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from workers.training.data import distinct_pairs, no_pairs
from workers.training.losses import (
    Task,
    fast_precision,
    sampled_rows,
    softmax_loss,
    weighted_log_sum_exp,
)

NUM_USERS, NUM_TARGETS = 600, 9


def task() -> tuple[Task, Tensor]:
    """A task whose users fill more than one chunk, and its dense 0/1 matrix."""
    pairs = np.random.default_rng(0).random((NUM_USERS, NUM_TARGETS)) < 0.3
    users, targets = np.nonzero(pairs)
    shape, device = (NUM_USERS, NUM_TARGETS), torch.device("cpu")
    return Task.from_pairs(users, targets, shape=shape, device=device), torch.from_numpy(pairs).float()


def parameters() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    users = functional.normalize(torch.randn(NUM_USERS, 4, generator=generator), dim=1)
    targets = functional.normalize(torch.randn(NUM_TARGETS, 4, generator=generator), dim=1)
    return (
        users.requires_grad_(),
        targets.requires_grad_(),
        torch.randn(NUM_TARGETS, generator=generator).requires_grad_(),
    )


def test_the_loss_without_sampling_is_the_mean_cross_entropy_with_its_gradients() -> None:
    buys, dense = task()
    users, targets, bias = parameters()
    loss = softmax_loss(
        buys,
        users,
        targets,
        temperature=0.2,
        bias=bias,
        num_users=NUM_USERS,
        num_targets=NUM_TARGETS,
        generator=torch.Generator(),
    )
    log_probabilities = functional.log_softmax(users @ targets.T / 0.2 + bias, dim=1)
    expected = -(log_probabilities * dense).sum() / dense.sum()
    torch.testing.assert_close(loss, expected)
    inputs = (users, targets, bias)
    gradients = torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs)
    for ours, autograds in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, autograds)


def test_what_followed_streamers_sell_counts_by_streamer_and_each_user_alike() -> None:
    follows = distinct_pairs(np.array([0, 0, 0, 1, 3]), np.array([0, 1, 2, 1, 2]))
    sells = distinct_pairs(np.array([0, 0, 1]), np.array([0, 1, 1]))  # streamer 2 sells nothing
    sold = Task.from_paths(follows, sells, shape=(4, 3, 3), device=torch.device("cpu"))
    expected = torch.tensor([[0.25, 0.75, 0], [0, 1.0, 0], [0, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(sold.by_user.times(torch.eye(3)), expected)
    torch.testing.assert_close(sold.by_target.times(torch.eye(4)), expected.T)
    assert sold.active_users.tolist() == [0, 1]
    assert sold.degrees.tolist() == [1, 1, 0, 0]
    torch.testing.assert_close(sold.target_degrees, expected.sum(0))
    assert sold.total == 2
    users, targets = (rows.detach() for rows in parameters()[:2])
    loss = softmax_loss(
        sold,
        users[:4],
        targets[:3],
        temperature=0.2,
        num_users=4,
        num_targets=3,
        generator=torch.Generator(),
    )
    log_probabilities = functional.log_softmax(users[:4] @ targets[:3].T / 0.2, dim=1)
    torch.testing.assert_close(loss, -(log_probabilities * expected).sum() / 2)


def test_nothing_is_sold_by_whom_nobody_follows() -> None:
    nobody, sells = no_pairs(), distinct_pairs(np.array([0]), np.array([0]))
    assert not Task.from_paths(nobody, sells, shape=(2, 1, 1), device=torch.device("cpu")).total
    follows = distinct_pairs(np.array([0]), np.array([0]))
    assert not Task.from_paths(follows, nobody, shape=(2, 1, 1), device=torch.device("cpu")).total


def test_the_gradient_of_the_softmax_is_autograds_own() -> None:
    users, targets, bias = (rows.detach().double().requires_grad_() for rows in parameters())
    weights = torch.rand(NUM_USERS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = weighted_log_sum_exp(users.detach(), targets.detach(), bias.detach(), weights, 0.3, torch.float64)
    expected = (weights * torch.logsumexp(users @ targets.T / 0.3 + bias, dim=1)).sum()
    torch.testing.assert_close(ours.value, expected.detach())
    for gradient, autograds in zip(
        ours[1:], torch.autograd.grad(expected, (users, targets, bias)), strict=True
    ):
        torch.testing.assert_close(gradient, autograds)


@pytest.mark.parametrize("spread", [0.0, 300.0])
def test_the_lowest_temperature_and_a_wide_bias_leave_a_finite_loss(spread: float) -> None:
    users = functional.normalize(torch.randn(50, 4, generator=torch.Generator().manual_seed(2)), dim=1)
    targets, bias = -users[:9], torch.linspace(-spread, spread, 9)
    ours = weighted_log_sum_exp(users, targets, bias, torch.ones(50), 0.03, torch.float32)
    expected = torch.logsumexp(users @ targets.T / 0.03 + bias, dim=1).sum()
    torch.testing.assert_close(ours.value, expected)
    assert all(gradient.isfinite().all() for gradient in ours)


def test_sampled_users_give_the_loss_on_average() -> None:
    buys, _ = task()
    users, targets, bias = parameters()

    def loss(num_users: int, seed: int) -> float:
        return softmax_loss(
            buys,
            users,
            targets,
            temperature=0.2,
            bias=bias,
            num_users=num_users,
            num_targets=NUM_TARGETS,
            generator=torch.Generator().manual_seed(seed),
        ).item()

    sampled = [loss(100, seed) for seed in range(200)]
    assert np.mean(sampled) == pytest.approx(loss(NUM_USERS, 0), abs=4 * np.std(sampled) / 200**0.5)


@pytest.mark.parametrize("num_rows", [10, 40, 41, 100])  # all, shuffled, and drawn
def test_samples_are_distinct_and_each_row_is_as_likely(num_rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [sampled_rows(num_rows, 10, generator) for _ in range(2000)]
    assert all(len(set(rows.tolist())) == 10 for rows in drawn)
    expected = 2000 * 10 / num_rows
    spread = np.bincount(torch.cat(drawn).numpy(), minlength=num_rows) - expected
    assert np.abs(spread).max() < 4.5 * expected**0.5


def test_few_of_few_rows_are_distinct_too() -> None:
    drawn = [sampled_rows(9, 2, torch.Generator().manual_seed(seed)).tolist() for seed in range(2000)]
    assert all(len(set(rows)) == 2 for rows in drawn)  # some of these drew one row four times


def test_in_bfloat16_the_gradient_is_off_by_a_fraction_of_a_percent() -> None:
    generator = torch.Generator().manual_seed(0)
    users, targets = (
        functional.normalize(torch.randn(num, 64, generator=generator), dim=1) for num in (512, 1000)
    )
    bias, weights = torch.randn(1000, generator=generator), torch.rand(512, generator=generator)
    exact, rough = (
        weighted_log_sum_exp(users, targets, bias, weights, 0.2, precision)
        for precision in (torch.float32, torch.bfloat16)
    )
    # All but the first, which is the value.
    for one, other in zip(exact[1:], rough[1:], strict=True):
        assert 0 < float((one - other).norm() / one.norm()) < 0.005


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({}, torch.float32),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_it_is_taken_where_a_cpu_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert fast_precision(torch.device("cpu")) == precision
