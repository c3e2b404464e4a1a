"""Half precision is converted exactly, and summed up in single precision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lsec.core.half_precision import NUMBERS_PER_BLOCK, inner_products, to_single

ALL = np.arange(2**16, dtype=np.uint16).view(np.float16)
FINITE = ALL[np.isfinite(ALL)]
finite_halves = st.floats(width=16, allow_nan=False, allow_infinity=False)
small_singles = st.floats(-1, 1, width=32)


def test_every_finite_number_is_converted_exactly() -> None:
    singles = to_single(FINITE)
    assert singles.dtype == np.float32
    assert singles.tobytes() == FINITE.astype(np.float32).tobytes()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 3), (2, 3, 4)])
def test_any_shape_is_converted(shape: tuple[int, ...]) -> None:
    halves = np.full(shape, 0.25, np.float16)
    assert np.array_equal(to_single(halves), np.full(shape, 0.25, np.float32))
    assert to_single(halves).shape == shape


def test_parts_of_arrays_are_converted() -> None:
    halves = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float16)
    for part in (halves[::3], halves[:, 2], halves.T):
        assert np.array_equal(to_single(part), part.astype(np.float32))


def test_single_precision_stays_as_it_is() -> None:
    singles = np.ones(3, np.float32)
    assert to_single(singles) is singles


@given(
    rows=npst.arrays(
        np.float16, npst.array_shapes(min_dims=2, max_dims=2, min_side=0), elements=finite_halves
    ),
    data=st.data(),
)
def test_inner_products_are_those_of_the_numbers(rows: np.ndarray, data: st.DataObject) -> None:
    vector = data.draw(npst.arrays(np.float32, rows.shape[1], elements=small_singles))
    expected = rows.astype(np.float64) @ vector.astype(np.float64)
    # What a sum may lose depends on its greatest part, and half of it is 2^-24 of that, for each part.
    allowed = np.abs(rows.astype(np.float64)) @ np.abs(vector.astype(np.float64)) * len(vector) * 2.0**-23
    # Of rows of 5 OpenBLAS may raise the flag of an invalid number without one, which would fail below.
    with np.errstate(invalid="ignore"):
        products = inner_products(rows, vector)
    assert (np.abs(products - expected) <= allowed + 1e-37).all()


def test_blocks_join_without_a_seam() -> None:
    rng = np.random.default_rng(0)
    dimensions = 64
    for num_rows in np.array([1, 2, 3]) * NUMBERS_PER_BLOCK // dimensions + np.array([0, -1, 1]):
        rows = rng.normal(size=(num_rows, dimensions)).astype(np.float16)
        vector = rng.normal(size=dimensions).astype(np.float32)
        np.testing.assert_allclose(
            inner_products(rows, vector), rows.astype(np.float32) @ vector, rtol=1e-4, atol=1e-4
        )


def test_more_dimensions_than_a_block_are_one_row_at_a_time() -> None:
    rows = np.ones((3, NUMBERS_PER_BLOCK + 1), np.float16)
    vector = np.full(NUMBERS_PER_BLOCK + 1, 0.5, np.float32)
    assert inner_products(rows, vector).tolist() == [(NUMBERS_PER_BLOCK + 1) / 2] * 3
