"""Vectors for users whom a training has not seen, from its released vectors: numpy only.

A user starts as the propagation of what they bought and viewed, and then takes a few Adam steps (Kingma & Ba
2015) on the loss of the training, with everything but the user's own vector frozen.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact import NO_ROWS, Artifact
from lsec.core.half_precision import to_single

Vectors = NDArray[np.float32]
Rows = NDArray[np.integer[Any]]
MAX_NEGATIVES = 4096
MAX_STREAMERS = 1024
"""Following is the lesser task, and is not to take as long as buying."""
NUM_STEPS = 20


@dataclass(frozen=True, slots=True)
class FoldIn:
    """What all users share: vectors of products [P, d] and streamers [S, d], and the training's setting.

    A user likes a product i by cos(z, products[i]) / temperature + bias[i], would view it by the same
    without the bias, and would follow a streamer s by cos(z, streamers[s]) / temperature; so the vectors are
    unit vectors, in single or half precision. `degrees` [P] says how many users bought each product. In the
    loss a purchase weighs buy_weight, a follow follow_weight and a view view_weight; in the propagation a
    view without a purchase weighs view_edge of one, and a product is divided by its degree to the
    degree_exponent. The softmax runs over max_negatives products, or
    MAX_STREAMERS streamers, which the seed draws once: over all, if there are no more.
    """

    products: NDArray[np.floating[Any]]
    bias: Vectors
    degrees: Rows
    streamers: NDArray[np.floating[Any]]
    temperature: float
    buy_weight: float = 1.0
    follow_weight: float = 0.0
    view_weight: float = 0.0
    view_edge: float = 0.0
    degree_exponent: float = 0.5
    max_negatives: int = MAX_NEGATIVES
    seed: int = 0
    num_steps: int = NUM_STEPS
    learning_rate: float = 0.01
    _drawn: tuple[Vectors, Vectors, Vectors] = field(init=False, repr=False)
    """The negatives: vectors of products, their biases, and vectors of streamers."""

    def __post_init__(self) -> None:
        products = self._sample(len(self.products), self.max_negatives)
        streamers = self._sample(len(self.streamers), MAX_STREAMERS)
        drawn = to_single(self.products[products]), self.bias[products], to_single(self.streamers[streamers])
        object.__setattr__(self, "_drawn", drawn)

    @classmethod
    def of(cls, artifact: Artifact) -> Self:
        """Folding in as the artifact was trained; ArtifactError if a network makes its scores.

        Only the ratio of the weights counts, so a purchase weighs 1. Without follows in the training the
        streamers' vectors are noise, and a follow weighs nothing. Without views in it, a view weighs as if
        there had been as many as purchases. Vectors of any length (the scoring "inner_product") were not
        trained on cosines: there the propagation is all.
        """
        artifact.require_vectors()
        manifest = artifact.manifest
        num_buys = max(manifest.counts["buys"], 1)
        num_follows, num_views = (manifest.counts.get(name, 0) for name in ("follows", "views"))
        follow_weight, view_weight, view_edge = (
            float(manifest.hyperparameters.get(name, 0))
            for name in ("follow_weight", "view_weight", "view_edge")
        )
        return cls(
            products=artifact.product_vectors,
            bias=artifact.product_bias,
            degrees=artifact.degrees,
            streamers=artifact.streamer_vectors,
            temperature=manifest.temperature,
            follow_weight=follow_weight * num_buys / num_follows if num_follows else 0.0,
            view_weight=view_weight * num_buys / (num_views or num_buys),
            view_edge=view_edge,
            degree_exponent=float(manifest.hyperparameters.get("degree_exponent", 0.5)),
            seed=manifest.seed,
            num_steps=NUM_STEPS if manifest.scoring == "cosine" else 0,
        )

    def user_vector(self, bought: Rows, followed: Rows, *, viewed: Rows = NO_ROWS) -> Vectors:
        """The unit vector [d] of a user with these product, streamer and product rows, each there once.

        All zeros where there is nothing to go by. What was bought may be among what was viewed.
        """
        start = self._propagated(bought, followed, np.setdiff1d(viewed, bought))
        if not start.any():
            return start
        losses = [
            loss for loss in (self._products_loss(bought, viewed), self._streamers_loss(followed)) if loss
        ]
        return _descended(start, losses, num_steps=self.num_steps, learning_rate=self.learning_rate)

    def _sample(self, num: int, max_num: int) -> Rows:
        if num <= max_num:
            return np.arange(num)
        drawn = np.random.default_rng(self.seed).choice(num, max_num, replace=False, shuffle=False)
        return np.sort(drawn)

    def _propagated(self, bought: Rows, followed: Rows, only_viewed: Rows) -> Vectors:
        """Σ_i w_i z_i / deg_i^e over the products, or the mean of the streamers for a user without any."""
        weights = np.repeat([1.0, self.view_edge], [len(bought), len(only_viewed)])
        if weights.any():
            rows = np.concatenate([bought, only_viewed])
            weights = weights / np.maximum(self.degrees[rows], 1) ** self.degree_exponent
            total = to_single(self.products[rows]).T @ weights
        else:
            total = to_single(self.streamers[followed]).sum(axis=0) * (self.follow_weight > 0)
        return _unit(total.astype(np.float32))

    def _products_loss(self, bought: Rows, viewed: Rows) -> "_Loss | None":
        """Of buying and viewing, which share the inner products."""
        targets, bias, _ = self._drawn
        parts, pull = [], np.zeros(targets.shape[1], np.float32)
        for rows, weight, part_bias in ((bought, self.buy_weight, bias), (viewed, self.view_weight, None)):
            if len(rows) and weight > 0:
                parts.append(_Part(weight * len(rows), part_bias))
                pull += np.float32(weight) * to_single(self.products[rows]).sum(axis=0)
        return _Loss(targets, self.temperature, parts, pull) if parts else None

    def _streamers_loss(self, followed: Rows) -> "_Loss | None":
        if not len(followed) or self.follow_weight <= 0:
            return None
        pull = np.float32(self.follow_weight) * to_single(self.streamers[followed]).sum(axis=0)
        return _Loss(
            self._drawn[2], self.temperature, [_Part(self.follow_weight * len(followed), None)], pull
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """The positives of one task: their weights' sum, and what is added to the scores of all targets."""

    weight: float
    bias: Vectors | None


@dataclass(frozen=True, slots=True)
class _Loss:
    """Σ_i w_i [−s(z, i) + log Σ_j exp s(z, j)] over all parts' positives i, and the targets j.

    s(z, j) = z·j / temperature + the part's bias; pull is Σ_i w_i i.
    """

    targets: Vectors
    temperature: float
    parts: list[_Part]
    pull: Vectors

    def gradient(self, unit: Vectors) -> Vectors:
        """By the unit vector [d]."""
        scores = self.targets @ unit
        scores *= 1 / self.temperature
        push = np.zeros_like(scores)
        for part in self.parts:
            likely = scores.copy() if part.bias is None else scores + part.bias
            likely -= likely.max()
            np.exp(likely, out=likely)
            likely *= part.weight / likely.sum()
            push += likely
        gradient: Vectors = (push @ self.targets - self.pull) / np.float32(self.temperature)
        return gradient


def _descended(start: Vectors, losses: list[_Loss], *, num_steps: int, learning_rate: float) -> Vectors:
    if not losses:
        return start
    vector, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for step in range(1, num_steps + 1):
        norm = np.linalg.norm(vector)
        unit = vector / norm
        by_unit = np.sum([loss.gradient(unit) for loss in losses], axis=0)
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
