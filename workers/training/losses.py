"""The softmax loss over sampled targets, fused and chunked so that it never holds all its logits."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.training.data import Pairs
from workers.training.graph import Chain, Rowwise, SparseMatrix, incidence
from workers.training.processes import Shares

CPU_CHUNK_ROWS = 256
"""Logits of so many users stay in the CPU's cache between the passes over them."""
MAX_CHUNK_LOGITS = 2**26
"""So many logits at once, however many users are drawn: 256 MiB, and as much again for their rough copies."""
SHUFFLED_FACTOR = 4
"""Of up to so many times the rows to draw, all are shuffled. Half a million take 13 ms, a GPU's step."""


@dataclass(frozen=True, slots=True)
class Task:
    """(User, target) pairs with weights that the users' vectors are to predict, ready for the loss.

    `by_user` [U, T] has the weights, and `by_target` is its transpose. `active_users` [A] are those with
    a pair, `degrees` [U] the sum of each one's weights, `target_degrees` [T] likewise. Where several
    processes train, these are of this process's users, `total` is the sum of all weights, and
    `active_shares` says which of all active users are these.
    """

    by_user: Rowwise | Chain
    by_target: Rowwise | Chain
    total: int
    active_users: Tensor
    active_shares: Shares
    degrees: Tensor
    target_degrees: Tensor

    @classmethod
    def from_pairs(
        cls,
        users: NDArray[np.int64],
        targets: NDArray[np.int64],
        *,
        shape: tuple[int, int],
        device: torch.device,
    ) -> "Task":
        """The task of these distinct pairs among shape = (number of users, number of targets)."""
        pairs = incidence(users, targets, shape=shape, device=device)
        degrees = np.bincount(users, minlength=shape[0])
        return cls._of(
            pairs.forward, pairs.backward, degrees, np.bincount(targets, minlength=shape[1]), device
        )

    @classmethod
    def from_paths(
        cls, follows: Pairs, sells: Pairs, *, shape: tuple[int, int, int], device: torch.device
    ) -> "Task":
        """What the streamers sell whom a user follows, among shape = (users, streamers, products).

        A user's weights sum to one, whatever the number of streamers and products: each streamer who sells
        anything has an equal part of it, and each of their products an equal part of that.
        """
        num_users, num_streamers, num_products = shape
        num_sold = np.bincount(sells.sources, minlength=num_streamers)
        follows = follows[num_sold[follows.targets] > 0]
        num_followed = np.bincount(follows.sources, minlength=num_users)
        follow_weights, sell_weights = 1 / num_followed[follows.sources], 1 / num_sold[sells.sources]
        to_streamers, to_products = (
            SparseMatrix.from_pairs(pairs.sources, pairs.targets, weights, shape=size, device=device)
            for pairs, weights, size in (
                (follows, follow_weights, (num_users, num_streamers)),
                (sells, sell_weights, (num_streamers, num_products)),
            )
        )
        by_streamer = np.bincount(follows.targets, follow_weights, minlength=num_streamers)
        return cls._of(
            Chain(to_streamers.forward, to_products.forward),
            Chain(to_products.backward, to_streamers.backward),
            np.minimum(num_followed, 1),
            np.bincount(sells.targets, sell_weights * by_streamer[sells.sources], minlength=num_products),
            device,
        )

    @classmethod
    def _of(
        cls,
        by_user: Rowwise | Chain,
        by_target: Rowwise | Chain,
        degrees: NDArray[np.integer],
        target_degrees: NDArray[np.number],
        device: torch.device,
    ) -> "Task":
        active_users = np.flatnonzero(degrees)
        return cls(
            by_user.roughly(),
            by_target.roughly(),
            Shares.of_length(int(degrees.sum())).num_rows,
            torch.from_numpy(active_users).to(device),
            Shares.of_length(len(active_users)),
            torch.from_numpy(degrees.astype(np.float32)).to(device),
            torch.from_numpy(target_degrees.astype(np.float32)).to(device),
        )


class Sample(NamedTuple):
    """Rows of the users with a pair and of the targets that a step's softmax is taken over.

    `rescaling` is all users with a pair over those drawn.
    """

    users: Tensor
    targets: Tensor
    rescaling: float


def fast_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device has instructions for its products (AMX, AVX512-BF16), else float32.

    It takes a third to a half of the time there, and the gradient is off by .3 %.
    """
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        has_instructions = any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    else:
        has_instructions = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has_instructions else torch.float32


def softmax_loss(
    task: Task,
    users: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    bias: Tensor | None = None,
    num_users: int,
    num_targets: int,
    generator: torch.Generator,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """Mean over the pairs, by their weights, of −s(u, t) + log Σ_j exp s(u, j).

    s(u, j) = users[u]·targets[j] / temperature + bias[j] of unit vectors users[U, d] and targets[T, d]. The
    sum runs over num_targets uniform targets that the step shares, and over num_users random users with a
    pair, rescaled to all of them. The softmax's matrix products are taken in this precision. Where several
    processes train, it is the part of this one's users, to be summed; all draw the same.
    """
    active = task.active_shares
    drawn_users = sampled_rows(active.num_rows, num_users, generator)
    sample = Sample(
        task.active_users[active.among_own(drawn_users).to(users.device)],
        sampled_rows(len(targets), num_targets, generator).to(targets.device),
        active.num_rows / len(drawn_users),
    )
    if bias is None:
        bias = targets.new_zeros(len(targets))
    loss: Tensor = _SoftmaxLoss.apply(users, targets, bias, task, sample, temperature, precision)
    return loss


def sampled_rows(num_rows: int, num: int, generator: torch.Generator) -> Tensor:
    """At most num of the rows, uniformly; drawn on the CPU, so that all devices see the same."""
    if num_rows <= num:
        return torch.arange(num_rows)
    if num_rows > SHUFFLED_FACTOR * num:
        # The first of draws with repetition, each taken once; of so many rows few are drawn again.
        drawn = torch.randint(num_rows, (2 * num,), generator=generator).numpy()
        _, first_at = np.unique(drawn, return_index=True)
        if len(first_at) >= num:
            return torch.from_numpy(drawn[np.sort(first_at)[:num]])
    return torch.randperm(num_rows, generator=generator)[:num]


class _SoftmaxLoss(torch.autograd.Function):
    """The gradients are made along with the value, in place.

    Autograd would keep several tables of all logits and of all vectors, and go over them twice as often. A
    gradient can be taken once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        targets: Tensor,
        bias: Tensor,
        task: Task,
        sample: Sample,
        temperature: float,
        precision: torch.dtype,
    ) -> Tensor:
        # Σ over pairs of u·t is Σ_u u·(B t): one more sparse product, and no gather for each pair.
        for_users = task.by_user.times(targets)
        for_targets = task.by_target.times(users)
        positive = torch.dot(users.flatten(), for_users.flatten()) / temperature + bias @ task.target_degrees
        negative = weighted_log_sum_exp(
            users.index_select(0, sample.users),
            targets.index_select(0, sample.targets),
            bias.index_select(0, sample.targets),
            task.degrees.index_select(0, sample.users) * sample.rescaling,
            temperature,
            precision,
        )
        share = 1 / task.total
        for_users.mul_(-share / temperature).index_add_(0, sample.users, negative.for_users, alpha=share)
        for_targets.mul_(-share / temperature).index_add_(
            0, sample.targets, negative.for_targets, alpha=share
        )
        for_bias = task.target_degrees * -share
        for_bias.index_add_(0, sample.targets, negative.for_bias, alpha=share)
        ctx.save_for_backward(for_users, for_targets, for_bias)
        return (negative.value - positive) * share

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # In place: as many new tables as a step holds already would have to be found room for.
        return *(each.mul_(gradients[0]) for each in ctx.saved_tensors), None, None, None, None


class LogSumExp(NamedTuple):
    """A weighted sum of logarithms, and its gradients."""

    value: Tensor
    for_users: Tensor
    for_targets: Tensor
    for_bias: Tensor


def weighted_log_sum_exp(
    users: Tensor, targets: Tensor, bias: Tensor, weights: Tensor, temperature: float, precision: torch.dtype
) -> LogSumExp:
    """Σ_n weights[n] · log Σ_m exp(users[n]·targets[m]/temperature + bias[m]) of unit vectors, in chunks.

    No logit is above 1/temperature + max bias, nor is the highest of a user 2/temperature below that: hence
    the exponentials need no search for each user's highest logit.
    """
    chunk_rows = max(1, MAX_CHUNK_LOGITS // len(targets))
    if users.device.type == "cpu":
        chunk_rows = min(chunk_rows, CPU_CHUNK_ROWS)
    highest = bias.amax() + 1 / temperature
    below = bias - highest
    value = weights.sum() * highest
    for_users, for_targets, for_bias = (
        torch.empty_like(users),
        torch.zeros_like(targets),
        torch.zeros_like(bias),
    )
    rough_targets = targets.to(precision)
    for start in range(0, len(users), chunk_rows):
        chunk = slice(start, start + chunk_rows)
        rows, weight = users[chunk], weights[chunk, None]
        logits = ((rows / temperature).to(precision) @ rough_targets.T).to(bias.dtype)
        exponentials = logits.add_(below).exp_()
        sums = exponentials.sum(dim=1, keepdim=True)
        value += (weight * sums.log()).sum()
        scale = weight / sums
        rough = exponentials.to(precision)
        for_users[chunk] = (rough @ rough_targets).to(users.dtype) * (scale / temperature)
        for_targets += rough.T @ (rows * (scale / temperature)).to(precision)
        for_bias.addmv_(exponentials.T, scale[:, 0])
    return LogSumExp(value, for_users, for_targets, for_bias)
