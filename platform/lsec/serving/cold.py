"""Products newer than the release: scored as what their sellers sell is, on average."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from lsec.core.artifact import Artifact
from lsec.core.half_precision import to_single
from lsec.serving.catalog import Catalog
from lsec.serving.tags import Rows, Tags, Vector

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
        alike = _alike(artifact, catalog, rows)
        lengths = np.array([len(each) for each in alike], np.int64)
        if known := np.flatnonzero(lengths).tolist():
            together = np.concatenate([alike[place] for place in known])
            starts = np.cumsum(lengths[known]) - lengths[known]
            sums = np.add.reduceat(to_single(artifact.product_vectors[together]), starts)
            vectors[known] = sums / lengths[known, None]
            bias[known] = np.add.reduceat(artifact.product_bias[together], starts) / lengths[known]
        return cls(rows, vectors, bias, artifact.manifest.temperature)

    def scores(self, vector: Vector) -> Vector:
        """A user vector's scores [N]."""
        scores: Vector = self.vectors @ vector / np.float32(self.temperature) + self.bias
        return scores


def _alike(artifact: Artifact, catalog: Catalog, rows: Rows) -> list[Rows]:
    """What the release knows and each of product rows [N] is like, in ascending order but for the popular."""
    popular = artifact.popular[:MAX_ALIKE]
    kinds = [
        (tags, _first_released(tags, catalog.num_released)) for tags in (catalog.sellers, catalog.categories)
    ]

    def of(row: int) -> Rows:
        for tags, first_of in kinds:
            found = [first_of(number) for number in tags.of(row)]
            if any(len(each) for each in found):
                return found[0] if len(found) == 1 else np.unique(np.concatenate(found))[:MAX_ALIKE]
        return popular

    return [of(row) for row in rows.tolist()]


def _first_released(tags: Tags, num_released: int) -> Callable[[int], Rows]:
    """What gives the first rows of a name that the release knows; each name is looked up once."""

    @functools.cache
    def first_of(number: int) -> Rows:
        rows = tags.rows_of([number])
        return rows[: np.searchsorted(rows, num_released)][:MAX_ALIKE]

    return first_of
