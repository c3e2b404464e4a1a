"""What differs between two releases: their figures, and their slates over the users that both know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact import ERASED_ID, Artifact

MAX_SAMPLED = 20_000
"""Users whose slates are compared: the mean of so many is within a hundredth or so of that of all."""
SEED = 0


@dataclass(frozen=True, slots=True)
class Overlap:
    """How alike the first k products of the same users are; None where no user is in both releases.

    `coverage` and `other_coverage` are the shares of each release's products that these lists show.
    """

    k: int
    num_common_users: int
    num_compared_users: int
    is_sampled: bool
    mean_jaccard: float | None
    same_first_share: float | None
    coverage: float | None
    other_coverage: float | None


@dataclass(frozen=True, slots=True)
class Move:
    """A product's place in a user's two slates, counted from 1; None where it is not among them."""

    product_id: str
    place: int | None
    other_place: int | None
    score: float | None
    other_score: float | None


def compare_figures(
    figures: Mapping[str, Any], others: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, float | None, float | None]]:
    """Name, value and the other's value of each number in nested figures; names are joined by dots."""
    for name in dict.fromkeys((*figures, *others)):
        value, other = figures.get(name), others.get(name)
        if isinstance(value, Mapping) or isinstance(other, Mapping):
            yield from compare_figures(
                value if isinstance(value, Mapping) else {},
                other if isinstance(other, Mapping) else {},
                f"{prefix}{name}.",
            )
        elif _is_number(value) or _is_number(other):
            yield f"{prefix}{name}", _number(value), _number(other)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return value if _is_number(value) else None


def overlap(artifact: Artifact, other: Artifact, *, k: int) -> Overlap:
    """How alike the slates are; of more than MAX_SAMPLED common users, a sample that is always the same."""
    other_rows = other.users.find(artifact.user_ids.astype(other.user_ids.dtype))
    rows = np.flatnonzero((other_rows >= 0) & (artifact.user_ids != ERASED_ID.encode()))
    # An id that is longer than any of the other's may have been cut off to one of them.
    rows = rows[other.user_ids[other_rows[rows]] == artifact.user_ids[rows]]
    num_common = len(rows)
    if num_common > MAX_SAMPLED:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MAX_SAMPLED, replace=False))
    here = artifact.slates[rows, :k]
    there = other.slates[other_rows[rows], :k]
    lengths = np.count_nonzero(here >= 0, axis=1), np.count_nonzero(there >= 0, axis=1)
    # Who has no slate in either release is shown what is popular: that says nothing of these models.
    has_any = (lengths[0] + lengths[1]) > 0
    jaccards, same_first = _agreement(_in_rows_of(artifact, other)[here], there)
    return Overlap(
        k=k,
        num_common_users=num_common,
        num_compared_users=int(has_any.sum()),
        is_sampled=len(rows) < num_common,
        mean_jaccard=_mean(jaccards[has_any]),
        same_first_share=_mean(same_first[has_any]),
        coverage=_coverage(here, len(artifact.product_ids)),
        other_coverage=_coverage(there, len(other.product_ids)),
    )


def _in_rows_of(artifact: Artifact, other: Artifact) -> NDArray[np.int64]:
    """The other's row [P + 1] of each product of the artifact; −2 for one it does not know, −1 for a pad."""
    ids = artifact.product_ids
    found = other.products.find(ids.astype(other.product_ids.dtype))
    is_same = (found >= 0) & (other.product_ids[np.maximum(found, 0)] == ids)
    return np.append(np.where(is_same, found, -2), -1)


def _agreement(
    here: NDArray[np.int64], there: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Jaccard index [N] of the products of each row, and whether the first is the same; −1 pads."""
    shared = np.zeros(len(here), np.int64)
    for place in range(here.shape[1]):
        of_place = here[:, place : place + 1]
        shared += ((of_place >= 0) & (of_place == there)).any(axis=1)
    total = np.count_nonzero(here != -1, axis=1) + np.count_nonzero(there >= 0, axis=1) - shared
    same_first = (here[:, 0] >= 0) & (here[:, 0] == there[:, 0])
    return shared / np.maximum(total, 1), same_first


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _coverage(slates: NDArray[np.int32], num_products: int) -> float | None:
    return len(np.unique(slates[slates >= 0])) / num_products if slates.size and num_products else None


def moves(artifact: Artifact, other: Artifact, user_id: str) -> list[Move] | None:
    """The products of a user's two slates, in the first's order; None if neither release has the user."""
    rows = artifact.user_row(user_id), other.user_row(user_id)
    if rows == (None, None):
        return None
    here = [] if rows[0] is None else artifact.slate(rows[0])
    there = [] if rows[1] is None else other.slate(rows[1])
    places, other_places = _places(here), _places(there)
    scores, other_scores = dict(here), dict(there)
    return [
        Move(each, places.get(each), other_places.get(each), scores.get(each), other_scores.get(each))
        for each in dict.fromkeys((*scores, *other_scores))
    ]


def _places(slate: list[tuple[str, float]]) -> dict[str, int]:
    return {product_id: place for place, (product_id, _) in enumerate(slate, 1)}
