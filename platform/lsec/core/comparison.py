"""How sure a figure is: the interval of a mean over users, and the paired difference between two runs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NORMAL_95 = 1.959964
"""Standard errors from the mean to either end of a normal 95 % interval."""

DRAWS_PER_CHUNK = 2**22


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over `num` users with its 95 % interval from low to high."""

    mean: float
    low: float
    high: float
    num: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean difference of two runs over the same users, with its 95 % interval by the bootstrap.

    p is the two-sided share of resamples on the other side of zero: about how often chance alone gives a
    difference as large.
    """

    difference: float
    low: float
    high: float
    p: float


def mean_interval(values: NDArray[np.floating]) -> Interval:
    """The mean of values[n], n >= 1, and mean ± 1.96 standard errors: normal, not resampled.

    A single value has no known error: its interval is unbounded.
    """
    num = len(values)
    mean = float(np.mean(values))
    error = NORMAL_95 * float(np.std(values, ddof=1)) / num**0.5 if num > 1 else float("inf")
    return Interval(mean, mean - error, mean + error, num)


def paired_bootstrap(
    first: Mapping[str, NDArray[np.floating]],
    second: Mapping[str, NDArray[np.floating]],
    *,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Difference]:
    """First − second for every figure that both have, each with one value per list in the same order.

    Users are drawn with replacement, the same for all figures; the interval goes from the 2.5th to the 97.5th
    percentile of the mean difference. {} without lists; ValueError if the runs differ in length or a value is
    not a number.
    Source: Efron and Tibshirani 1993, sections 13.3 and 15.
    """
    names = [name for name in first if name in second]
    if not names or not len(first[names[0]]):
        return {}
    if len({len(run[name]) for run in (first, second) for name in names}) > 1:
        raise ValueError("the two runs have figures of different numbers of lists")
    differences = np.stack([first[name] - second[name] for name in names], axis=1).astype(np.float64)
    if not np.isfinite(differences).all():
        raise ValueError("a figure is not a number")
    resampled = _resampled_means(differences, num_resamples, seed)
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    # One more on both sides of the share, so that no number of resamples proves a difference.
    shares = [(1 + (side * resampled >= 0).sum(axis=0)) / (1 + num_resamples) for side in (-1, 1)]
    p = np.minimum(2 * np.minimum(*shares), 1)
    mean = differences.mean(axis=0)
    return {
        name: Difference(float(mean[i]), float(low[i]), float(high[i]), float(p[i]))
        for i, name in enumerate(names)
    }


def _resampled_means(values: NDArray[np.float64], num_resamples: int, seed: int) -> NDArray[np.float64]:
    """Means [num_resamples, M] of values[n, M] over n rows drawn with replacement."""
    rng = np.random.default_rng(seed)
    num = len(values)
    chunk = max(1, DRAWS_PER_CHUNK // num)
    means = []
    for start in range(0, num_resamples, chunk):
        size = min(chunk, num_resamples - start)
        drawn = rng.integers(0, num, (size, num), dtype=np.int32)
        drawn += np.arange(0, size * num, num, dtype=np.int32)[:, None]
        # A product with how often each row was drawn, so that one draw serves all figures.
        times = np.bincount(drawn.ravel(), minlength=size * num).reshape(size, num)
        means.append(times @ values / num)
    return np.concatenate(means)
