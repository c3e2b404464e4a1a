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
    """Each row's names as numbers, and each name's rows: in arrays, what changed since in dictionaries.

    A name keeps its number for good, so that numbers of different moments compare. One writes, while others
    may read.
    """

    def __init__(self, num_rows: int = 0) -> None:
        self._numbers: dict[str, int] = {}
        self._pack(NO_ROWS, NO_ROWS, num_rows=num_rows)

    def fill(self, names_of: Mapping[int, Sequence[str]], *, num_rows: int) -> None:
        """Replaces all by the names of some of the rows [0, num_rows); the others have none."""
        pairs = [
            (row, self._number(name)) for row, names in names_of.items() for name in dict.fromkeys(names)
        ]
        both = np.array(pairs, np.int64).reshape(-1, 2)
        self._pack(both[:, 0], both[:, 1], num_rows=num_rows)

    def put(self, row: int, names: Iterable[str]) -> None:
        """Replaces the names of one row, which may be a new one."""
        numbers = tuple(map(self._number, names))
        for number in self._changed.get(row, ()):
            self._changed_rows[number].discard(row)
        for number in numbers:
            self._changed_rows.setdefault(number, set()).add(row)
        self._changed[row] = numbers
        if row < len(self._is_changed):
            self._is_changed[row] = True

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
        return self.rows_of(number for name in names if (number := self._numbers.get(name)) is not None)

    def rows_of(self, numbers: Iterable[int]) -> Rows:
        """The rows [N] that have one of the numbers or more, in ascending order."""
        found = [self._rows_of_one(number) for number in set(numbers)]
        if len(found) == 1:
            return found[0]
        return np.unique(np.concatenate(found)) if found else NO_ROWS

    def _rows_of_one(self, number: int) -> Rows:
        rows = self._rows[:0]
        if number + 1 < len(self._rows_indptr):
            rows = self._rows[self._rows_indptr[number] : self._rows_indptr[number + 1]]
        if self._changed:
            rows = rows[~self._is_changed[rows]]
        if changed := self._changed_rows.get(number):
            # A tuple at once, for another thread may be writing.
            rows = np.union1d(rows, np.array(tuple(changed), np.int64))
        return rows.astype(np.int64)

    def moved(self, new_row: Rows, *, num_rows: int) -> "Tags":
        """The same in another numbering: row r becomes new_row[r], or goes where that is −1."""
        other = Tags()
        other._numbers = self._numbers.copy()
        owners = np.repeat(np.arange(len(self._is_changed)), np.diff(self._indptr))
        kept = ~self._is_changed[owners]
        fresh = [(row, number) for row, numbers in self._changed.items() for number in numbers]
        both = np.array(fresh, np.int64).reshape(-1, 2)
        moved = new_row[np.concatenate([owners[kept], both[:, 0]])]
        values = np.concatenate([self._values[kept], both[:, 1]])
        other._pack(moved[moved >= 0], values[moved >= 0], num_rows=num_rows)
        return other

    def _pack(self, owners: Rows, values: Rows, *, num_rows: int) -> None:
        """Take rows and numbers [N], pair by pair, as all that there is."""
        by_row = np.argsort(owners, kind="stable")
        owners, values = owners[by_row].astype(np.int32), values[by_row].astype(np.int32)
        self._indptr, self._values = _starts(owners, num_rows), values
        self._rows_indptr = _starts(values, len(self._numbers))
        self._rows = owners[np.argsort(values, kind="stable")]
        self._is_changed = np.zeros(num_rows, np.bool_)
        self._changed: dict[int, tuple[int, ...]] = {}
        self._changed_rows: dict[int, set[int]] = {}

    def _number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))


def _starts(numbers: Rows, num: int) -> NDArray[np.int64]:
    """Where those of each number in [0, num) begin once they are in order, and where the last ones end."""
    lengths = np.bincount(numbers, minlength=num)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
