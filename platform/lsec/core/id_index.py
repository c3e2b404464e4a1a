"""Ids as packed bytes, and the rows that they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class IdIndex:
    """Ids as UTF-8 bytes [N] in row order, and the order [N] that sorts them, for look-up."""

    ids: NDArray[np.bytes_]
    order: NDArray[np.int64]

    def row(self, id_: str) -> int | None:
        """The row of this id."""
        key = id_.encode()
        # numpy drops trailing NULs, and would copy all ids to compare them with a longer key.
        if not len(self.ids) or len(key) > self.ids.itemsize or key.endswith(b"\0"):
            return None
        wanted = np.array(key, dtype=self.ids.dtype)
        place = int(np.searchsorted(self.ids, wanted, sorter=self.order))
        if place == len(self.ids) or self.ids[self.order[place]] != key:
            return None
        return int(self.order[place])

    def find(self, ids: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """The rows [N] of ids [N] as packed bytes, −1 for one that is not there; for many at once."""
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        places = np.searchsorted(self.ids, ids, sorter=self.order)
        rows = self.order[np.minimum(places, len(self.ids) - 1)]
        return np.where(self.ids[rows] == ids, rows, -1)

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The rows of these ids, −1 for one that is not there."""
        found = {id_: self.row(id_) for id_ in set(ids)}
        return np.array([-1 if (row := found[id_]) is None else row for id_ in ids], np.int64)


def ids_of(tensor: NDArray[Any]) -> NDArray[np.bytes_]:
    """Ids [N] of their zero-padded UTF-8 bytes [N, W], as a view; ValueError when W is 0."""
    if not tensor.shape[1]:
        raise ValueError("ids have no bytes")
    return tensor.view(f"S{tensor.shape[1]}").reshape(len(tensor))


def tensor_of(ids: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    """Zero-padded UTF-8 bytes [N, W] of ids [N], as a view where they lie close together."""
    return np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), ids.itemsize)
