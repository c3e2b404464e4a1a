"""What is known of a user at a moment: as the graph has them, or as the release alone does."""

from typing import NamedTuple

from lsec.serving.answer import Ranking
from lsec.serving.folding import of_row
from lsec.serving.shelf import Shelf
from lsec.serving.shopper import Shopper
from lsec.serving.tags import NO_ROWS, Rows


class Known(NamedTuple):
    """What is known of a user: their live state, None if it was not needed, and their ranking, if any.

    `bought` are the product rows that they bought, by the state or the release; `is_stale` says that they
    have changed since.
    """

    shopper: Shopper | None
    ranking: Ranking | None
    bought: Rows = NO_ROWS
    is_stale: bool = False


def of_release(user_id: str, shelf: Shelf) -> Known:
    """What the release alone knows of a user."""
    row = shelf.user_row(user_id)
    return Known(None, None) if row is None else of_release_row(row, shelf)


def of_release_row(row: int, shelf: Shelf) -> Known:
    """What the release alone knows of the user in a row."""
    assert shelf.artifact is not None
    return Known(None, of_row(row, shelf), shelf.artifact.bought(row))
