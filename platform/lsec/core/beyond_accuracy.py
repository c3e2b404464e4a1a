"""What accuracy does not tell of top lists: how much of the catalogue they show, how new, how evenly."""

import numpy as np
from numpy.typing import NDArray


def beyond_accuracy(top: NDArray[np.integer], purchases: NDArray[np.integer], *, k: int) -> dict[str, float]:
    """Coverage, also relative, novelty and Gini at k of top[n, K], ranked product rows of n users (−1 pads).

    purchases[P] are the products' numbers of purchases in the training part. {} when the lists are empty.
    """
    shown = top[:, :k]
    times_shown = np.bincount(shown[shown >= 0], minlength=len(purchases))
    if not times_shown.any():
        return {}
    return {
        f"coverage@{k}": coverage(times_shown),
        f"relative_coverage@{k}": relative_coverage(times_shown),
        f"novelty@{k}": novelty(times_shown, purchases),
        f"gini@{k}": gini(times_shown),
    }


def coverage(times_shown: NDArray[np.integer]) -> float:
    """Share of all products that stand in any list."""
    return float(np.mean(times_shown > 0))


def relative_coverage(times_shown: NDArray[np.integer]) -> float:
    """The products that stand in any list, over those that could: all, or as many as there are places.

    A few lists cannot show a large catalogue, so their share of it tells nothing. ValueError when nothing is
    shown.
    """
    most = min(int(times_shown.sum()), len(times_shown))
    if not most:
        raise ValueError("nothing is shown")
    return int(np.count_nonzero(times_shown)) / most


def novelty(times_shown: NDArray[np.integer], purchases: NDArray[np.integer]) -> float:
    """Mean self-information −log2 p of what is shown, in bits; p is a product's share of all purchases.

    Each product counts with one purchase more than it has, so that one never bought has a finite figure.
    Source: Zhou et al. 2010, with shares of purchases in place of shares of users.
    """
    shares = (purchases + 1) / (purchases.sum() + len(purchases))
    return float(np.average(-np.log2(shares), weights=times_shown))


def gini(times_shown: NDArray[np.integer]) -> float:
    """Gini coefficient of how often each product is shown, never-shown ones too.

    0 when all are shown equally often, 1 − 1/P when one takes all places. ValueError when nothing is shown.
    """
    total = times_shown.sum()
    if not total:
        raise ValueError("nothing is shown")
    ascending = np.sort(times_shown)
    num = len(ascending)
    weights = 2 * np.arange(1, num + 1) - num - 1
    return float(weights @ ascending / (num * total))
