"""The softmax loss over sampled targets, fused and chunked so that it never holds all its logits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.training.graph import SparseMatrix, incidence
from workers.training.processes import Shares

CPU_CHUNK_ROWS = 256
"""Logits of so many users stay in the CPU's cache between the passes over them."""
MAX_CHUNK_LOGITS = 2**26
"""So many logits at once, however many users are drawn: 256 MiB, and as much again for their rough copies."""


@dataclass(frozen=True, slots=True)
class Task:
    """Distinct (user, target) pairs that the users' vectors are to predict, ready for the loss.

    `active_users` [A] are those with a pair, `degrees` [U] how many each has, `target_degrees` [T] likewise.
    Where several processes train, these are of this process's users, `num_pairs` is of all, and
    `active_shares` says which of all active users are these.
    """

    pairs: SparseMatrix
    num_pairs: int
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
        degrees = np.bincount(users, minlength=shape[0])
        target_degrees = np.bincount(targets, minlength=shape[1])
        active_users = np.flatnonzero(degrees)
        return cls(
            incidence(users, targets, shape=shape, device=device),
            Shares.of_length(len(users)).num_rows,
            torch.from_numpy(active_users).to(device),
            Shares.of_length(len(active_users)),
            torch.from_numpy(degrees.astype(np.float32)).to(device),
            torch.from_numpy(target_degrees.astype(np.float32)).to(device),
        )


def fast_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device has matrix units for it, else float32.

    It takes a third of the time there, and the gradient is off by .2 %.
    """
    if device.type == "cpu":
        has_units = torch.cpu.get_capabilities().get("amx_bf16", False)
    else:
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has_units else torch.float32


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
    """Mean over the pairs of −s(u, t) + log Σ_j exp s(u, j).

    s(u, j) = users[u]·targets[j] / temperature + bias[j] of unit vectors users[U, d] and targets[T, d]. The
    sum runs over num_targets uniform targets that the step shares, and over num_users random users with a
    pair, rescaled to all of them. The softmax's matrix products are taken in this precision. Where several
    processes train, it is the part of this one's users, to be summed; all draw the same.
    """
    active = task.active_shares
    drawn_users = _sample(active.num_rows, num_users, generator)
    sampled_users = task.active_users[active.among_own(drawn_users).to(users.device)]
    sampled_targets = _sample(len(targets), num_targets, generator).to(targets.device)
    rescaling = active.num_rows / len(drawn_users)
    if bias is None:
        bias = targets.new_zeros(len(targets))
    # Σ over pairs of u·t is Σ_u u·(B t): one more sparse product, and no gather for each pair.
    positive = (users * (task.pairs @ targets)).sum() / temperature + bias @ task.target_degrees
    negative: Tensor = _WeightedLogSumExp.apply(
        users.index_select(0, sampled_users),
        targets.index_select(0, sampled_targets),
        bias.index_select(0, sampled_targets),
        task.degrees.index_select(0, sampled_users) * rescaling,
        temperature,
        precision,
    )
    return (negative - positive) / task.num_pairs


def _sample(num_rows: int, num: int, generator: torch.Generator) -> Tensor:
    """At most num of the rows, uniformly; drawn on the CPU, so that all devices see the same."""
    if num_rows <= num:
        return torch.arange(num_rows)
    return torch.randperm(num_rows, generator=generator)[:num]


class _WeightedLogSumExp(torch.autograd.Function):
    """Σ_n weights[n] · log Σ_m exp(users[n]·targets[m]/temperature + bias[m]).

    The gradients are made along with the value, chunk by chunk: autograd would keep several [n, m] tables and
    take twice the time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        targets: Tensor,
        bias: Tensor,
        weights: Tensor,
        temperature: float,
        precision: torch.dtype,
    ) -> Tensor:
        chunk_rows = max(1, MAX_CHUNK_LOGITS // len(targets))
        if users.device.type == "cpu":
            chunk_rows = min(chunk_rows, CPU_CHUNK_ROWS)
        total = users.new_zeros(())
        for_users = torch.empty_like(users)
        for_targets = torch.zeros_like(targets)
        for_bias = torch.zeros_like(bias)
        rough_targets = targets.to(precision)
        for start in range(0, len(users), chunk_rows):
            chunk = slice(start, start + chunk_rows)
            rows, weight = users[chunk], weights[chunk, None]
            logits = ((rows / temperature).to(precision) @ rough_targets.T).to(bias.dtype)
            logits += bias
            highest = logits.amax(dim=1, keepdim=True)
            exponentials = logits.sub_(highest).exp_()
            sums = exponentials.sum(dim=1, keepdim=True)
            total += (weight * (sums.log() + highest)).sum()
            scale = weight / sums
            rough = exponentials.to(precision)
            for_users[chunk] = (rough @ rough_targets).to(users.dtype) * (scale / temperature)
            for_targets += rough.T @ (rows * (scale / temperature)).to(precision)
            for_bias.addmv_(exponentials.T, scale[:, 0])
        ctx.save_for_backward(for_users, for_targets, for_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        for_users, for_targets, for_bias = ctx.saved_tensors
        gradient = gradients[0]
        return gradient * for_users, gradient * for_targets, gradient * for_bias, None, None, None
