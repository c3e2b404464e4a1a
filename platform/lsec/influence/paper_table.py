"""The paper's table: shares of followed catalogues and purchase probabilities, each beside its controls."""

from dataclasses import astuple, dataclass, fields
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from lsec.influence.pairs import places_of
from lsec.influence.paper import (
    MAX_FOLLOWED_SELLERS,
    Tripartite,
    catalogue_shares,
    purchase_probabilities,
)

Ints = NDArray[np.int64]
Pairs = tuple[Ints, Ints]

SHARE: Final = "share in followed catalogues"
RATIO: Final = "purchases over those by popularity"


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A figure with its 95 % interval, and the new purchases it is of.

    measure is SHARE, of the purchases and of a control, or RATIO, of the pairs of a following user and a
    product of one kind: there num_pairs, and the probability of a purchase with the one expected by
    popularity. NaN is what is not to be had.
    """

    measure: Literal["share in followed catalogues", "purchases over those by popularity"]
    of: str
    value: float
    low: float
    high: float
    num_purchases: int
    num_pairs: int | None = None
    probability: float | None = None
    expected: float | None = None


COLUMNS: Final = tuple(field.name.removeprefix("num_") for field in fields(PaperRow))


def paper_table(
    graph: Tripartite,
    *,
    neighbours: int | None = None,
    max_followed_sellers: int = MAX_FOLLOWED_SELLERS,
    min_purchases: int = 0,
) -> list[PaperRow]:
    """The rows of both parts but those of fewer purchases. InvalidInput as of `catalogue_shares`."""
    shares = catalogue_shares(graph, neighbours=neighbours)
    rows = [
        PaperRow(SHARE, of, found.mean, found.low, found.high, shares.num_purchases)
        for of, found in (
            ("purchases", shares.purchases),
            ("a product as popular", shares.popular_product),
            ("a user who follows as many", shares.other_user),
            ("a product at random", shares.random_product),
        )
    ]
    for row in purchase_probabilities(graph, max_followed_sellers=max_followed_sellers):
        found = row.ratio
        rows.append(
            PaperRow(
                RATIO,
                _kind(row.num_followed_sellers, max_followed_sellers),
                found.mean,
                found.low,
                found.high,
                row.num_purchases,
                row.num_pairs,
                row.probability,
                row.expected,
            )
        )
    return [row for row in rows if row.num_purchases >= min_purchases]


def named_rows(rows: list[PaperRow]) -> list[dict[str, Any]]:
    """The rows by the names of COLUMNS, with None for what is not to be had: an unbounded interval, too."""
    return [
        dict(zip(COLUMNS, (None if _is_void(value) else value for value in astuple(row)), strict=True))
        for row in rows
    ]


def _is_void(value: object) -> bool:
    return isinstance(value, float) and not np.isfinite(value)


def restricted(graph: Tripartite, products: Ints) -> Tripartite:
    """The graph of some products alone, ascending, in whose order they are its rows."""

    def kept(pairs: Pairs) -> Pairs:
        places = places_of(products, pairs[1])
        return pairs[0][places >= 0], places[places >= 0]

    return Tripartite(
        num_users=graph.num_users,
        num_streamers=graph.num_streamers,
        num_products=len(products),
        follows=graph.follows,
        sells=kept(graph.sells),
        before=kept(graph.before),
        after=kept(graph.after),
    )


def _kind(num_followed_sellers: int, most: int) -> str:
    if num_followed_sellers < 0:
        return "sold by no streamer"
    more = " or more" if num_followed_sellers == most else ""
    return f"sold by {num_followed_sellers}{more} followed"
