"""Adam over groups of parameters with learning rates of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.adam import adam


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters and the learning rate that a schedule's share is taken of."""

    parameters: list[nn.Parameter]
    learning_rate: float


class Adam:
    """torch's own fused step, called directly.

    Building `torch.optim.Adam` imports the compiler, which takes seconds: a third of a short training.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups
        self._parameters = [parameter for group in groups for parameter in group.parameters]
        self._averages = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = [torch.zeros((), device=parameter.device) for parameter in self._parameters]

    @property
    def state(self) -> dict[str, Any]:
        """All that another step depends on, shared with it."""
        return {"averages": self._averages, "squares": self._squares, "steps": self._steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from this state."""
        self._averages, self._squares, self._steps = state["averages"], state["squares"], state["steps"]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """One step at this share of each group's learning rate, after which the gradients are forgotten.

        What has no gradient stays.
        """
        start = 0
        for group in self._groups:
            rows = [start + i for i, parameter in enumerate(group.parameters) if parameter.grad is not None]
            start += len(group.parameters)
            adam(
                [self._parameters[i] for i in rows],
                [gradient for i in rows if (gradient := self._parameters[i].grad) is not None],
                [self._averages[i] for i in rows],
                [self._squares[i] for i in rows],
                [],
                [self._steps[i] for i in rows],
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=group.learning_rate * share,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )
        for parameter in self._parameters:
            parameter.grad = None
