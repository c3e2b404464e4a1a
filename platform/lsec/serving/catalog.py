"""The live products: which are on offer, what they belong to and who sells them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lsec.core.id_index import IdIndex
from lsec.serving.tags import Rows, Tags

HIDDEN, OUT_OF_STOCK, EXPIRED, ABSENT = 1, 2, 4, 8
"""Why a product is not on offer; the graph tells the first two as `serving/products` has them, and lacks
one that is `ABSENT`."""
ALL_FAULTS = 255
NEVER_MS = np.iinfo(np.int64).max
NO_PRODUCTS = IdIndex(np.empty(0, "S1"), np.empty(0, np.int64))


def barring(*, in_stock: bool) -> int:
    """The faults that keep a product from an answer; being out of stock is one if `in_stock`."""
    return ALL_FAULTS if in_stock else ALL_FAULTS - OUT_OF_STOCK


@dataclass(frozen=True, slots=True)
class ProductState:
    """A product as it stands in the graph; `expires_ms` is since 1970, None for never."""

    product_id: str
    is_hidden: bool
    in_stock: bool
    expires_ms: int | None
    categories: Sequence[str]
    sellers: Sequence[str]


class Catalog:
    """Products by row: those of a release first, in its order, then those that came since.

    Changed in place by one writer, read by many, who keep the names that they read: a row never moves.
    """

    def __init__(self, products: IdIndex = NO_PRODUCTS, *, is_read: bool = False) -> None:
        self.is_read = is_read
        """Whether the graph has told of them; until then all of a release are taken to be on offer."""
        self._released = products
        num = len(products.ids)
        self.names: list[str | None] = [None] * num
        """Ids by row; None for one of the release until `product_id` is first asked for it."""
        self._new_rows: dict[str, int] = {}
        self._faults = np.full(num, ABSENT if is_read else 0, np.uint8)
        self.faults = self._faults.data.toreadonly()
        """Of each row the faults, for now: a row may be shown that has none of the `barring` ones."""
        self._expires_ms: NDArray[np.int64] = np.full(num, NEVER_MS, np.int64)
        self.categories = Tags(num)
        self.sellers = Tags(num)
        self.num_changes = 0
        """It grows with each change that may give a product newer than the release other sellers."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_released(self) -> int:
        """How many of the first rows are those of the release."""
        return len(self._released.ids)

    @property
    def num_in_graph(self) -> int:
        """How many products the graph has."""
        return int(np.count_nonzero(self._faults[: len(self)] & ABSENT == 0))

    def row(self, product_id: str) -> int | None:
        """The row of a product that is or was known."""
        row = self._released.row(product_id)
        return self._new_rows.get(product_id) if row is None else row

    def rows(self, product_ids: Iterable[str]) -> Rows:
        """The rows of those of the products that are known, in their order."""
        found = (self.row(product_id) for product_id in product_ids)
        return np.array([row for row in found if row is not None], np.int64)

    def product_id(self, row: int) -> str:
        """The id of a row."""
        name = self.names[row]
        if name is None:
            name = self.names[row] = self._released.ids[row].decode()
        return name

    def product_ids(self, rows: Rows) -> list[str]:
        """The ids of rows [N]."""
        return [self.product_id(row) for row in rows.tolist()]

    def new_rows(self) -> Rows:
        """The rows of products that the release does not know."""
        return np.arange(self.num_released, len(self), dtype=np.int64)

    def put(self, states: Iterable[ProductState], *, now_ms: int) -> None:
        """Takes in how products stand now."""
        for state in states:
            row = self.row(state.product_id)
            if row is None:
                row = self._append(state.product_id)
            self._take(row, state, now_ms)
            self.categories.put(row, state.categories)
            self.sellers.put(row, state.sellers)
            self.num_changes += row >= self.num_released

    def fill(self, states: Sequence[ProductState], *, now_ms: int) -> None:
        """Takes in all products that the graph has; those not among them are absent from now on."""
        self.is_read = True
        self._faults[:] = ABSENT
        rows = []
        for state in states:
            row = self.row(state.product_id)
            rows.append(self._append(state.product_id) if row is None else row)
            self._take(rows[-1], state, now_ms)
        num_rows = len(self)
        self.num_changes += 1
        named = list(zip(rows, states, strict=True))
        self.categories.fill({row: each.categories for row, each in named}, num_rows=num_rows)
        self.sellers.fill({row: each.sellers for row, each in named}, num_rows=num_rows)

    def drop(self, product_ids: Iterable[str]) -> None:
        """Takes in that the graph does not have these any more."""
        self._faults[self.rows(product_ids)] |= ABSENT

    def expire(self, now_ms: int) -> None:
        """Takes what has expired by now off the offer."""
        over = np.flatnonzero(self._expires_ms[: len(self)] <= now_ms)
        self._faults[over] |= EXPIRED

    def is_offered(self, rows: Rows, *, in_stock: bool = True) -> NDArray[np.bool_]:
        """Whether each of rows [N] may be shown; also those out of stock unless `in_stock`."""
        offered: NDArray[np.bool_] = self._faults[rows] & np.uint8(barring(in_stock=in_stock)) == 0
        return offered

    def aligned(self, products: IdIndex) -> Self:
        """The same products in the order of another release."""
        other = type(self)(products, is_read=self.is_read)
        new_row = np.full(len(self), -1, np.int64)
        if len(self._released.ids):
            new_row[: self.num_released] = products.find(self._released.ids)
        for product_id, place in self._new_rows.items():
            row = products.row(product_id)
            new_row[place] = -1 if row is None else row
        for place in np.flatnonzero((new_row < 0) & (self._faults[: len(self)] & ABSENT == 0)).tolist():
            new_row[place] = other._append(self.product_id(place))
        known = np.flatnonzero(new_row >= 0)
        other._faults[new_row[known]] = self._faults[known]
        other._expires_ms[new_row[known]] = self._expires_ms[known]
        other.categories = self.categories.moved(new_row, num_rows=len(other))
        other.sellers = self.sellers.moved(new_row, num_rows=len(other))
        other.num_changes = 1
        return other

    def _take(self, row: int, state: ProductState, now_ms: int) -> None:
        self._expires_ms[row] = NEVER_MS if state.expires_ms is None else state.expires_ms
        self._faults[row] = (
            HIDDEN * state.is_hidden
            + OUT_OF_STOCK * (not state.in_stock)
            + EXPIRED * bool(self._expires_ms[row] <= now_ms)
        )

    def _append(self, product_id: str) -> int:
        row = len(self)
        if row >= len(self._faults):
            room = max(1024, row // 8)
            self._faults = np.concatenate([self._faults, np.full(room, ABSENT, np.uint8)])
            self.faults = self._faults.data.toreadonly()
            self._expires_ms = np.concatenate([self._expires_ms, np.full(room, NEVER_MS, np.int64)])
        self.names.append(product_id)
        self._new_rows[product_id] = row
        return row
