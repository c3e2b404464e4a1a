"""What else serving knows: products like one, whom to follow, whom to tell of one, what to show next."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import ID_PATTERN, ServicesDep, requires
from lsec.api.openapi import problems
from lsec.api.product_audience import audience_of
from lsec.api.showcase_next import showcase_next
from lsec.api.similar import similar_products
from lsec.api.whom_to_follow import StreamerReason, streamers_to_follow
from lsec.api.wishes import MAX_K, Excluded, InStock, OnlyCategory, OnlyStreamer, products_response
from lsec.core.ledger import Scope
from lsec.serving.wish import Wish

MAX_AUDIENCE = 10_000
MAX_MINUTES = 1_440

router = APIRouter(prefix="/v1", tags=["recommendations"])

PathId = Annotated[str, Path(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
K = Annotated[int, Query(ge=1, le=MAX_K, description="How many")]


class SimilarProduct(BaseModel):
    """A product; `score` is the cosine of the two vectors, 0 where there are none."""

    product_id: str
    score: float
    source: Literal["similar", "same_seller", "same_category", "popular"]


class SimilarOut(BaseModel):
    """Products like one, the most alike first; `source` is that of the first, "none" if there is none."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "product_id": "p3",
                "release_id": "rel_0198c5d1a2b3c4d5e6f70",
                "source": "similar",
                "products": [{"product_id": "p7", "score": 0.83, "source": "similar"}],
            }
        }
    )
    product_id: str
    release_id: str | None
    source: Literal["similar", "same_seller", "same_category", "popular", "none"]
    products: list[SimilarProduct]


class NamedStreamer(BaseModel):
    """A streamer whom the user does not follow; `score` is 0 where no model scored them for the user."""

    streamer_id: str
    score: float
    source: Literal["folded_in", "slate", "sellers", "most_followed"]
    num_followers: int | None
    reason: StreamerReason | None = None


class StreamersOut(BaseModel):
    """Whom a user might follow, best first; `source` is that of the first, "none" if there is none."""

    user_id: str
    release_id: str | None
    source: Literal["folded_in", "slate", "sellers", "most_followed", "none"]
    streamers: list[NamedStreamer]


class AudienceUser(BaseModel):
    """A user; `score` is 0 where no model knows the product."""

    user_id: str
    score: float


class AudienceOut(BaseModel):
    """The users whom a product suits best, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "product_id": "p3",
                "release_id": "rel_0198c5d1a2b3c4d5e6f70",
                "source": "release",
                "users": [{"user_id": "u1", "score": 4.21}],
            }
        }
    )
    product_id: str
    release_id: str | None
    source: Literal["release", "sellers_products", "followers", "none"]
    users: list[AudienceUser]


class NextProduct(BaseModel):
    """A product to show; `score` is the mean over those present, 0 where nothing is known of them."""

    product_id: str
    score: float
    source: Literal["present_audience", "popular"]


class ShowcaseNextOut(BaseModel):
    """What to show next, best first; `num_present` users watched lately, of 2,000 at most."""

    stream_id: str
    streamer_id: str
    release_id: str | None
    source: Literal["present_audience", "popular", "none"]
    num_present: int
    products: list[NextProduct]


@router.get(
    # An id may hold slashes.
    "/products/{product_id:path}/similar",
    summary="Products like one",
    response_model=SimilarOut,
    responses=problems(404),
    dependencies=[requires(Scope.READ)],
)
async def get_similar(
    services: ServicesDep,
    product_id: PathId,
    *,
    k: K = 10,
    category: OnlyCategory = "",
    streamer_id: OnlyStreamer = "",
    in_stock: InStock = True,
    exclude: Excluded = [],  # noqa: B006 - FastAPI reads it, nobody writes it
) -> Response:
    """Find the products whose vectors are nearest, by the graph's vector index, among those on offer.

    Where the filters leave too few of what the index finds, and while the graph is away, all products of the
    release are compared. A product newer than the release has no vector: its sellers' other products come
    first, then those of its categories, the most bought first.
    """
    wish = Wish(
        k=k, category=category, streamer_id=streamer_id, in_stock=in_stock, exclude=frozenset(exclude)
    )
    return products_response(*await similar_products(services, product_id, wish))


@router.get(
    "/users/{user_id:path}/streamers",
    summary="Streamers for a user to follow",
    response_model=StreamersOut,
    dependencies=[requires(Scope.READ)],
)
async def get_streamers(
    services: ServicesDep,
    user_id: PathId,
    *,
    k: K = 10,
    explain: Annotated[
        bool, Query(description="Give the reason for each streamer, with its path in the graph")
    ] = False,
) -> Response:
    """Rank streamers whom the user does not follow, as of their last event.

    By the model, if it was trained on follows (`slate`, `folded_in`), else by who sells most of what the user
    would be shown (`sellers`); then by followers (`most_followed`), alone for an unknown user.
    """
    return products_response(*await streamers_to_follow(services, user_id, k=k, explain=explain))


@router.get(
    "/products/{product_id:path}/audience",
    summary="Users to tell of a product",
    response_model=AudienceOut,
    responses=problems(404),
    # It names users.
    dependencies=[requires(Scope.ANALYST)],
)
async def get_product_audience(
    services: ServicesDep,
    product_id: PathId,
    *,
    k: Annotated[int, Query(ge=1, le=MAX_AUDIENCE, description="How many users")] = 100,
) -> Response:
    """Rank all users of the release by their score of a product, exactly, such as for when it goes live.

    Without who bought or dismissed it by now, and without users who were erased. A product newer than the
    release is scored by the mean of what its sellers sell (`sellers_products`); where they sell nothing else,
    it is their followers (`followers`).
    """
    return products_response(*await audience_of(services, product_id, k=k))


@router.get(
    "/streams/{stream_id:path}/showcase-next",
    summary="What a host should show next",
    response_model=ShowcaseNextOut,
    responses=problems(404, 409),
    dependencies=[requires(Scope.READ)],
)
async def get_showcase_next(
    services: ServicesDep,
    stream_id: PathId,
    *,
    k: K = 5,
    present_minutes: Annotated[
        int, Query(ge=1, le=MAX_MINUTES, description="Present is who watched within so many minutes")
    ] = 10,
    not_shown_minutes: Annotated[
        int,
        Query(ge=0, le=MAX_MINUTES, description="Leave out what was showcased within so many minutes"),
    ] = 30,
    category: OnlyCategory = "",
    in_stock: InStock = True,
    exclude: Excluded = [],  # noqa: B006 - FastAPI reads it, nobody writes it
) -> Response:
    """Rank what the host sells by the mean score of the users who watch the stream now.

    Where the release knows none of them, what is bought most comes first. A stream that has ended is a
    conflict.
    """
    wish = Wish(k=k, category=category, in_stock=in_stock, exclude=frozenset(exclude))
    return products_response(
        *await showcase_next(
            services,
            stream_id,
            wish,
            present_minutes=present_minutes,
            not_shown_minutes=not_shown_minutes,
        )
    )
