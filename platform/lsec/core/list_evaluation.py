"""Held-out candidate lists, scored from an artifact as a request would be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact import Artifact
from lsec.core.metrics import candidate_lists, candidate_metrics


@dataclass(frozen=True, slots=True)
class ListEvaluation:
    """Figures over the lists that could be scored, and what the artifact did not know.

    A user whom it does not know, or who has no purchases in it, is ranked by popularity, as in serving.
    A product that it does not know comes last.
    """

    metrics: dict[str, float]
    num_lists: int
    num_users_by_popularity: int
    num_unknown_products: int


def evaluate_lists(
    artifact: Artifact, user_ids: Sequence[str], product_ids: Sequence[str], labels: Sequence[bool]
) -> ListEvaluation:
    """Candidate-protocol figures for flat rows of (user, product, whether it was bought)."""
    list_users, users = _numbered(user_ids)
    list_products, products = _numbered(product_ids)
    lists = candidate_lists(users, products, np.asarray(labels, np.bool_))
    user_rows = artifact.users.rows(list_users)[lists.users]
    product_rows = artifact.products.rows(list_products)
    listed = np.where(lists.is_valid, product_rows[lists.products], -1)
    by_popularity = np.array([row < 0 or not len(artifact.bought(row)) for row in user_rows], np.bool_)
    scores = _list_scores(artifact, user_rows, listed, by_popularity)
    return ListEvaluation(
        candidate_metrics(lists, scores),
        len(lists),
        int(by_popularity.sum()),
        int((product_rows[np.unique(lists.products[lists.is_valid])] < 0).sum()),
    )


def _numbered(ids: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct ids, sorted, and the place of each of ids among them."""
    distinct = sorted(set(ids))
    places = {id_: place for place, id_ in enumerate(distinct)}
    return distinct, np.fromiter((places[id_] for id_ in ids), np.int64, len(ids))


def _list_scores(
    artifact: Artifact,
    user_rows: NDArray[np.int64],
    product_rows: NDArray[np.int64],
    by_popularity: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Scores [L, C] of product_rows[L, C], −inf for an unknown product."""
    scores = np.full(product_rows.shape, -np.inf)
    is_known = product_rows >= 0
    popular = is_known & by_popularity[:, None]
    scores[popular] = artifact.degrees[product_rows[popular]]
    scored = is_known & ~by_popularity[:, None]
    users = np.broadcast_to(user_rows[:, None], product_rows.shape)
    scores[scored] = artifact.pair_scores(users[scored], product_rows[scored])
    return scores
