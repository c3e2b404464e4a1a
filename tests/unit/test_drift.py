"""The drift of what is bought: nothing by chance alone, all of it for other products, and in bounded time."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from lsec.core.drift import MIN_PURCHASES, divergence_bits, drift_between

COUNTS = st.lists(st.integers(0, 50), min_size=2, max_size=30).map(lambda each: np.array([*each, 1]))


@given(COUNTS, st.integers(0, 2**32 - 1))
def test_the_divergence_is_the_square_of_the_distance_that_scipy_gives(p: np.ndarray, seed: int) -> None:
    q = np.random.default_rng(seed).permutation(p)
    assert divergence_bits(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)


def zipf(num_products: int) -> np.ndarray:
    weights = 1 / np.arange(1, num_products + 1)
    return np.asarray(weights / weights.sum())


def test_two_samples_of_one_market_have_not_drifted_however_rare_its_products_are() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(20):
        before, now = rng.multinomial(5_000, zipf(10_000)), rng.multinomial(500, zipf(10_000))
        assert divergence_bits(before, now) > 0.3
        drift = drift_between(before, now)
        assert drift is not None
        found.append(drift)
    assert max(drift.bits for drift in found) < 0.02
    assert sum(drift.is_beyond_chance for drift in found) <= 4


def test_other_products_are_found_and_more_of_them_are_more_drift() -> None:
    rng = np.random.default_rng(2)
    p = zipf(1_000)
    drifts = []
    for share in (0.1, 0.3, 1.0):
        q = (1 - share) * p + share * p[::-1]
        drift = drift_between(rng.multinomial(20_000, p), rng.multinomial(5_000, q))
        assert drift is not None
        assert drift.is_beyond_chance
        truth = divergence_bits(p, q)
        assert drift.bits == pytest.approx(truth, rel=0.3, abs=0.01)
        drifts.append(drift.bits)
    assert drifts == sorted(drifts)


def test_too_few_purchases_say_nothing() -> None:
    few, many = np.array([MIN_PURCHASES - 1, 0]), np.array([50, 50])
    assert drift_between(few, many) is None
    assert drift_between(many, few) is None
    assert drift_between(many, many) is not None


def test_a_great_market_takes_no_longer_than_a_sample_of_it() -> None:
    rng = np.random.default_rng(3)
    p = zipf(300_000)
    before, now = rng.multinomial(50_000_000, p), rng.multinomial(500_000, p)
    began = time.process_time()
    drift = drift_between(before, now)
    assert time.process_time() - began < 20
    assert drift is not None
    assert drift.bits < 0.02
