"""The models by name: each is a learner that the trainer steps, validates, keeps and restores."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from workers.training.data import Interactions
from workers.training.hyperparameters import Hyperparameters
from workers.training.optimisation import Optimisation
from workers.training.ranking import Scorer


class Learner(Protocol):
    """A model with its optimiser over one set of interactions."""

    @property
    def parameters(self) -> dict[str, Tensor]:
        """All parameters, shared with the model."""

    @property
    def optimizer_state(self) -> dict[str, Any]:
        """All that another step depends on beside the parameters and the step's number."""

    def restore(self, parameters: dict[str, Tensor], optimizer_state: dict[str, Any] | None = None) -> None:
        """Goes back to these parameters and, to train on, to this state of the optimiser."""

    def step(self, step: int) -> float:
        """Takes the step of this number and returns its loss."""

    def scorer(self) -> Scorer:
        """Scores by the current parameters."""


def make_learner(
    model: str,  # noqa: ARG001  # the paper's models come beside ours
    data: Interactions,
    hyperparameters: Hyperparameters,
    *,
    seed: int,
    device: torch.device,
) -> Learner:
    """The learner of this model; the same seed gives the same learner."""
    return Optimisation(data, hyperparameters, seed=seed, device=device)


def hyperparameters_of(model: str, overrides: Mapping[str, Any]) -> Hyperparameters:  # noqa: ARG001
    """The model's preset with these overrides; Untrainable names what is unknown or out of bounds."""
    return Hyperparameters.from_mapping(overrides)
