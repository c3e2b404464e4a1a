"""How far what users buy now is from what a release was trained on.

The Jensen-Shannon divergence of two distributions over products, in bits: 0 for the same, 1 for two without
a common product. Source: Lin 1991, "Divergence measures based on the Shannon entropy", IEEE Transactions on
Information Theory 37(1), eq. 3.14 with weights of a half.

Two samples of one distribution differ too, the more the smaller they are, so the plain estimate is too high:
with many rare products by several tenths. What it would be without any drift is found by permutation: all
purchases are pooled and dealt out again, at random, to two samples of the same sizes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_PURCHASES = 100
"""Of each side; fewer say nothing."""
NUM_DEALS = 20
MAX_SAMPLE = 200_000
"""Of each side: a greater one is thinned, so that the time is bounded."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Drift:
    """`bits` is what is left of the divergence beyond chance, at least 0; `chance_bits` the part of chance.

    `is_beyond_chance` says whether the divergence is above that of every deal.
    """

    bits: float
    chance_bits: float
    is_beyond_chance: bool


def drift_between(before: Counts, now: Counts, *, seed: int = 0) -> Drift | None:
    """The drift from counts before[P] to now[P] of the same products; None where either has too few."""
    if before.sum() < MIN_PURCHASES or now.sum() < MIN_PURCHASES:
        return None
    rng = np.random.default_rng(seed)
    before, now = _thinned(before, rng), _thinned(now, rng)
    pooled = before + now
    before, now, pooled = (each[pooled > 0] for each in (before, now, pooled))
    found = divergence_bits(before, now)
    dealt = rng.multivariate_hypergeometric(pooled, int(now.sum()), size=NUM_DEALS, method="marginals")
    by_chance = np.array([divergence_bits(pooled - deal, deal) for deal in dealt])
    chance = float(by_chance.mean())
    return Drift(max(found - chance, 0.0), chance, bool(found > by_chance.max()))


def divergence_bits(before: NDArray[Any], now: NDArray[Any]) -> float:
    """The plain Jensen-Shannon divergence of the two distributions, from 0 to 1 bit."""
    p, q = before / before.sum(), now / now.sum()
    return _entropy_bits((p + q) / 2) - (_entropy_bits(p) + _entropy_bits(q)) / 2


def _entropy_bits(p: NDArray[np.float64]) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())


def _thinned(counts: Counts, rng: np.random.Generator) -> Counts:
    """At most MAX_SAMPLE of these purchases, drawn without putting back."""
    if counts.sum() <= MAX_SAMPLE:
        return counts.astype(np.int64)
    return rng.multivariate_hypergeometric(counts.astype(np.int64), MAX_SAMPLE, method="marginals")
