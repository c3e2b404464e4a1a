"""What every request for products may ask, and how its answer is sent."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import Depends, Query, Response
from pydantic import BaseModel, ConfigDict

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import ID_PATTERN
from lsec.api.reasons import Reason
from lsec.api.recommender import Recommendations
from lsec.serving.wish import Wish

MAX_K = 100
MAX_EXCLUDED = 200
DEGRADED_HEADER = "X-LSEC-Degraded"
"""Names what was away: `graph`, `log`, or `user` where the user's latest events are not in the answer."""

Id = Annotated[str, Query(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
OptionalId = Annotated[str, Query(max_length=MAX_ID_LENGTH, pattern=r"^[^\s\x00-\x1f\x7f]*$")]


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
    streamer_id: Annotated[OptionalId, Query(description="Only what this streamer sells")] = "",
    category: Annotated[OptionalId, Query(description="Only products of this category")] = "",
    exclude: Annotated[
        list[Id], Query(max_length=MAX_EXCLUDED, description="Products to leave out; repeat for each")
    ] = [],  # noqa: B006 - FastAPI reads it, nobody writes it
    in_stock: Annotated[bool, Query(description="Only what is in stock")] = True,
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


def answered(found: Recommendations) -> Response:
    """The answer, with the header that names what was away."""
    return products_response(found.body, found.degraded)


def products_response(content: dict[str, Any], degraded: tuple[str, ...]) -> Response:
    """Content as JSON, with the header that names what was away when it was made."""
    headers = {DEGRADED_HEADER: ",".join(degraded)} if degraded else None
    return Response(orjson.dumps(content), 200, headers, media_type="application/json")
