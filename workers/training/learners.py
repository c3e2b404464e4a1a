"""The models by name: each is a learner that the trainer steps, validates, keeps and restores."""

from typing import Any, Protocol

import torch
from torch import Tensor

from lsec.core.jobs import DEFAULT_MODEL
from workers.training.data import Interactions
from workers.training.hyperparameters import Hyperparameters
from workers.training.model_hyperparameters import AnyHyperparameters
from workers.training.optimisation import Optimisation
from workers.training.ranking import Ranker
from workers.training.warm_start import Start


class Learner(Protocol):
    """A model with its optimiser over one set of interactions."""

    @property
    def parameters(self) -> dict[str, Tensor]:
        """All parameters; in a single process they are shared with the model."""

    @property
    def held_parameters(self) -> dict[str, Tensor]:
        """The parameters that this process holds, shared with the model."""

    @property
    def optimizer_state(self) -> dict[str, Any]:
        """All that another step depends on beside the parameters and the step's number."""

    def restore(self, parameters: dict[str, Tensor], optimizer_state: dict[str, Any] | None = None) -> None:
        """Goes back to these parameters and, to train on, to this state of the optimiser."""

    def step(self, step: int) -> float:
        """Takes the step of this number and returns its loss."""

    def scorer(self) -> Ranker:
        """Scores by the current parameters."""


def make_learner(
    model: str,
    data: Interactions,
    hyperparameters: AnyHyperparameters,
    *,
    seed: int,
    device: torch.device,
    start: Start | None = None,
) -> Learner:
    """The learner of this model; the same seed gives the same learner. ValueError if they do not belong.

    The default model alone can have a `start`.
    """
    if isinstance(hyperparameters, Hyperparameters):
        if model != DEFAULT_MODEL:
            raise ValueError(f"{model} needs the paper's hyperparameters")
        return Optimisation(data, hyperparameters, seed=seed, device=device, start=start)
    # PyG takes seconds to import, which the default model need not wait for.
    from workers.training.paper.optimisation import PaperOptimisation

    return PaperOptimisation(model, data, hyperparameters, seed=seed, device=device)
