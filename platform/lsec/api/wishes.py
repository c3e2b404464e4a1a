"""What requests for products may ask and name, and how their answers are sent."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import Depends, Query, Response
from pydantic import BaseModel, ConfigDict

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import ID_PATTERN, MAX_SHOWN, OPTIONAL_ID_PATTERN
from lsec.api.reasons import Reason
from lsec.api.recommender import Recommendations
from lsec.core.errors import NotFound
from lsec.serving.shelf import Shelf
from lsec.serving.wish import Wish

MAX_K = 100
MAX_EXCLUDED = 200
DEGRADED_HEADER = "X-LSEC-Degraded"
"""Names what was away: `graph`, `log`, or `user` where the user's latest events are not in the answer."""

Id = Annotated[str, Query(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
OptionalId = Annotated[str, Query(max_length=MAX_ID_LENGTH, pattern=OPTIONAL_ID_PATTERN)]
OnlyStreamer = Annotated[OptionalId, Query(description="Only what this streamer sells")]
OnlyCategory = Annotated[OptionalId, Query(description="Only products of this category")]
Excluded = Annotated[
    list[Id], Query(max_length=MAX_EXCLUDED, description="Products to leave out; repeat for each")
]
InStock = Annotated[bool, Query(description="Only what is in stock")]


class RecommendedProduct(BaseModel):
    """One product, where it comes from, and why; `score` is 0 where no model scored it for the user."""

    product_id: str
    score: float
    source: Literal["folded_in", "slate", "followed", "popular_in_category", "popular"]
    reason: Reason | None = None


class RecommendationsOut(BaseModel):
    """A user's products, best first; `source` is that of the first, "none" if there is none.

    Products come from the user's own ranking, made anew of their latest events (`folded_in`) or the
    release's (`slate`), then from what followed streamers sell most (`followed`), then from what is bought
    most in their categories and in the shop.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "user_id": "u1",
                "release_id": "rel_0198c5d1a2b3c4d5e6f70",
                "source": "slate",
                "products": [{"product_id": "p7", "score": 4.21, "source": "slate"}],
            }
        }
    )
    user_id: str
    release_id: str | None
    source: Literal["folded_in", "slate", "followed", "popular_in_category", "popular", "none"]
    products: list[RecommendedProduct]


def wish_of_query(
    *,
    k: Annotated[int, Query(ge=1, le=MAX_K, description="How many products")] = 10,
    streamer_id: OnlyStreamer = "",
    category: OnlyCategory = "",
    exclude: Excluded = [],  # noqa: B006 - FastAPI reads it, nobody writes it
    in_stock: InStock = True,
    include_bought: Annotated[bool, Query(description="Also goods that the user bought")] = False,
    diversity: Annotated[
        float, Query(ge=0, le=1, description="0: by score alone; 1: as unlike each other as can be")
    ] = 0.0,
) -> Wish:
    """The wish that a query states."""
    return Wish(
        k=k,
        streamer_id=streamer_id,
        category=category,
        exclude=frozenset(exclude),
        in_stock=in_stock,
        include_bought=include_bought,
        diversity=diversity,
    )


WishDep = Annotated[Wish, Depends(wish_of_query)]
StreamId = Annotated[OptionalId, Query(description="Only what is showcased in this stream")]
Explain = Annotated[bool, Query(description="Give the reason for each product, with its path in the graph")]


def product_row(shelf: Shelf, product_id: str) -> int | None:
    """The row of a product, None for an unknown one while the graph has not told of all.

    NotFound for a product that neither the graph nor the release has ever had.
    """
    row = shelf.catalog.row(product_id)
    if row is None and shelf.catalog.is_read:
        raise NotFound(f"There is no product {product_id[:MAX_SHOWN]}.")
    return row


def answered(found: Recommendations) -> Response:
    """The answer, with the header that names what was away."""
    return products_response(found.body, found.degraded)


def products_response(content: dict[str, Any], degraded: tuple[str, ...]) -> Response:
    """Content as JSON, with the header that names what was away when it was made."""
    headers = {DEGRADED_HEADER: ",".join(degraded)} if degraded else None
    return Response(orjson.dumps(content), 200, headers, media_type="application/json")
