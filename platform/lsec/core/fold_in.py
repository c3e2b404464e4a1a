"""Vectors for users whom a training has not seen, from its released vectors: numpy only.

A user starts as the propagation of what they bought, and then takes a few Adam steps (Kingma & Ba 2015) on
the loss of the training, with everything but the user's own vector frozen.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Rows = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class FoldIn:
    """What all users share: unit vectors of products [P, d] and streamers [S, d], and the training's setting.

    A user likes a product i by cos(z, products[i]) / temperature + bias[i], and would follow a streamer s by
    cos(z, streamers[s]) / temperature. `degrees` [P] says how many users bought each product. A purchase
    weighs buy_weight in the loss, a follow follow_weight: only their ratio counts. The softmax runs over the
    given negatives [N] (product rows), all products by default.
    """

    products: Vectors
    bias: Vectors
    degrees: Rows
    streamers: Vectors
    temperature: float
    buy_weight: float = 1.0
    follow_weight: float = 0.0
    negatives: Rows | None = None
    num_steps: int = 20
    learning_rate: float = 0.01

    def user_vector(self, bought: Rows, followed: Rows) -> Vectors:
        """The unit vector [d] of a user with these product and streamer rows; all zeros without any."""
        start = self._propagated(bought, followed)
        if not start.any():
            return start
        tasks = [
            task
            for task in (self._buying(bought), self._following(followed))
            if task is not None and task.weight > 0
        ]
        return _descended(start, tasks, num_steps=self.num_steps, learning_rate=self.learning_rate)

    def _propagated(self, bought: Rows, followed: Rows) -> Vectors:
        """Σ_i z_i / √deg_i over the products, or the mean of the streamers for a user without purchases."""
        if len(bought):
            total = self.products[bought].T @ (1 / np.sqrt(np.maximum(self.degrees[bought], 1)))
        else:
            total = self.streamers[followed].sum(axis=0)
        return _unit(total.astype(np.float32))

    def _buying(self, bought: Rows) -> "_Task | None":
        if not len(bought):
            return None
        negatives = slice(None) if self.negatives is None else self.negatives
        return _Task(
            self.products[bought].sum(axis=0) / self.temperature,
            self.products[negatives],
            self.bias[negatives],
            self.temperature,
            num_positives=len(bought),
            weight=self.buy_weight,
        )

    def _following(self, followed: Rows) -> "_Task | None":
        if not len(followed):
            return None
        return _Task(
            self.streamers[followed].sum(axis=0) / self.temperature,
            self.streamers,
            np.zeros(len(self.streamers), np.float32),
            self.temperature,
            num_positives=len(followed),
            weight=self.follow_weight,
        )


@dataclass(frozen=True, slots=True)
class _Task:
    """weight · Σ_i [−s(z, i) + log Σ_j exp s(z, j)] over the positives i; their sum / temperature is pull."""

    pull: Vectors
    targets: Vectors
    bias: Vectors
    temperature: float
    num_positives: int
    weight: float

    def gradient(self, unit: Vectors) -> Vectors:
        """By the unit vector [d]."""
        logits = self.targets @ unit
        logits *= 1 / self.temperature
        logits += self.bias
        logits -= logits.max()
        np.exp(logits, out=logits)
        push = (logits @ self.targets) * (self.num_positives / (logits.sum() * self.temperature))
        gradient: Vectors = self.weight * (push - self.pull)
        return gradient


def _descended(start: Vectors, tasks: list[_Task], *, num_steps: int, learning_rate: float) -> Vectors:
    vector, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in range(1, num_steps + 1):
        norm = np.linalg.norm(vector)
        unit = vector / norm
        by_unit = np.sum([task.gradient(unit) for task in tasks], axis=0)
        gradient = (by_unit - unit * (unit @ by_unit)) / norm
        mean += 0.1 * (gradient - mean)
        square += 0.001 * (gradient**2 - square)
        scaled = (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        vector -= np.float32(learning_rate) * scaled
    return _unit(vector)


def _unit(vector: Vectors) -> Vectors:
    norm = np.linalg.norm(vector)
    unit: Vectors = vector if norm == 0 else vector / norm
    return unit
