"""The columns that the influence estimators read: purchases, and the touches that came before them."""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Int8 = NDArray[np.int8]
Bool = NDArray[np.bool_]


class TouchKind(IntEnum):
    """What a user did with a streamer; the number breaks ties of touches at the same moment."""

    FOLLOW = 0
    WATCH = 1
    VIEW = 2
    ENGAGE = 3


@dataclass(frozen=True, slots=True, eq=False)
class Purchases:
    """N purchases in any order. ValueError unless every column is one-dimensional, of length N and its type.

    Ids are dense rows from 0; times are ms since the epoch; amounts are minor units for the whole purchase.
    """

    user: Int64
    product: Int64
    streamer: Int64  # -1: the purchase names none
    stream: Int64  # -1: outside a stream
    at: Int64
    amount: Int64
    quantity: Int64
    is_refunded: Bool

    def __post_init__(self) -> None:
        _check_columns(self, {"is_refunded": np.dtype(np.bool_)})

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True, eq=False)
class Touches:
    """N touches in any order. ValueError unless every column is one-dimensional, of length N and its type.

    Ids are dense rows from 0; times are ms since the epoch.
    """

    user: Int64
    streamer: Int64
    kind: Int8  # a TouchKind
    at: Int64
    product: Int64  # -1 but for VIEW
    stream: Int64  # -1: outside a stream

    def __post_init__(self) -> None:
        _check_columns(self, {"kind": np.dtype(np.int8)})

    def __len__(self) -> int:
        return len(self.at)


def _check_columns(rows: Purchases | Touches, dtypes: dict[str, np.dtype[np.generic]]) -> None:
    length = np.shape(rows.at)
    for column in fields(rows):
        values = getattr(rows, column.name)
        dtype = dtypes.get(column.name, np.dtype(np.int64))
        if not isinstance(values, np.ndarray) or values.dtype != dtype:
            raise ValueError(f"{column.name} is no array of {dtype}")
        if values.ndim != 1 or values.shape != length:
            raise ValueError(f"{column.name} has shape {values.shape}, at has {length}")
