"""The full-ranking protocol: held-out products to be found among all products but those bought before.

The definitions of Recall@k and NDCG@k are those of `lsec.core.metrics`, each a mean over the users with a
held-out product. The tie rule: products of equal scores stand in the order that `top_products` gives them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lsec.core.metrics import Figures, means, shares, top_figures
from workers.training.data import Pairs, Rows
from workers.training.ranking import Ranker, top_products

CUTOFFS = (20,)


@dataclass(frozen=True, slots=True)
class FullRanking:
    """The top products [n, K] of users[n] (−1 pads), and which of them are among those held out."""

    users: Rows
    top: NDArray[np.int32]
    is_hit: NDArray[np.bool_]
    held_out: Pairs

    def figures(self, *, cutoffs: Sequence[int] = CUTOFFS) -> Figures:
        """`recall@k` and `ndcg@k` of each user, [n], with no k above K."""
        if not len(self.users):
            return {}
        return top_figures(self.is_hit, self._num_held_out(), cutoffs=cutoffs)

    def recall(self, is_counted: NDArray[np.bool_], *, k: int) -> NDArray[np.float64]:
        """Recall@k [n] of the products in the mask is_counted[P] alone, NaN for a user without any."""
        num_counted = self._num_held_out(is_counted[self.held_out.targets])
        num_hits = (self.is_hit[:, :k] & is_counted[self.top[:, :k]]).sum(axis=1)
        return shares(num_hits, num_counted)

    def _num_held_out(self, is_counted: NDArray[np.bool_] | None = None) -> Rows:
        rows = np.searchsorted(self.users, self.held_out.sources)
        counted = rows if is_counted is None else rows[is_counted]
        return np.bincount(counted, minlength=len(self.users))


def full_ranking(ranker: Ranker, held_out: Pairs, masked: Pairs, *, k: int) -> FullRanking:
    """The k best products, none of them masked, of every user with a held-out product, found in chunks."""
    users = np.unique(held_out.sources)
    top, _ = top_products(ranker, users, masked, k=k)
    relevant = held_out.sources * ranker.num_products + held_out.targets
    is_hit = np.isin(users[:, None] * ranker.num_products + top, relevant) & (top >= 0)
    return FullRanking(users, top, is_hit, held_out)


def full_ranking_metrics(ranker: Ranker, held_out: Pairs, masked: Pairs, *, k: int = 20) -> dict[str, float]:
    """`recall@k` and `ndcg@k` of the held-out pairs among all products but the masked, means over users."""
    return means(full_ranking(ranker, held_out, masked, k=k).figures(cutoffs=(k,)))
