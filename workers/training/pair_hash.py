"""Which purchases are held out: by a hash of the two ids, so that each has its side in any snapshot.

A pair that one release's selection model was not shown is none that an earlier or a later one learned from,
whatever else was bought meanwhile. So two releases can be compared on purchases that neither has seen.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.training.data import Ids, Rows

Hashes = NDArray[np.uint64]
ID_BYTES = 8
USER_FACTOR, PRODUCT_FACTOR = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
"""Odd and different, so that a user and a product of the same id do not cancel out."""
MIXING = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST_SHIFT = 31


def id_hashes(ids: Ids) -> Hashes:
    """A 64-bit hash of each id [N], by BLAKE2b."""
    digests = b"".join(hashlib.blake2b(id_, digest_size=ID_BYTES).digest() for id_ in ids.tolist())
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def mixed(users: Hashes, products: Hashes, *, salt: int = 0) -> Hashes:
    """A hash [N] of each pair of hashed ids; another salt gives others.

    Source: the finaliser of SplitMix64, Steele, Lea and Flood 2014.
    """
    hashes = users * np.uint64(USER_FACTOR) + products * np.uint64(PRODUCT_FACTOR)
    hashes += np.uint64(salt * USER_FACTOR % 2**64)
    for shift, factor in MIXING:
        hashes ^= hashes >> np.uint64(shift)
        hashes *= np.uint64(factor)
    hashes ^= hashes >> np.uint64(LAST_SHIFT)
    return hashes


@dataclass(frozen=True, slots=True)
class HeldOutRule:
    """Holds a pair out if its hash is in the lowest `share` of all 64-bit numbers; share is below 1."""

    share: float
    salt: int = 0

    def holds_out(self, user_ids: Ids, product_ids: Ids, users: Rows, products: Rows) -> NDArray[np.bool_]:
        """Which of the pairs [N] of these rows are held out. Each id that is there is hashed once."""
        hashes = mixed(id_hashes(user_ids)[users], id_hashes(product_ids)[products], salt=self.salt)
        return hashes < np.uint64(int(self.share * 2.0**64))
