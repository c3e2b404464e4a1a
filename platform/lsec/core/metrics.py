"""Quality of a ranking on candidate lists: AUC, MRR, NDCG@k and Recall@k, each a mean over lists.

A list holds one user's held-out purchases among products that the user never bought. Equal scores share
AUC by halves. In the ranked figures they keep the list's order, so a list must not be ordered by label:
`candidate_lists` orders it by product.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (10, 50)


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


def candidate_metrics(
    lists: CandidateLists, scores: NDArray[np.floating], *, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, float]:
    """Means over the lists of `auc`, `mrr`, `ndcg@k` and `recall@k` of scores[L, C]; {} without lists.

    MRR is the sum of 1/rank over a list's positives, divided by their number; gains are binary.
    ValueError if the shapes differ or a candidate's score is not a number.
    """
    if scores.shape != lists.products.shape:
        raise ValueError(f"scores have shape {scores.shape}, the lists {lists.products.shape}")
    if not len(lists):
        return {}
    if np.isnan(scores[lists.is_valid]).any():
        raise ValueError("a candidate's score is not a number")
    # Negated and sorted stably, so that equal scores keep the list's order and pads come last.
    keys = np.where(lists.is_valid, -scores, np.inf)
    order = np.argsort(keys, axis=1, kind="stable")
    hits = np.take_along_axis(lists.is_positive, order, axis=1)
    metrics = {"auc": _auc(lists, np.take_along_axis(keys, order, axis=1), hits, order)}
    num_positives = hits.sum(axis=1)
    ranks = np.arange(1, hits.shape[1] + 1)
    metrics["mrr"] = float(np.mean((hits / ranks).sum(axis=1) / num_positives))
    discounts = 1 / np.log2(ranks + 1)
    ideal = np.cumsum(discounts)
    for k in cutoffs:
        gain = (hits[:, :k] * discounts[:k]).sum(axis=1)
        best = ideal[np.minimum(num_positives, min(k, len(ranks))) - 1]
        metrics[f"ndcg@{k}"] = float(np.mean(gain / best))
        metrics[f"recall@{k}"] = float(np.mean(hits[:, :k].sum(axis=1) / num_positives))
    return metrics


def _auc(
    lists: CandidateLists,
    sorted_keys: NDArray[np.floating],
    hits: NDArray[np.bool_],
    order: NDArray[np.int64],
) -> float:
    """Mean share of (positive, negative) pairs in the right order, from lists sorted best first."""
    num_lists, width = hits.shape
    columns = np.arange(width)
    misses = np.take_along_axis(lists.is_valid, order, axis=1) & ~hits
    misses_before = np.zeros((num_lists, width + 1), np.int64)
    np.cumsum(misses, axis=1, out=misses_before[:, 1:])
    differs = sorted_keys[:, 1:] != sorted_keys[:, :-1]
    first = np.zeros((num_lists, width), np.int64)
    np.maximum.accumulate(np.where(differs, columns[1:], 0), axis=1, out=first[:, 1:])
    last = np.full((num_lists, width), width, np.int64)
    backwards = np.where(differs, columns[1:], width)[:, ::-1]
    last[:, :-1] = np.minimum.accumulate(backwards, axis=1)[:, ::-1]
    above = np.take_along_axis(misses_before, first, axis=1)
    tied = np.take_along_axis(misses_before, last, axis=1) - above
    num_misses = misses_before[:, -1]
    beaten = ((num_misses[:, None] - above - tied / 2) * hits).sum(axis=1)
    return float(np.mean(beaten / (hits.sum(axis=1) * num_misses)))
