"""Training: find the number of steps on a validation split, then train on all purchases for as many.

The same seed gives bitwise the same vectors on one kind of CPU with one number of threads.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from lsec.core.errors import Untrainable
from lsec.core.jobs import DEFAULT_MODEL
from lsec.core.metrics import candidate_metrics
from workers.training import processes
from workers.training.champion import over_champion
from workers.training.checkpoint import Checkpoint, TrainingState
from workers.training.data import Interactions
from workers.training.divergence import require_finite
from workers.training.evaluation import selection_report
from workers.training.learners import Learner, make_learner
from workers.training.memory import give_back_freed_memory
from workers.training.model import Vectors
from workers.training.model_hyperparameters import AnyHyperparameters
from workers.training.progress import OnProgress, Progress, peak_memory_mb
from workers.training.ranking import Ranker, Scorer
from workers.training.selection_model import Kept, kept_of
from workers.training.validation import Validation, validation_split
from workers.training.warm_start import WarmStart

SELECTION_METRIC = "ndcg@10"


@dataclass(frozen=True, slots=True)
class Trained:
    """Vectors, product bias [P] and figures of a finished training.

    A model that does not score by vectors has none, and is its `ranker` alone. `selection` is what is kept of
    the model that was not shown the held-out purchases.
    """

    vectors: Vectors
    bias: Tensor
    temperature: float
    metrics: dict[str, Any]
    ranker: Ranker | None = None
    selection: Kept = field(default_factory=dict)

    @property
    def scorer(self) -> Ranker:
        """Scores of users and products."""
        return self.ranker or Scorer(self.vectors.users, self.vectors.products, self.bias, self.temperature)


@runtime_checkable
class HasVectors(Protocol):
    """A learner that may score by vectors of users, products and streamers, and then can be published."""

    def vectors(self) -> Vectors:
        """Vectors by the current parameters."""


def no_vectors(data: Interactions) -> Vectors:
    """One zero for each user, product and streamer, which nothing can be scored by."""
    return Vectors(*(torch.zeros(n, 1) for n in (data.num_users, data.num_products, data.num_streamers)))


class Trainer:
    """One training of a model by its name, from where its checkpoint stands to the end.

    It selects on `validation`, by default a split of the data. Without a user who has purchases to hold out,
    it takes all steps and has no validation figures. What it selects is held against the `champion`, the
    folder of the served release's artifact. With `warm_start`, both trainings start from that.
    """

    def __init__(
        self,
        data: Interactions,
        hyperparameters: AnyHyperparameters,
        *,
        model: str = DEFAULT_MODEL,
        seed: int,
        device: torch.device,
        on_progress: OnProgress | None = None,
        checkpoint: Checkpoint | None = None,
        validation: Validation | None = None,
        champion: Path | None = None,
        warm_start: WarmStart | None = None,
    ) -> None:
        self._data = data
        self._hyperparameters = hyperparameters
        self._model = model
        self._seed = seed
        self._device = device
        self._on_progress = on_progress or (lambda _: None)
        self._checkpoint = checkpoint or Checkpoint(None)
        self._validation = validation
        self._champion = champion
        self._warm_start = warm_start
        self._state = self._checkpoint.load(device)
        self._started_at = time.monotonic() - self._state.seconds
        self._step_times_s: list[float] = []

    @property
    def metrics(self) -> dict[str, Any]:
        """All figures so far; `validations` is the curve of the selection, oldest first."""
        return self._state.selection | {"validations": list(self._state.validations)}

    @property
    def best_value(self) -> float:
        """The selection's metric of the best validation so far, -1 before the first."""
        return self._state.best_value

    def train(self) -> Trained:
        """What a finished training gives, ready to be written as an artifact."""
        learner = self.fit()
        ranker = learner.scorer()
        if isinstance(ranker, Scorer):
            assert isinstance(learner, HasVectors), "who scores by vectors has them"
            kept = self._state.selection_model
            return Trained(learner.vectors(), ranker.bias, ranker.temperature, self.metrics, ranker, kept)
        return Trained(no_vectors(self._data), torch.zeros(ranker.num_products), 1.0, self.metrics, ranker)

    def fit(self) -> Learner:
        """Selects, unless a checkpoint is past that, and trains on all purchases."""
        if self._checkpoint.note:
            self._on_progress(Progress(self._state.stage, 0, self._checkpoint.note, is_news=True))
        if self._state.stage == "select":
            self.select()
        learner = self._learner(self._data)
        while self._state.step < self._state.best_step:
            loss = self._step(learner)
            message = f"step {self._state.step} of {self._state.best_step} on all purchases, loss {loss:.3f}"
            share = self._state.step / self._state.best_step
            self._on_progress(Progress("train", share, message, self.metrics))
            self._keep(learner)
        self._state.selection |= {"num_steps": self._state.best_step, "seconds": round(self._seconds, 3)}
        return learner

    def select(self) -> None:
        """Finds the number of steps, and the figures of the model that it gives."""
        validation = self._validation or validation_split(self._data, self._hyperparameters, seed=self._seed)
        learner = self.search_steps(validation)
        report, kept = self._report(learner.scorer(), validation) if learner else ({}, {})
        if self._warm_start is not None:
            report["warm_start"] = self._warm_start.report
        reason = self._stopped_because()
        self._state = TrainingState(
            stage="train",
            best_step=self._state.best_step if learner else self._hyperparameters.num_steps,
            best_value=self._state.best_value,
            validations=self._state.validations,
            selection=report | {"stopped_because": reason},
            selection_model=kept,
            seconds=self._seconds,
        )
        self._on_progress(Progress("select", 1, reason, self.metrics, is_news=True))

    def _report(self, ranker: Ranker, validation: Validation) -> tuple[dict[str, Any], Kept]:
        """Figures of the selection's model, and what is kept of it."""
        kept = kept_of(ranker)
        report = selection_report(ranker, validation)
        if self._champion is not None and processes.is_first():
            report["over_champion"] = over_champion(self._champion, ranker, kept, validation)
        return report, kept

    def search_steps(self, validation: Validation) -> Learner | None:
        """The learner of the best validation; None where nothing is held out."""
        if not len(validation.lists):
            return None
        hp = self._hyperparameters
        learner = self._learner(validation.train)
        while self._state.step < hp.num_steps and self._state.num_worse < hp.patience:
            self._select_step(learner, validation)
        learner.restore(self._state.best)
        self._state.best = {}
        return learner

    def _select_step(self, learner: Learner, validation: Validation) -> None:
        hp, state = self._hyperparameters, self._state
        loss = self._step(learner)
        message = f"step {state.step} of at most {hp.num_steps}, loss {loss:.3f}"
        is_due = state.step % hp.validate_every == 0 or state.step == hp.num_steps
        if is_due:
            value = self._validate(learner, validation, loss)
            message += f", {SELECTION_METRIC} {value:.4f}"
        latest = state.validations[-1] if state.validations else {}
        self._on_progress(
            Progress("select", state.step / hp.num_steps, message, latest | self.metrics, is_news=is_due)
        )
        self._keep(learner)

    def _stopped_because(self) -> str:
        state, hp = self._state, self._hyperparameters
        if not state.validations:
            return f"no purchases to hold out, so all {hp.num_steps} steps are taken"
        best = f"step {state.best_step} ({SELECTION_METRIC} {state.best_value:.4f})"
        if state.num_worse >= hp.patience:
            return f"no better validation in {state.num_worse} checks since {best}"
        return f"all {hp.num_steps} steps taken, the best is {best}"

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started_at

    def _learner(self, data: Interactions) -> Learner:
        give_back_freed_memory()
        warm, stage = self._warm_start, self._state.stage
        learner = make_learner(
            self._model,
            data,
            self._hyperparameters,
            seed=self._seed,
            device=self._device,
            start=warm.start(stage, data) if warm is not None and not self._state.step else None,
        )
        if self._state.step:
            learner.restore(self._state.parameters, self._state.optimizer)
            self._state.parameters, self._state.optimizer = {}, {}
        return learner

    def _step(self, learner: Learner) -> float:
        started = time.perf_counter()
        loss = learner.step(self._state.step)
        self._step_times_s.append(time.perf_counter() - started)
        self._state.step += 1
        learning_rate = self._hyperparameters.learning_rate
        require_finite(loss, learner.held_parameters, step=self._state.step, learning_rate=learning_rate)
        return loss

    def _keep(self, learner: Learner) -> None:
        """Saves a checkpoint when one is due, at the end of a step with its validation."""
        if self._checkpoint.is_due():
            self._state.parameters = learner.parameters
            self._state.optimizer = learner.optimizer_state
            self._state.seconds = self._seconds
            self._checkpoint.save(self._state)
            # Where several processes train, these are copies of the whole.
            self._state.parameters, self._state.optimizer = {}, {}

    def _validate(self, learner: Learner, validation: Validation, loss: float) -> float:
        """The selection's metric; keeps all parameters, the bias too, when they are the best so far."""
        state, lists = self._state, validation.lists
        scores = learner.scorer().candidates(lists)
        if np.isnan(scores[lists.is_valid]).any():
            raise Untrainable(f"The scores of the validation lists are not all numbers at step {state.step}.")
        figures = {name: round(value, 6) for name, value in candidate_metrics(lists, scores).items()}
        figures = processes.from_first(figures)
        step_ms = 1000 * sum(self._step_times_s) / len(self._step_times_s)
        self._step_times_s.clear()
        state.add_validation(
            {"step": state.step, "loss": round(loss, 6)}
            | figures
            | {"step_ms": round(step_ms, 2), "seconds": round(self._seconds, 2)}
            | peak_memory_mb(self._device)
        )
        value = figures[SELECTION_METRIC]
        if value > state.best_value:
            state.best_value, state.best_step, state.num_worse = value, state.step, 0
            _overwrite(state.best, learner.parameters)
        else:
            state.num_worse += 1
        return value


def _overwrite(kept: dict[str, Tensor], parameters: dict[str, Tensor]) -> None:
    """Makes `kept` equal to the parameters, where it can in place: copies made anew would break up memory."""
    for name, each in parameters.items():
        if name in kept:
            kept[name].copy_(each)
        else:
            kept[name] = each.clone()
