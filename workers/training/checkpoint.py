"""A training's state on disk, so that a killed run goes on where it was."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

Stage = Literal["select", "train"]


@dataclass(slots=True)
class TrainingState:
    """Where a training stands; `select` finds the number of steps, `train` repeats them on all purchases.

    `selection` holds the figures of a finished selection, `best` the parameters it found.
    """

    stage: Stage = "select"
    step: int = 0
    parameters: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_step: int = 0
    best_value: float = -1.0
    num_worse: int = 0
    validation: dict[str, float] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The state that `asdict` gave."""
        return cls(**values)


class Checkpoint:
    """The checkpoint file of one training; without a path nothing is kept.

    `fingerprint` names data, hyperparameters and seed: a file of another training is ignored.
    """

    def __init__(self, path: Path | None, *, fingerprint: str = "", every_s: float = 30.0) -> None:
        self._path = path
        self._fingerprint = fingerprint
        self._every_s = every_s
        self._saved_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last save is long enough ago; what it would lose is worth a write."""
        return self._path is not None and time.monotonic() - self._saved_at >= self._every_s

    def save(self, state: TrainingState) -> None:
        """Replaces the file atomically."""
        if self._path is None:
            return
        partial = self._path.with_suffix(".partial")
        torch.save({"fingerprint": self._fingerprint, "state": asdict(state)}, partial)
        partial.replace(self._path)
        self._saved_at = time.monotonic()

    def load(self, device: torch.device) -> TrainingState:
        """The saved state, or a new one when there is none of this training."""
        if self._path is None or not self._path.exists():
            return TrainingState()
        saved = torch.load(self._path, map_location=device, weights_only=True)
        if saved["fingerprint"] != self._fingerprint:
            return TrainingState()
        return TrainingState.from_dict(saved["state"])
