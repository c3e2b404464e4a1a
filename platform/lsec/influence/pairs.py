"""Sets of pairs as sorted keys: source * number of targets + target."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def distinct(keys: Ints) -> Ints:
    """The distinct keys, sorted: on millions far faster than numpy's own unique, which hashes them."""
    keys = np.sort(keys)
    return keys[begins(keys)]


def begins(column: Ints) -> Flags:
    """Whether each row differs from the one before it; the first one does."""
    differs = np.ones(len(column), np.bool_)
    differs[1:] = column[1:] != column[:-1]
    return differs


def places_of(keys: Ints, wanted: Ints) -> Ints:
    """The place of each wanted key among the sorted distinct keys, −1 where it is not there."""
    found = np.full(len(wanted), -1, np.int64)
    if len(keys):
        # In order, neighbouring searches share the cache.
        order = np.argsort(wanted, kind="stable")
        in_order = wanted[order]
        places = np.minimum(np.searchsorted(keys, in_order), len(keys) - 1)
        found[order] = np.where(keys[places] == in_order, places, -1)
    return found


def values_of(keys: Ints, values: Ints, wanted: Ints) -> Ints:
    """The value of each wanted key among the sorted distinct keys, 0 where it is not there."""
    return np.append(values, 0)[places_of(keys, wanted)]


def is_among(keys: Ints, wanted: Ints) -> Flags:
    """Whether each wanted key is among the sorted distinct keys."""
    return places_of(keys, wanted) >= 0
