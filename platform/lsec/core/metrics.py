"""Quality of a ranking: AUC, MRR, NDCG@k and Recall@k on candidate lists, NDCG@k and Recall@k on top lists.

A candidate list holds one user's held-out purchases among products that the user never bought. Every figure
is computed for each list and then averaged over the lists, so a user counts once, whatever they bought:

- AUC: share of the pairs of a positive and a negative in which the positive has the higher score.
- MRR: the sum of 1/rank over a list's positives, divided by their number.
- NDCG@k: gains are 1 or 0, the discount is 1/log2(rank + 1), and the ideal has min(k, number of positives)
  hits on top.
- Recall@k: hits in the top k, divided by the number of positives (not by k).

The tie rule: a pair of equal scores counts half in AUC. In the ranked figures, candidates of equal scores
keep the list's order, so a list must not be ordered by label: `candidate_lists` orders it by product row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (10, 50)

Figures = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class CandidateLists:
    """L lists padded to C columns: users[L], products[L, C] (−1 pads), is_positive[L, C]."""

    users: NDArray[np.int64]
    products: NDArray[np.int64]
    is_positive: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def is_valid(self) -> NDArray[np.bool_]:
        """Whether a cell [L, C] is a candidate and not padding."""
        return self.products >= 0


def candidate_lists(
    users: NDArray[np.integer], products: NDArray[np.integer], is_positive: NDArray[np.bool_]
) -> CandidateLists:
    """One list for each user that has a positive and a negative, from flat rows of candidates.

    A list without either has no AUC and is left out. Within a list, candidates are in product order.
    """
    order = np.lexsort((products, users))
    users, products, is_positive = users[order], products[order], is_positive[order]
    list_users, starts, lengths = np.unique(users, return_index=True, return_counts=True)
    row = np.repeat(np.arange(len(list_users)), lengths)
    column = np.arange(len(users)) - starts[row]
    shape = (len(list_users), int(lengths.max(initial=0)))
    padded = np.full(shape, -1, np.int64)
    padded[row, column] = products
    labels = np.zeros(shape, np.bool_)
    labels[row, column] = is_positive
    num_positives = labels.sum(axis=1)
    kept = (num_positives > 0) & (num_positives < lengths)
    return CandidateLists(list_users[kept].astype(np.int64), padded[kept], labels[kept])


@dataclass(frozen=True, slots=True)
class RankedPositives:
    """Where each of E positives stands: its list rows[E], its products[E], and its ranks[E] from 1.

    mid_ranks[E] give all candidates of one score the mean of their ranks. Each of the L lists has
    lengths[L] candidates.
    """

    rows: NDArray[np.int64]
    products: NDArray[np.int64]
    ranks: NDArray[np.int64]
    mid_ranks: NDArray[np.float64]
    lengths: NDArray[np.int64]

    def figures(self, *, cutoffs: Sequence[int] = CUTOFFS) -> Figures:
        """`auc`, `mrr`, `ndcg@k` and `recall@k` of each list, [L]."""
        num_positives = self._sums(np.ones(len(self.rows)))
        num_before = self._sums(self.mid_ranks) - num_positives * (num_positives + 1) / 2
        figures = {
            "auc": 1 - num_before / (num_positives * (self.lengths - num_positives)),
            "mrr": self._sums(1 / self.ranks) / num_positives,
        }
        for k in cutoffs:
            is_hit = self.ranks <= k
            gain = self._sums(is_hit / np.log2(self.ranks + 1))
            figures[f"ndcg@{k}"] = gain / _ideal_gains(num_positives, k)
            figures[f"recall@{k}"] = self._sums(is_hit) / num_positives
        return figures

    def recall(self, is_counted: NDArray[np.bool_], *, k: int) -> NDArray[np.float64]:
        """Recall@k [L] of the products in the mask is_counted[P] alone, NaN for a list without any of them.

        The ranks stay those among all candidates.
        """
        counted = is_counted[self.products]
        num_counted = self._sums(counted)
        num_hits = self._sums(counted & (self.ranks <= k))
        return shares(num_hits, num_counted)

    def _sums(self, values: NDArray[np.floating | np.bool_]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.bincount(
            self.rows, weights=values, minlength=len(self.lengths)
        ).astype(np.float64)
        return sums


def ranked_positives(lists: CandidateLists, scores: NDArray[np.floating]) -> RankedPositives:
    """The ranks of the lists' positives by scores[L, C], of which the pads' are not looked at.

    ValueError if the shapes differ or a candidate's score is not a number.
    """
    if scores.shape != lists.products.shape:
        raise ValueError(f"scores have shape {scores.shape}, the lists {lists.products.shape}")
    is_valid = lists.is_valid
    keys = np.where(is_valid, -scores, np.inf)
    if np.isnan(keys).any():
        raise ValueError("a candidate's score is not a number")
    lengths = is_valid.sum(axis=1)
    cells, is_tied = _best_first(keys, lengths)
    width = keys.shape[1]
    places = np.flatnonzero(lists.is_positive.ravel()[cells])
    rows = places // max(width, 1)
    # A run of equal scores starts where a cell does not tie with the one before it; pads end the last run.
    starts = np.append(np.flatnonzero(~is_tied), is_tied.size)
    run = np.searchsorted(starts, places, side="right") - 1
    ends = np.minimum(starts[run + 1], rows * width + lengths[rows])
    return RankedPositives(
        rows,
        lists.products.ravel()[cells[places]],
        places - rows * width + 1,
        (starts[run] + ends + 1) / 2 - rows * width,
        lengths,
    )


def list_figures(
    lists: CandidateLists, scores: NDArray[np.floating], *, cutoffs: Sequence[int] = CUTOFFS
) -> Figures:
    """`auc`, `mrr`, `ndcg@k` and `recall@k` of each list by scores[L, C]; {} without lists."""
    if not len(lists):
        return {}
    return ranked_positives(lists, scores).figures(cutoffs=cutoffs)


def candidate_metrics(
    lists: CandidateLists, scores: NDArray[np.floating], *, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, float]:
    """Means over the lists of their figures; {} without lists."""
    return means(list_figures(lists, scores, cutoffs=cutoffs))


def top_figures(
    is_hit: NDArray[np.bool_], num_relevant: NDArray[np.integer], *, cutoffs: Sequence[int]
) -> Figures:
    """`recall@k` and `ndcg@k` [n] of top lists, is_hit[n, K] best first, of users with num_relevant[n] > 0.

    ValueError if a cutoff is above K.
    """
    if max(cutoffs, default=0) > is_hit.shape[1]:
        raise ValueError(f"top lists of {is_hit.shape[1]} have no figures at {max(cutoffs)}")
    gains = is_hit / np.log2(np.arange(2, is_hit.shape[1] + 2))
    figures: Figures = {}
    for k in cutoffs:
        figures[f"recall@{k}"] = is_hit[:, :k].sum(axis=1) / num_relevant
        figures[f"ndcg@{k}"] = gains[:, :k].sum(axis=1) / _ideal_gains(num_relevant, k)
    return figures


def means(figures: Figures) -> dict[str, float]:
    """The mean of each figure; {} where there are no lists."""
    return {name: float(np.mean(values)) for name, values in figures.items() if len(values)}


def shares(
    parts: NDArray[np.floating] | NDArray[np.integer], wholes: NDArray[np.floating] | NDArray[np.integer]
) -> NDArray[np.float64]:
    """Each part over its whole, NaN where that is 0."""
    found = np.full(len(parts), np.nan)
    np.divide(parts, wholes, out=found, where=wholes > 0)
    return found


def _ideal_gains(num_relevant: NDArray[np.floating] | NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """The greatest gain of k places with these numbers of relevant products, each at least 1."""
    gains = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    ideal: NDArray[np.float64] = gains[np.minimum(num_relevant, k).astype(np.int64) - 1]
    return ideal


def _best_first(
    keys: NDArray[np.floating], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Each list's cells, as places in the flat [L * C], in the order of its keys, equal ones by column.

    And whether such a cell's key equals the one before it in the list, [L * C]. A stable sort of everything
    takes several times as long, so only the lists that tie within their lengths are sorted again.
    """
    order = np.argsort(keys, axis=1)
    first_cells = np.arange(0, keys.size, max(keys.shape[1], 1))[:, None]
    in_order = keys.ravel()[(order + first_cells).ravel()].reshape(keys.shape)
    is_tied = np.zeros(keys.shape, np.bool_)
    np.equal(in_order[:, 1:], in_order[:, :-1], out=is_tied[:, 1:])
    is_inside = np.arange(keys.shape[1]) <= lengths[:, None]
    again = np.flatnonzero((is_tied & is_inside).any(axis=1))
    order[again] = np.argsort(keys[again], axis=1, kind="stable")
    return (order + first_cells).ravel(), is_tied.ravel()
