"""Products newer than the release: scored as what their sellers sell is, on average."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from lsec.core.artifact import Artifact
from lsec.core.half_precision import to_single
from lsec.serving.catalog import Catalog
from lsec.serving.tags import Rows, Vector

MAX_NEW = 200
"""So many of the newest are ranked with all others; the rest by streamer, category and stream alone."""
MAX_ALIKE = 50
"""Products that a new one's vector is taken from, at most."""


@dataclass(frozen=True, slots=True)
class ColdProducts:
    """Product rows [N] in ascending order with a vector [N, d] and a bias [N] each.

    A score is linear in the product's vector, so that the mean vector has the mean score: a product whose
    sellers sell what is alike has a longer one.
    """

    rows: Rows
    vectors: Vector
    bias: Vector
    temperature: float

    @classmethod
    def of(cls, artifact: Artifact, catalog: Catalog, rows: Rows) -> Self:
        """Vectors of product rows [N]: of what their sellers sell, else of their categories, else of all."""
        dimensions = artifact.product_vectors.shape[1]
        vectors, bias = np.zeros((len(rows), dimensions), np.float32), np.zeros(len(rows), np.float32)
        for place, row in enumerate(rows.tolist()):
            alike = _alike(artifact, catalog, row)
            if len(alike):
                vectors[place] = to_single(artifact.product_vectors[alike]).mean(axis=0)
                bias[place] = artifact.product_bias[alike].mean()
        return cls(rows, vectors, bias, artifact.manifest.temperature)

    def scores(self, vector: Vector) -> Vector:
        """A user vector's scores [N]."""
        scores: Vector = self.vectors @ vector / np.float32(self.temperature) + self.bias
        return scores


def _alike(artifact: Artifact, catalog: Catalog, row: int) -> Rows:
    of_sellers = catalog.sellers.rows_of(catalog.sellers.of(row))
    of_categories = catalog.categories.rows_of(catalog.categories.of(row))
    for rows in (of_sellers, of_categories, artifact.popular):
        released = rows[rows < catalog.num_released][:MAX_ALIKE]
        if len(released):
            return released
    return rows[:0]
