"""A user's ranking: the release's slate, or one made anew of what they have done by now."""

from collections.abc import Mapping, Sequence

import numpy as np

from lsec.core.fold_in import FoldIn
from lsec.serving.answer import Ranking
from lsec.serving.shelf import Shelf
from lsec.serving.shopper import Shopper
from lsec.serving.tags import Rows

NUM_RANKED = 300
"""Products in a ranking that is made anew: those that may not be shown are taken off it later."""
MIN_WATCHED_S = 60
"""Who watched a streamer so long is taken to like them as a follower does."""


def of_slate(user_id: str, shelf: Shelf) -> Ranking | None:
    """The ranking that the release has of a user; None if it has none."""
    row = shelf.user_row(user_id)
    return None if row is None else of_row(row, shelf)


def of_row(row: int, shelf: Shelf) -> Ranking | None:
    """The ranking that the release has of the user in a row; None if it has none."""
    assert shelf.artifact is not None
    rows = shelf.artifact.slates[row]
    if rows[-1] < 0:
        rows = rows[rows >= 0]
    if not len(rows):
        return None
    return Ranking(rows, shelf.artifact.slate_scores[row, : len(rows)], "slate", user_row=row)


def folded_in(shopper: Shopper, shelf: Shelf, fold_in: FoldIn) -> Ranking | None:
    """The ranking that follows from a user's state; None if the release knows nothing that they touched."""
    artifact, catalog = shelf.artifact, shelf.catalog
    assert artifact is not None
    bought = _released(catalog.rows(shopper.bought), catalog.num_released)
    viewed = _released(catalog.rows(shopper.viewed), catalog.num_released)
    followed = artifact.streamers.rows(_liked(shopper.followed, shopper.watched))
    vector = fold_in.user_vector(bought, followed[followed >= 0], viewed=viewed)
    if not vector.any():
        return None
    rows, scores = artifact.top(vector, NUM_RANKED, bought)
    return Ranking(rows, scores, "folded_in", own_vector=vector)


def _liked(followed: Sequence[str], watched: Mapping[str, int]) -> list[str]:
    long = [streamer for streamer, seconds in watched.items() if seconds >= MIN_WATCHED_S]
    return list(dict.fromkeys([*followed, *long]))


def _released(rows: Rows, num_released: int) -> Rows:
    return np.unique(rows[rows < num_released])
