"""Ids as packed bytes, and the rows that they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PRIME = 1_999_999_973
_SPREAD, _LOW_BITS = 2_654_435_769, 0xFFFF_FFFF
"""Numbers that follow on each other lie far apart once multiplied. Source: Knuth, TAOCP 6.4."""
_EMPTY = -1
ROWS_AT_ONCE = 32_768
"""Of many, so many at a time: requests have their turn in between."""


@dataclass(frozen=True, slots=True)
class IdIndex:
    """Ids as UTF-8 bytes [N] in row order, and the order [N] that sorts them, for look-up.

    After `hash` one id is found by its hash: a binary search waits for memory at each of its steps. Whoever
    chooses ids can have theirs crowd; then all of those are looked at.
    """

    ids: NDArray[np.bytes_]
    order: NDArray[np.int64]
    slots: memoryview | None = field(default=None, init=False, repr=False, compare=False)
    """The row of an id at the place of its hash or the first free one after it; `_EMPTY` ends the search."""

    def hash(self) -> None:
        """Make one id be found sooner; it takes a second for some two million, and may be asked meanwhile."""
        slots = _slots(self.ids, self.order, 2 * len(self.ids) + 1)
        object.__setattr__(self, "slots", slots.data.toreadonly())

    def row(self, id_: str) -> int | None:
        """The row of this id."""
        key, ids = id_.encode(), self.ids
        # numpy drops trailing NULs, and would copy all ids to compare them with a longer key.
        if not len(ids) or len(key) > ids.itemsize or key.endswith(b"\0"):
            return None
        slots = self.slots
        if slots is None:
            place = int(ids.searchsorted(np.array(key, dtype=ids.dtype), sorter=self.order))
            row = int(self.order[place]) if place < len(ids) else _EMPTY
            return row if row != _EMPTY and ids[row] == key else None
        number = int.from_bytes(key.ljust(ids.itemsize, b"\0")) % _PRIME
        place = (number * _SPREAD & _LOW_BITS) * (2 * len(ids) + 1) >> 32
        while (row := slots[place]) != _EMPTY:
            if ids[row] == key:
                return row
            place += 1
        return None

    def find(self, ids: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """The rows [N] of ids [N] as packed bytes, −1 for one that is not there; for many at once."""
        found = np.full(len(ids), -1, np.int64)
        for start in range(0, len(ids) if len(self.ids) else 0, ROWS_AT_ONCE):
            part = ids[start : start + ROWS_AT_ONCE]
            # Of the same width, or all ids would be copied; one that is cut off by that is not the one found.
            places = np.searchsorted(self.ids, part.astype(self.ids.dtype), sorter=self.order)
            rows = self.order[np.minimum(places, len(self.ids) - 1)]
            found[start : start + ROWS_AT_ONCE] = np.where(self.ids[rows] == part, rows, -1)
        return found

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The rows of these ids, −1 for one that is not there."""
        found = {id_: self.row(id_) for id_ in set(ids)}
        return np.array([-1 if (row := found[id_]) is None else row for id_ in ids], np.int64)


def _slots(ids: NDArray[np.bytes_], order: NDArray[np.int64], num_places: int) -> NDArray[np.int32]:
    """Rows by the places of their ids' hashes, the first in order of equal ids; a free place at the end."""
    parts, wanted_parts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, len(order), ROWS_AT_ONCE):
        # With the row before them, whose id the first of these may share.
        near = order[max(start - 1, 0) : start + ROWS_AT_ONCE]
        packed = ids[near]
        is_first = np.concatenate([[start == 0], packed[1:] != packed[:-1]])
        parts.append(near[is_first])
        wanted_parts.append(_places(packed[is_first], num_places))
    rows, wanted = np.concatenate(parts), np.concatenate(wanted_parts)
    by_place = np.argsort(wanted, kind="stable")
    # Each takes its place, or the one after that of the row before it.
    steps = np.arange(len(rows))
    places = np.maximum.accumulate(wanted[by_place] - steps) + steps
    slots = np.full(max(num_places, int(places[-1]) + 1 if len(rows) else 0) + 1, _EMPTY, np.int32)
    slots[places] = rows[by_place]
    return slots


def _places(ids: NDArray[np.bytes_], num_places: int) -> NDArray[np.int64]:
    """Where `IdIndex.row` begins to look for each of ids [N]."""
    numbers = np.zeros(len(ids), np.uint64)
    for column in tensor_of(ids).T:
        numbers = (numbers * 256 + column) % _PRIME
    return ((numbers * _SPREAD & _LOW_BITS) * num_places >> 32).astype(np.int64)


def ids_of(tensor: NDArray[Any]) -> NDArray[np.bytes_]:
    """Ids [N] of their zero-padded UTF-8 bytes [N, W], as a view; ValueError when W is 0."""
    if not tensor.shape[1]:
        raise ValueError("ids have no bytes")
    return tensor.view(f"S{tensor.shape[1]}").reshape(len(tensor))


def tensor_of(ids: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    """Zero-padded UTF-8 bytes [N, W] of ids [N], as a view where they lie close together."""
    return np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), ids.itemsize)
