"""How like products and streamers are to a vector, exactly, from the release's arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsec.core.half_precision import to_single
from lsec.serving.shelf import Shelf
from lsec.serving.tags import Rows, Vector

ROWS_PER_BLOCK = 4_096
"""So many vectors are in single precision at once."""


def cosines(vectors: NDArray[np.floating[Any]], vector: Vector) -> NDArray[np.float32]:
    """The cosine [N] of each of vectors [N, d] and a vector [d]; 0 where one of the two is all zeros."""
    found = np.zeros(len(vectors), np.float32)
    length = float(np.linalg.norm(vector))
    for start in range(0, len(vectors) if length else 0, ROWS_PER_BLOCK):
        block = to_single(vectors[start : start + ROWS_PER_BLOCK])
        lengths = np.sqrt(np.einsum("nd,nd->n", block, block)) * length
        np.divide(block @ vector, lengths, out=found[start : start + len(block)], where=lengths > 0)
    return found


def nearest(shelf: Shelf, row: int, rows: Rows, *, k: int) -> tuple[Rows, NDArray[np.float32]]:
    """Of product rows [N] the k nearest to a product of the release, nearest first, with their cosines.

    A tie goes to the lower row; rows of products that the release does not know are left out.
    """
    assert shelf.artifact is not None
    rows = np.sort(rows[rows < shelf.catalog.num_released])
    vectors = shelf.artifact.product_vectors
    found = cosines(vectors if len(rows) == len(vectors) else vectors[rows], to_single(vectors[row]))
    order = best_places(found, k)
    return rows[order], found[order]


def best_places(scores: NDArray[np.floating[Any]], k: int) -> NDArray[np.int64]:
    """The places of the k greatest of scores [N], greatest first, a tie to the lower place."""
    places = np.arange(len(scores))
    if 0 < k < len(scores):
        places = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    return places[np.argsort(-scores[places], kind="stable")[: max(k, 0)]]
