"""A release with the live products beside it: what a user's ranking is made from."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact import Artifact
from lsec.serving.catalog import Catalog
from lsec.serving.cold import MAX_NEW, ColdProducts
from lsec.serving.tags import Rows, Vector


@dataclass(slots=True)
class Shelf:
    """The artifact served, None before the first release, and the catalog in its order of products.

    `newest` are the latest products that the release does not know; `take_in_new` brings them up to date.
    """

    artifact: Artifact | None
    catalog: Catalog
    newest: ColdProducts | None = None
    _num_changes: int = field(default=0, repr=False)

    @property
    def release_id(self) -> str | None:
        return self.artifact.manifest.release_id if self.artifact else None

    def user_row(self, user_id: str) -> int | None:
        """The user's row in the artifact, if the release knows them."""
        return self.artifact.user_row(user_id) if self.artifact else None

    def take_in_new(self) -> None:
        """Give the newest products vectors, if any of them has changed."""
        num_changes = self.catalog.num_changes
        if self.artifact is not None and num_changes != self._num_changes:
            rows = self.catalog.new_rows()[-MAX_NEW:]
            self.newest = ColdProducts.of(self.artifact, self.catalog, rows)
            self._num_changes = num_changes

    def num_buyers(self, rows: Rows) -> NDArray[np.int64]:
        """How many users had bought each of product rows [N] by the release's snapshot; 0 for new ones."""
        found = np.zeros(len(rows), np.int64)
        if self.artifact is not None:
            known = rows < self.catalog.num_released
            found[known] = self.artifact.degrees[rows[known]]
        return found

    def by_popularity(self, rows: Rows) -> Rows:
        """Product rows [N] most bought first, then in their order."""
        return rows[np.argsort(-self.num_buyers(rows), kind="stable")]

    def scores(self, vector: Vector, rows: Rows) -> Vector:
        """A user vector's scores of product rows [N], also of products that the release does not know."""
        assert self.artifact is not None
        known = rows < self.catalog.num_released
        if known.all():
            return self.artifact.vector_scores(vector, rows)
        scores = np.empty(len(rows), np.float32)
        scores[known] = self.artifact.vector_scores(vector, rows[known])
        scores[~known] = ColdProducts.of(self.artifact, self.catalog, rows[~known]).scores(vector)
        return scores
