"""What a user should see: for one, for many, and for a visitor who has no id."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import ID_PATTERN, OPTIONAL_ID_PATTERN, ServicesDep, requires
from lsec.api.direct_route import DirectRoute
from lsec.api.wishes import (
    MAX_EXCLUDED,
    MAX_K,
    Explain,
    RecommendationsOut,
    StreamId,
    WishDep,
    answered,
    products_response,
)
from lsec.core.ledger import Scope
from lsec.serving.shopper import Shopper
from lsec.serving.wish import Wish

MAX_BATCH = 1000
MAX_SESSION_EVENTS = 500

router = APIRouter(prefix="/v1", tags=["recommendations"])
direct = APIRouter(prefix="/v1", tags=["recommendations"], route_class=DirectRoute)
"""The route that front ends ask thousands of times a second."""

BodyId = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
OptionalBodyId = Annotated[str, Field(max_length=MAX_ID_LENGTH, pattern=OPTIONAL_ID_PATTERN)]


class WishIn(BaseModel):
    """What may be asked of products; the same as in the query of one user's recommendations."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, le=MAX_K, description="How many products")
    stream_id: OptionalBodyId = Field("", description="Only what is showcased in this stream")
    streamer_id: OptionalBodyId = Field("", description="Only what this streamer sells")
    category: OptionalBodyId = Field("", description="Only products of this category")
    exclude: list[BodyId] = Field([], max_length=MAX_EXCLUDED, description="Products to leave out")
    in_stock: bool = Field(True, description="Only what is in stock")
    include_bought: bool = Field(False, description="Also goods that the user bought")
    diversity: float = Field(0.0, ge=0, le=1, description="0: by score alone; 1: as unlike as can be")
    explain: bool = Field(False, description="Give the reason for each product")

    @property
    def wish(self) -> Wish:
        """What it asks for, but for the stream."""
        return Wish(
            k=self.k,
            streamer_id=self.streamer_id,
            category=self.category,
            exclude=frozenset(self.exclude),
            in_stock=self.in_stock,
            include_bought=self.include_bought,
            diversity=self.diversity,
        )


class BatchIn(WishIn):
    """The users, and what is asked for each of them."""

    user_ids: list[BodyId] = Field(min_length=1, max_length=MAX_BATCH)


class BatchOut(BaseModel):
    """The answers, in the order of the users."""

    recommendations: list[RecommendationsOut]


class SessionEvent(BaseModel):
    """What an anonymous visitor did: with a product, or with a streamer."""

    model_config = ConfigDict(extra="forbid")

    type: Literal[
        "user.viewed", "user.carted", "user.bought", "user.watched", "user.followed", "user.dismissed"
    ]
    product_id: OptionalBodyId = ""
    streamer_id: OptionalBodyId = ""
    seconds: int = Field(60, ge=0, le=86_400, description="How long a streamer was watched")


class SessionIn(WishIn):
    """What a visitor did, oldest first, and what is asked for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"k": 5, "events": [{"type": "user.viewed", "product_id": "p7"}]},
        },
    )
    events: list[SessionEvent] = Field([], max_length=MAX_SESSION_EVENTS)


@direct.get(
    # An id may hold slashes.
    "/users/{user_id:path}/recommendations",
    summary="Products for a user",
    response_model=RecommendationsOut,
    dependencies=[requires(Scope.READ)],
)
async def get_recommendations(
    services: ServicesDep,
    user_id: Annotated[str, Path(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)],
    wish: WishDep,
    *,
    stream_id: StreamId = "",
    explain: Explain = False,
) -> Response:
    """Rank what the user may like, from the active release and what they have done since.

    What they bought or dismissed, and what is hidden, out of stock or expired, is left out. An unknown user
    gets what is popular. While a part is away the answer is made of what is known, and the header
    `X-LSEC-Degraded` names it.
    """
    return answered(await services.recommender.recommend(user_id, wish, stream_id=stream_id, explain=explain))


@router.post(
    "/recommendations:batch",
    summary="Products for many users",
    response_model=BatchOut,
    dependencies=[requires(Scope.READ)],
)
async def post_batch(services: ServicesDep, body: BatchIn) -> Response:
    """Answer for up to 1,000 users as for each of them alone, such as for a mailing."""
    found = []
    for user_id in body.user_ids:
        found.append(
            await services.recommender.recommend(
                user_id, body.wish, stream_id=body.stream_id, explain=body.explain
            )
        )
        # Others are answered in between.
        await asyncio.sleep(0)
    degraded = sorted({name for each in found for name in each.degraded})
    return products_response({"recommendations": [each.body for each in found]}, tuple(degraded))


@router.post(
    "/sessions/recommendations",
    summary="Products for a visitor without an id",
    response_model=RecommendationsOut,
    dependencies=[requires(Scope.READ)],
)
async def post_session(services: ServicesDep, body: SessionIn) -> Response:
    """Rank for what a visitor did in this visit; nothing of it is kept. `user_id` is empty in the answer."""
    found = await services.recommender.recommend_to(
        _visitor(body.events), body.wish, stream_id=body.stream_id, explain=body.explain
    )
    return answered(found)


def _visitor(events: list[SessionEvent]) -> Shopper:
    """The state of a visitor, the newest first."""
    newest = events[::-1]

    def products(*types: str) -> list[str]:
        return list(dict.fromkeys(e.product_id for e in newest if e.type in types and e.product_id))

    watched: dict[str, Any] = {}
    for event in newest:
        if event.type == "user.watched" and event.streamer_id:
            watched[event.streamer_id] = watched.get(event.streamer_id, 0) + event.seconds
    return Shopper(
        bought=products("user.bought"),
        followed=list(
            dict.fromkeys(e.streamer_id for e in newest if e.type == "user.followed" and e.streamer_id)
        ),
        viewed=dict.fromkeys(products("user.viewed", "user.carted"), 1),
        watched=watched,
        dismissed=frozenset(products("user.dismissed")),
    )
