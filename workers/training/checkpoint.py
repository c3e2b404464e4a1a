"""A training's state on disk, so that a killed run goes on where it was."""

import logging
import pickle
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from workers.training import processes

log = logging.getLogger(__name__)

Stage = Literal["select", "train"]
MAX_VALIDATIONS = 60
"""A longer curve is thinned to every other point: it goes with each report and into the artifact."""
DAMAGE = (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, pickle.UnpicklingError)
"""What reading a file raises that is cut off, overwritten or of other code."""


@dataclass(slots=True)
class TrainingState:
    """Where a training stands; `select` finds the number of steps, `train` repeats them on all purchases.

    `selection` holds the figures of a finished selection, `selection_model` what its model scores by, `best`
    the parameters it found, `validations` the figures of each validation so far.
    """

    stage: Stage = "select"
    step: int = 0
    parameters: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_step: int = 0
    best_value: float = -1.0
    num_worse: int = 0
    validations: list[dict[str, Any]] = field(default_factory=list)
    selection: dict[str, Any] = field(default_factory=dict)
    selection_model: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The state that `asdict` gave; ValueError when these are not its fields."""
        if values.keys() != {each.name for each in fields(cls)}:
            raise ValueError("its fields are not those of this code")
        return cls(**values)

    def add_validation(self, figures: dict[str, Any]) -> None:
        """Adds a point to the curve, which keeps its first and its last when it is thinned."""
        self.validations.append(figures)
        if len(self.validations) > MAX_VALIDATIONS:
            last = self.validations[-1]
            self.validations = [*self.validations[:-1:2], last]


class Checkpoint:
    """The checkpoint file of one training; without a path nothing is kept.

    `fingerprint` names data, hyperparameters and seed: a file of another training is ignored. `note` says
    why a file that was there could not be used. Where several processes train, all load it, and the first
    decides when to save, and does.
    """

    def __init__(self, path: Path | None, *, fingerprint: str = "", every_s: float = 30.0) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._every_s = every_s
        self._saved_at = time.monotonic()
        self.note = ""

    def is_due(self) -> bool:
        """Whether the last save is long enough ago; what it would lose is worth a write."""
        if self._path is None:
            return False
        return processes.from_first(time.monotonic() - self._saved_at >= self._every_s)

    def save(self, state: TrainingState) -> None:
        """Replaces the file atomically."""
        if self._path is None or not processes.is_first():
            return
        partial = self._path.with_suffix(".partial")
        torch.save({"fingerprint": self._fingerprint, "state": asdict(state)}, partial)
        partial.replace(self._path)
        self._saved_at = time.monotonic()

    def load(self, device: torch.device) -> TrainingState:
        """The saved state, or a new one when there is none of this training that can be read."""
        if self._path is None or not self._path.exists():
            return TrainingState()
        try:
            saved = torch.load(self._path, map_location=device, weights_only=True)
            if saved["fingerprint"] != self._fingerprint:
                return self._without("belongs to another training")
            return TrainingState.from_dict(saved["state"])
        except DAMAGE as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            return self._without(f"cannot be read ({reason[:200]})")

    def _without(self, reason: str) -> TrainingState:
        self.note = f"The checkpoint {reason}: training begins anew."
        log.warning("%s", self.note)
        return TrainingState()
