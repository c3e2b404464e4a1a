"""Training: find the number of steps on a validation split, then train on all purchases for as many.

The same seed gives bitwise the same vectors on one kind of CPU with one number of threads.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lsec.core.errors import Untrainable
from lsec.core.metrics import candidate_metrics
from workers.training.checkpoint import Checkpoint, TrainingState
from workers.training.data import Interactions
from workers.training.evaluation import selection_report
from workers.training.hyperparameters import Hyperparameters
from workers.training.model import Vectors
from workers.training.optimisation import Optimisation
from workers.training.progress import OnProgress, Progress
from workers.training.ranking import Scorer
from workers.training.validation import Validation, validation_split

SELECTION_METRIC = "ndcg@10"


@dataclass(frozen=True, slots=True)
class Trained:
    """Unit vectors, product bias [P] and figures of a finished training."""

    vectors: Vectors
    bias: Tensor
    temperature: float
    metrics: dict[str, Any]

    @property
    def scorer(self) -> Scorer:
        """Scores of users and products."""
        return Scorer(self.vectors.users, self.vectors.products, self.bias, self.temperature)


class Trainer:
    """One training, from where its checkpoint stands to the end.

    Without a user who has purchases to hold out, it takes all steps and has no validation figures.
    """

    def __init__(
        self,
        data: Interactions,
        hyperparameters: Hyperparameters,
        *,
        seed: int,
        device: torch.device,
        on_progress: OnProgress | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._data = data
        self._hyperparameters = hyperparameters
        self._seed = seed
        self._device = device
        self._on_progress = on_progress or (lambda _: None)
        self._checkpoint = checkpoint or Checkpoint(None)
        self._state = self._checkpoint.load(device)
        self._started_at = time.monotonic() - self._state.seconds

    def train(self) -> Trained:
        """Selects, unless a checkpoint is past that, and trains on all purchases."""
        if self._state.stage == "select":
            self._select()
        optimisation = self._optimisation(self._data)
        while self._state.step < self._state.best_step:
            loss = self._step(optimisation)
            message = f"step {self._state.step} of {self._state.best_step} on all purchases, loss {loss:.3f}"
            self._on_progress(Progress("train", self._state.step / self._state.best_step, message))
            self._keep(optimisation)
        scorer = optimisation.scorer()
        timing = {"num_steps": self._state.best_step, "seconds": round(self._seconds, 3)}
        return Trained(
            optimisation.vectors(), scorer.bias, scorer.temperature, self._state.selection | timing
        )

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started_at

    def _select(self) -> None:
        hp = self._hyperparameters
        validation = validation_split(self._data, hp, seed=self._seed)
        num_steps, report = hp.num_steps, {}
        if len(validation.lists):
            optimisation = self._optimisation(validation.train)
            while self._state.step < hp.num_steps and self._state.num_worse < hp.patience:
                loss = self._step(optimisation)
                if self._state.step % hp.validate_every == 0 or self._state.step == hp.num_steps:
                    self._validate(optimisation, validation)
                message = f"step {self._state.step} of at most {hp.num_steps}, loss {loss:.3f}"
                self._on_progress(
                    Progress("select", self._state.step / hp.num_steps, message, self._state.validation)
                )
                self._keep(optimisation)
            optimisation.restore(self._state.best)
            num_steps, report = self._state.best_step, selection_report(optimisation.scorer(), validation)
        self._state = TrainingState(
            stage="train", best_step=num_steps, selection=report, seconds=self._seconds
        )

    def _optimisation(self, data: Interactions) -> Optimisation:
        optimisation = Optimisation(data, self._hyperparameters, seed=self._seed, device=self._device)
        if self._state.step:
            optimisation.restore(self._state.parameters, self._state.optimizer)
        return optimisation

    def _step(self, optimisation: Optimisation) -> float:
        loss = optimisation.step(self._state.step)
        if not math.isfinite(loss):
            raise Untrainable(
                f"The loss is {loss} at step {self._state.step}.", remedy="Lower learning_rate."
            )
        self._state.step += 1
        return loss

    def _keep(self, optimisation: Optimisation) -> None:
        """Saves a checkpoint when one is due, at the end of a step with its validation."""
        if self._checkpoint.is_due():
            self._state.parameters = optimisation.parameters
            self._state.optimizer = optimisation.optimizer_state
            self._state.seconds = self._seconds
            self._checkpoint.save(self._state)

    def _validate(self, optimisation: Optimisation, validation: Validation) -> None:
        """Keeps all parameters, the bias too, when they are the best so far."""
        state = self._state
        state.validation = candidate_metrics(
            validation.lists, optimisation.scorer().candidates(validation.lists)
        )
        if state.validation[SELECTION_METRIC] > state.best_value:
            state.best_value, state.best_step = state.validation[SELECTION_METRIC], state.step
            state.best = {name: values.clone() for name, values in optimisation.parameters.items()}
            state.num_worse = 0
        else:
            state.num_worse += 1
