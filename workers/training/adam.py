"""Adam over groups of parameters with learning rates of their own, by numbers or by rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

BETA1, BETA2 = 0.9, 0.999
EPSILON = 1e-8
ROW_EPSILON = 1e-15
"""A row's gradient falls with the number of all edges, to 1e-8 and below; only a row of zeros must stay."""


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters and the learning rate that a schedule's share is taken of.

    By rows, all numbers of a row are divided by the root of one mean square. So the steps are the same
    whatever the axes are: those of embeddings mean nothing, and a mean square for each number would single
    them out.
    """

    parameters: list[nn.Parameter]
    learning_rate: float
    by_rows: bool = False


class Adam:
    """torch's own fused step, called directly, or that by rows (FBGEMM's PARTIAL_ROWWISE_ADAM).

    Building `torch.optim.Adam` imports the compiler, which takes seconds: a third of a short training.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups
        self._parameters = [parameter for group in groups for parameter in group.parameters]
        self._averages = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [
            torch.zeros_like(parameter[:, :1] if group.by_rows else parameter)
            for group in groups
            for parameter in group.parameters
        ]
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
            changed = [
                start + i for i, parameter in enumerate(group.parameters) if parameter.grad is not None
            ]
            start += len(group.parameters)
            learning_rate = group.learning_rate * share
            if group.by_rows:
                for i in changed:
                    self._step_by_rows(i, learning_rate)
            else:
                self._step_by_numbers(changed, learning_rate)
        for parameter in self._parameters:
            parameter.grad = None

    def _step_by_numbers(self, changed: list[int], learning_rate: float) -> None:
        """Of the parameters with these places, all at once."""
        adam(
            [self._parameters[i] for i in changed],
            [gradient for i in changed if (gradient := self._parameters[i].grad) is not None],
            [self._averages[i] for i in changed],
            [self._squares[i] for i in changed],
            [],
            [self._steps[i] for i in changed],
            fused=True,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=learning_rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )

    def _step_by_rows(self, i: int, learning_rate: float) -> None:
        """In place, without a table of the gradient's squares."""
        parameter, average, square, step = (
            each[i] for each in (self._parameters, self._averages, self._squares, self._steps)
        )
        gradient = parameter.grad
        assert gradient is not None
        step += 1
        average.lerp_(gradient, 1 - BETA1)
        square.lerp_(mean_square(gradient), 1 - BETA2)
        divisor = (square / (1 - BETA2**step)).sqrt_().add_(ROW_EPSILON)
        parameter.addcmul_(average, divisor.reciprocal_().mul_(-learning_rate / (1 - BETA1**step)))


def mean_square(rows: Tensor) -> Tensor:
    """Of each row's numbers, [R, 1] of rows [R, d]."""
    squares: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True).square_()
    return squares.div_(rows.shape[1])
