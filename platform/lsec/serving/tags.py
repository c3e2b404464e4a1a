"""Names that rows have, many to many: the categories of products, and who sells them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.integer[Any]]
"""Row numbers, of any type of integers."""
Vector = NDArray[np.float32]
NO_ROWS: Rows = np.empty(0, np.int64)


class Tags:
    """Each row's names as numbers; many rows in two arrays, those that changed since in a dictionary.

    A name keeps its number for good, so that numbers of different moments compare.
    """

    def __init__(self, num_rows: int = 0) -> None:
        self._numbers: dict[str, int] = {}
        self._indptr: NDArray[np.int64] = np.zeros(num_rows + 1, np.int64)
        self._values = np.empty(0, np.int32)
        self._owners = np.empty(0, np.int32)
        self._changed: dict[int, tuple[int, ...]] = {}

    def fill(self, names_of: Mapping[int, Sequence[str]], *, num_rows: int) -> None:
        """Replaces all by the names of some of the rows [0, num_rows); the others have none."""
        pairs = [(row, self._number(name)) for row, names in names_of.items() for name in names]
        both = np.array(pairs, np.int64).reshape(-1, 2)
        self._pack(both[:, 0], both[:, 1], num_rows=num_rows)

    def put(self, row: int, names: Iterable[str]) -> None:
        """Replaces the names of one row, which may be a new one."""
        self._changed[row] = tuple(map(self._number, names))

    def of(self, row: int) -> tuple[int, ...]:
        """The numbers of a row's names."""
        if (changed := self._changed.get(row)) is not None:
            return changed
        if row + 1 >= len(self._indptr):
            return ()
        return tuple(self._values[self._indptr[row] : self._indptr[row + 1]].tolist())

    def names(self) -> list[str]:
        """All names; a number is a name's place."""
        return list(self._numbers)

    def rows_with(self, names: Iterable[str]) -> Rows:
        """The rows [N] that have one of the names or more, in ascending order."""
        numbers = {number for name in names if (number := self._numbers.get(name)) is not None}
        return self.rows_of(numbers)

    def rows_of(self, numbers: Iterable[int]) -> Rows:
        """The rows [N] that have one of the numbers or more, in ascending order."""
        wanted = set(numbers)
        if not wanted:
            return np.empty(0, np.int64)
        if len(wanted) == 1:
            mask = self._values == next(iter(wanted))
        else:
            mask = np.isin(self._values, np.fromiter(wanted, np.int32))
        rows = np.unique(self._owners[mask].astype(np.int64))
        if not self._changed:
            return rows
        # At once, for another thread may be writing.
        changed = list(self._changed.items())
        fresh = [row for row, has in changed if not wanted.isdisjoint(has)]
        kept = rows[~np.isin(rows, np.array([row for row, _ in changed], np.int64))]
        return np.union1d(kept, np.array(fresh, np.int64))

    def moved(self, new_row: Rows, *, num_rows: int) -> "Tags":
        """The same in another numbering: row r becomes new_row[r], or goes where that is −1."""
        other = Tags()
        other._numbers = self._numbers.copy()
        kept = ~np.isin(self._owners, np.fromiter(self._changed, np.int64))
        fresh = [(row, number) for row, numbers in self._changed.items() for number in numbers]
        both = np.array(fresh, np.int64).reshape(-1, 2)
        owners = new_row[np.concatenate([self._owners[kept], both[:, 0]])]
        values = np.concatenate([self._values[kept], both[:, 1]])
        other._pack(owners[owners >= 0], values[owners >= 0], num_rows=num_rows)
        return other

    def _pack(self, owners: NDArray[Any], values: NDArray[Any], *, num_rows: int) -> None:
        order = np.argsort(owners, kind="stable")
        self._owners, self._values = owners[order].astype(np.int32), values[order].astype(np.int32)
        lengths = np.bincount(owners, minlength=num_rows)
        self._indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self._changed = {}

    def _number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))
