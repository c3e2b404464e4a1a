"""What a ranking is changed for beside the score: variety, and what was shown too often."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsec.serving.catalog import Catalog
from lsec.serving.tags import Rows

FREE_IMPRESSIONS = 2
"""A product may be shown so often without a click before it sinks."""
PENALTY = 0.5
"""What each impression past these takes off a score, a log-odds: it keeps 61 % of its odds."""


def tired(rows: Rows, scores: NDArray[np.floating[Any]], impressed: Mapping[int, int]) -> NDArray[np.float64]:
    """The scores [N] of product rows [N], less a penalty for each that was shown too often, by its row."""
    times = np.array([impressed.get(row, 0) for row in rows.tolist()], np.float64)
    return scores - PENALTY * np.maximum(times - FREE_IMPRESSIONS, 0)


def diversified(
    rows: Rows,
    scores: NDArray[np.floating[Any]],
    catalog: Catalog,
    *,
    k: int,
    diversity: float,
) -> list[int]:
    """Places in rows [N] of k products, by maximal marginal relevance.

    Each next one has the greatest (1 − d)·relevance − d·likeness, where relevance is its score scaled to
    [0, 1] over the rows, and likeness the greatest Jaccard index of its categories and sellers to one
    chosen before.
    Source: Carbonell & Goldstein 1998, eq. 1.
    """
    num = len(rows)
    low, high = (float(scores.min()), float(scores.max())) if num else (0.0, 0.0)
    relevance = (scores - low) / (high - low) if high > low else np.ones(num)
    alike = _likeness(catalog, rows)
    likeness = np.zeros(num)
    value = (1 - diversity) * relevance
    chosen: list[int] = []
    while len(chosen) < min(k, num):
        place = int(np.argmax(value - diversity * likeness))
        chosen.append(place)
        value[place] = -np.inf
        np.maximum(likeness, alike[place], out=likeness)
    return chosen


def _likeness(catalog: Catalog, rows: Rows) -> NDArray[np.float64]:
    """The Jaccard index [N, N] of the categories and sellers of product rows [N]."""
    columns: dict[int, int] = {}
    marks: list[tuple[int, int]] = []
    for place, row in enumerate(rows.tolist()):
        # Categories are even numbers here, and sellers odd ones.
        numbers = [2 * number for number in catalog.categories.of(row)]
        numbers += [2 * number + 1 for number in catalog.sellers.of(row)]
        marks += [(place, columns.setdefault(number, len(columns))) for number in numbers]
    has = np.zeros((len(rows), len(columns)))
    if marks:
        places, of_columns = np.array(marks).T
        has[places, of_columns] = 1
    shared, nums = has @ has.T, has.sum(axis=1)
    alike: NDArray[np.float64] = shared / np.maximum(nums[:, None] + nums - shared, 1)
    return alike
