"""Numbers in half precision (IEEE 754 binary16) in single precision, without numpy's slow conversion.

The bits of a half, moved to those of a single, are the number times 2^-112, below one or not: so the bits
are moved, in integers, and the factor is put right afterwards. numpy's own conversion takes three to five
times as long where it has no instruction for it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOVED_BITS = np.int32(13)
"""Singles have 23 bits behind the point, halves 10."""
SIGN_AND_NUMBER = np.int32(-0x7000_0001)
"""The bit of the sign and the lower 28; what is between them is copies of the sign."""
FACTOR = np.float32(2.0**112)
"""The exponents of singles count from -127, those of halves from -15."""
NUMBERS_PER_BLOCK = 2**17
"""Of single precision: half a MiB, which stays in the cache of a core."""


def to_single(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The same finite numbers in single precision, exactly; those that are in it already are not copied."""
    if values.dtype != np.float16:
        return values.astype(np.float32, copy=False)
    singles = _moved(values, np.empty(values.shape, np.int32))
    singles *= FACTOR
    return singles


def inner_products(rows: NDArray[np.float16], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inner products [N] of finite rows [N, d] with a vector [d], summed in single precision.

    The rows are converted block by block, so that no more than a block of them is there in single precision.
    """
    vector = vector.astype(np.float32, copy=False) * FACTOR
    products = np.empty(len(rows), np.float32)
    block_rows = max(1, NUMBERS_PER_BLOCK // max(1, rows.shape[1]))
    moved = np.empty((min(block_rows, len(rows)), rows.shape[1]), np.int32)
    for start in range(0, len(rows), block_rows):
        block = rows[start : start + block_rows]
        np.dot(_moved(block, moved[: len(block)]), vector, out=products[start : start + len(block)])
    return products


def _moved(halves: NDArray[np.float16], bits: NDArray[np.int32]) -> NDArray[np.float32]:
    """The halves times 2^-112 as singles, in the memory of bits, which has their shape."""
    np.copyto(bits, halves.view(np.int16))
    np.left_shift(bits, MOVED_BITS, out=bits)
    np.bitwise_and(bits, SIGN_AND_NUMBER, out=bits)
    return bits.view(np.float32)
