"""Several processes as one training, each with some of the users: who holds whom, and sums over all.

`torchrun` starts them. Each holds a range of users: their embeddings, their rows of every relation. Products
and streamers are few beside them and stand whole in every process, equal bit for bit as long as the machines
are of one kind, since each gets the same sums and does the same with them. In a single process all of this
gives back what it is given.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import accumulate
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed

from workers.training.data import Interactions, Pairs

Value = TypeVar("Value")

PATIENCE = timedelta(hours=1)
"""After so long a process that waits for another ends. The first one ranks all products while others wait."""


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Joins the processes that `torchrun` started, if it did, with NCCL between GPUs and gloo between CPUs.

    An error leaves at once: `torchrun` ends the others, which may wait for this one.
    """
    if not _is_one_of_several():
        yield
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, timeout=PATIENCE)
    yield
    distributed.destroy_process_group()


def _is_one_of_several() -> bool:
    # Other launchers set WORLD_SIZE too, for processes that know nothing of each other.
    return distributed.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


def place_on_machine() -> tuple[int, int]:
    """This process's number among those on its machine, and how many they are; (0, 1) without `torchrun`."""
    if not _is_one_of_several():
        return 0, 1
    return int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])


def num_processes() -> int:
    """How many train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def number() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that tells, saves and writes for all."""
    return number() == 0


def total(part: Tensor) -> Tensor:
    """The sum of all processes' parts; gradients reach each part.

    Every process takes its own share of the loss from the sum, so the gradient is a sum over them too.
    """
    if num_processes() == 1:
        return part
    summed: Tensor = _Total.apply(part)
    return summed


def sum_gradients(shared: Sequence[Tensor]) -> None:
    """Sums the gradients of what every process holds whole."""
    if num_processes() == 1:
        return
    for parameter in shared:
        if parameter.grad is not None:
            distributed.all_reduce(parameter.grad)


def from_first(value: Value) -> Value:
    """What the first process has here, in all of them: a decision that all must take alike."""
    if num_processes() == 1:
        return value
    values: list[Any] = [value]
    distributed.broadcast_object_list(values)
    first: Value = values[0]
    return first


def wait_for_all() -> None:
    """Returns when every process has come here."""
    if num_processes() > 1:
        distributed.all_reduce(torch.zeros(()))


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, part: Tensor) -> Tensor:
        return _Total._sum(part)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        return _Total._sum(gradients[0])

    @staticmethod
    def _sum(part: Tensor) -> Tensor:
        summed = part.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(summed)
        return summed


@dataclass(frozen=True, slots=True)
class Shares:
    """Rows that the processes share: number p holds those from bounds[p] to bounds[p + 1]."""

    bounds: tuple[int, ...]

    @classmethod
    def of_users(cls, data: Interactions) -> Self:
        """The users in their order, such that each process has about as many of them and of their pairs."""
        weights = np.ones(data.num_users, np.int64)
        for pairs in (data.buys, data.viewed, data.follows):
            weights += np.bincount(pairs.sources, minlength=data.num_users)
        until = np.cumsum(weights)
        wanted = np.arange(1, num_processes()) * int(weights.sum()) // num_processes()
        return cls((0, *np.searchsorted(until, wanted).tolist(), data.num_users))

    @classmethod
    def of_length(cls, num_own: int) -> Self:
        """Rows of which this process has so many."""
        nums = torch.zeros(num_processes(), dtype=torch.int64)
        nums[number()] = num_own
        return cls((0, *accumulate(total(nums).tolist())))

    @property
    def num_rows(self) -> int:
        """All of them."""
        return self.bounds[-1]

    @property
    def own(self) -> slice:
        """The rows of this process."""
        return slice(self.bounds[number()], self.bounds[number() + 1])

    def part(self, whole: Tensor) -> Tensor:
        """This process's rows of whole[N, ...], which it does not keep in memory."""
        return whole if len(self.bounds) == 2 else whole[self.own].clone()

    def whole(self, part: Tensor) -> Tensor:
        """All rows [N, ...], of which each process brings its own."""
        if len(self.bounds) == 2:
            return part
        rows: Tensor = part.new_empty(self.num_rows, *part.shape[1:])
        rows[self.own] = part
        for process, start in enumerate(self.bounds[:-1]):
            distributed.broadcast(rows[start : self.bounds[process + 1]], src=process)
        return rows

    def among_own(self, rows: Tensor) -> Tensor:
        """Those of these rows that this process holds, counted from its first."""
        if len(self.bounds) == 2:
            return rows
        start, stop = self.bounds[number()], self.bounds[number() + 1]
        return rows[(rows >= start) & (rows < stop)] - start

    def of_data(self, data: Interactions) -> Interactions:
        """This process's users with their pairs; all products and streamers."""
        if len(self.bounds) == 2:
            return data
        return replace(
            data,
            user_ids=data.user_ids[self.own],
            buys=self._own_pairs(data.buys),
            follows=self._own_pairs(data.follows),
            watched=self._own_pairs(data.watched),
            viewed=self._own_pairs(data.viewed),
        )

    def _own_pairs(self, pairs: Pairs) -> Pairs:
        start, stop = np.searchsorted(pairs.sources, [self.own.start, self.own.stop])
        own = slice(int(start), int(stop))
        return Pairs(
            pairs.sources[own] - self.own.start, pairs.targets[own], pairs.counts[own], pairs.last_at[own]
        )
