"""Starting the default model from the champion's vectors, where their ids are known, instead of from nothing.

An artifact has what came out of the propagation, not what went in, so the vectors themselves are taken as
embeddings to start from. Both trainings of a run do so: the selection from the champion's selection model,
and the last one from its released vectors, which know the held-out purchases.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lsec.core.errors import ArtifactError
from workers.training.champion import Champion
from workers.training.checkpoint import Stage
from workers.training.data import Interactions, Rows
from workers.training.hyperparameters import Hyperparameters
from workers.training.model_hyperparameters import AnyHyperparameters

NORM = 0.1
"""Of an embedding that is taken over; a new one has the usual noise, and what its neighbours tell."""
STEPS_SHARE = 8 / 15
"""So many of the steps are enough from there; with all it is no better, and slower (`docs/releases.md`)."""


@dataclass(frozen=True, slots=True)
class Start:
    """Embeddings of users [U, d], products [P, d], streamers [S, d], zeros where unknown; bias [P].

    `is_known` [P] says which products the champion has; the bias of the others is for the training to choose.
    """

    users: Tensor
    products: Tensor
    streamers: Tensor
    bias: Tensor
    is_known: Tensor


@dataclass(frozen=True, slots=True)
class WarmStart:
    """The champion to start from, or the reason why a training starts from nothing."""

    champion: Champion | None
    reason: str = ""

    @property
    def report(self) -> dict[str, Any]:
        """What a run's metrics say of it."""
        if self.champion is None:
            return {"release_id": None, "reason": self.reason}
        return {"release_id": self.champion.release_id}

    def with_fewer_steps(self, hyperparameters: AnyHyperparameters) -> AnyHyperparameters:
        """The same; where it starts from a champion, with as many steps as it takes from there."""
        if self.champion is None:
            return hyperparameters
        return replace(hyperparameters, num_steps=math.ceil(STEPS_SHARE * hyperparameters.num_steps))

    def start(self, stage: Stage, data: Interactions) -> Start | None:
        """Where the training of this stage starts; None for nothing."""
        if self.champion is None or self.champion.selection is None:
            return None
        artifact, selection = self.champion.artifact, self.champion.selection
        users, products = self.champion.rows_of(data)
        streamers = artifact.streamers.find(data.streamer_ids)
        if stage == "select":
            vectors = selection.users, selection.products, selection.bias
        else:
            vectors = artifact.user_vectors, artifact.product_vectors, artifact.product_bias
        return Start(
            taken_over(vectors[0], users, norm=NORM),
            taken_over(vectors[1], products, norm=NORM),
            taken_over(artifact.streamer_vectors, streamers, norm=NORM),
            taken_over(vectors[2], products),
            torch.from_numpy(products >= 0),
        )


def taken_over(values: NDArray[Any], rows: Rows, *, norm: float = 1.0) -> Tensor:
    """values[rows] times norm in single precision; zeros where a row is −1."""
    taken = np.zeros((len(rows), *values.shape[1:]), np.float32)
    known = rows >= 0
    taken[known] = values[rows[known]]
    return torch.from_numpy(taken).mul_(norm)


def warm_start(path: Path | None, hyperparameters: AnyHyperparameters) -> WarmStart:
    """The warm start from the artifact in this folder, None for a graph that has no release.

    The selection must not start from a model that has seen what it is to be judged by: the champion must have
    held out all that this one holds out.
    """
    if path is None:
        return WarmStart(None, "there is no release to start from")
    if not isinstance(hyperparameters, Hyperparameters):
        return WarmStart(None, "only the default model can")
    try:
        champion = Champion.open(path)
    except ArtifactError as error:
        return WarmStart(None, f"{path.name} cannot be read: {error.detail}")
    if reason := _why_not(champion, hyperparameters):
        return WarmStart(None, f"{champion.release_id} {reason}")
    return WarmStart(champion)


def _why_not(champion: Champion, hyperparameters: Hyperparameters) -> str:
    """'' where the champion can be started from."""
    manifest, selection = champion.artifact.manifest, champion.selection
    if manifest.scoring != "cosine" or selection is None:
        return "has no unit vectors of a selection"
    if selection.users.shape[1] != hyperparameters.dimensions:
        return f"has {selection.users.shape[1]} dimensions, not {hyperparameters.dimensions}"
    rule = champion.held_out_rule
    is_random = hyperparameters.validation_split == "random"
    if rule is None or not is_random or rule.share < hyperparameters.validation_share:
        return "has seen purchases that are to be held out"
    return ""
