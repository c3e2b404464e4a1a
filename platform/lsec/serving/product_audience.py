"""The users whom a product suits best: the model's scores of all users of the release, exactly."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact import Artifact
from lsec.core.half_precision import inner_products, to_single
from lsec.serving.likeness import best_places
from lsec.serving.shelf import Shelf
from lsec.serving.tags import Rows, Vector

AudienceSource = Literal["release", "sellers_products", "followers", "none"]
"""Where an audience comes from: the release's vector of the product, the mean of what its sellers sell beside
it, or who follows its sellers."""


@dataclass(frozen=True, slots=True)
class Appeal:
    """What a product is scored by: its vector [d] and bias, or those that stand in for it."""

    vector: Vector
    bias: float
    source: AudienceSource


def appeal_of(shelf: Shelf, row: int) -> Appeal | None:
    """The product's own vector, else the mean of what its sellers sell; None if there is neither."""
    artifact, catalog = shelf.artifact, shelf.catalog
    if artifact is None:
        return None
    if row < catalog.num_released:
        vector = to_single(artifact.product_vectors[row])
        return Appeal(vector, float(artifact.product_bias[row]), "release")
    beside = catalog.sellers.rows_of(catalog.sellers.of(row))
    beside = beside[beside < catalog.num_released]
    if not len(beside):
        return None
    vector = to_single(artifact.product_vectors[beside]).mean(axis=0)
    return Appeal(vector, float(np.median(artifact.product_bias[beside])), "sellers_products")


def ranked_users(
    artifact: Artifact, appeal: Appeal, *, k: int, bought_row: int | None, hidden: Collection[str]
) -> tuple[Rows, NDArray[np.float32]]:
    """User rows [N] whom the product suits best, N ≤ k, best first, with their scores.

    Left out are users without purchases, of whom the model knows nothing, who bought `bought_row` by the
    release's snapshot, those to hide, and those who were erased.
    """
    scores = inner_products(artifact.user_vectors, appeal.vector)
    scores /= artifact.manifest.temperature
    scores += appeal.bias
    scores[artifact.slates[:, 0] < 0] = -np.inf
    if bought_row is not None:
        scores[_buyers(artifact, bought_row)] = -np.inf
    rows = [row for user_id in hidden if (row := artifact.user_row(user_id)) is not None]
    scores[rows] = -np.inf
    scores[artifact.user_ids == b""] = -np.inf
    best = best_places(scores, k)
    best = best[scores[best] > -np.inf]
    return best, scores[best]


def _buyers(artifact: Artifact, product_row: int) -> Rows:
    """The rows of the users who had bought a product when the snapshot was made."""
    places = np.flatnonzero(artifact.bought_indices == product_row)
    return np.searchsorted(artifact.bought_indptr, places, side="right") - 1
