"""What a user should see, with the reason for each product."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import ID_PATTERN, ServicesDep, json_response, requires
from lsec.core.ledger import Scope

router = APIRouter(prefix="/v1/users", tags=["recommendations"])


class Reason(BaseModel):
    """Why a product is shown: `taste` is the model's choice alone; `num_users` is the least there are."""

    kind: Literal["followed_streamers", "users_alike", "taste", "popular"]
    text: str
    streamers: list[str] | None = None
    num_users: int | None = None


class RecommendedProduct(BaseModel):
    """One product; `score` is 0 where no model scored it for the user."""

    product_id: str
    score: float
    reason: Reason | None = None


class RecommendationsOut(BaseModel):
    """A user's products, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "user_id": "u1",
                "release_id": "rel_0198c5d1a2b3c4d5e6f70",
                "source": "slate",
                "products": [
                    {
                        "product_id": "p7",
                        "score": 4.21,
                        "reason": {
                            "kind": "followed_streamers",
                            "text": "Sold by Ann, whom you follow",
                            "streamers": ["s1"],
                        },
                    }
                ],
            }
        }
    )
    user_id: str
    release_id: str | None
    source: Literal["slate", "popular"]
    products: list[RecommendedProduct]


@router.get(
    # An id may hold slashes.
    "/{user_id:path}/recommendations",
    summary="Products for a user",
    response_model=RecommendationsOut,
    dependencies=[requires(Scope.READ)],
)
async def get_recommendations(
    services: ServicesDep,
    user_id: Annotated[str, Path(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)],
    *,
    k: Annotated[int, Query(ge=1, le=100, description="How many products")] = 10,
    include_bought: Annotated[bool, Query(description="Also goods that the user bought")] = False,
    explain: Annotated[bool, Query(description="Give the reason for each product")] = True,
) -> Response:
    """Take the active release's slate without what was bought, dismissed, or is not on offer.

    Popular products fill up what is missing; an unknown user gets only those (`"source": "popular"`).
    """
    found = await services.recommender.recommend(user_id, k=k, include_bought=include_bought, explain=explain)
    return json_response(found)
