"""One function a route that serves from the release: what it asks, and what it answers."""

from collections.abc import Sequence
from typing import TypedDict, TypeVar, Unpack

import msgspec

from lsec.client.exchange import (
    READ_PATIENCE_S,
    Call,
    Flow,
    Parameter,
    decode,
    exchange,
    json_call,
    path_of,
)
from lsec.client.serving_answers import (
    Batch,
    ProductAudience,
    Recommendations,
    SessionEvent,
    ShowcaseNext,
    SimilarProducts,
    StreamersToFollow,
)

BATCH_TIMEOUT_S = 120.0
DEGRADED = "x-lsec-degraded"

T = TypeVar(
    "T",
    Batch,
    ProductAudience,
    Recommendations,
    ShowcaseNext,
    SimilarProducts,
    StreamersToFollow,
)


class Wish(TypedDict, total=False):
    """What may be asked of products: k, 10 by default, and which.

    `stream_id`, `streamer_id` and `category` name those to choose from, `exclude` some to leave out; what is
    out of stock comes with `in_stock=False` alone; `diversity` goes from 0 to 1.
    """

    k: int
    stream_id: str
    streamer_id: str
    category: str
    exclude: Sequence[str]
    in_stock: bool
    include_bought: bool
    diversity: float


def recommendations(user_id: str, *, explain: bool = True, **wish: Unpack[Wish]) -> Flow[Recommendations]:
    """The user's best products, with the reason for each."""
    params: dict[str, Parameter] = {"k": 10, "include_bought": False, "explain": explain}
    params |= {name: _parameter(value) for name, value in wish.items()}
    return _served(Call("GET", path_of("/v1/users", user_id, "recommendations"), params), Recommendations)


def recommendations_of_many(
    user_ids: Sequence[str], *, explain: bool = True, **wish: Unpack[Wish]
) -> Flow[Batch]:
    """The best products of up to 1,000 users, in one request."""
    body = {"user_ids": list(user_ids), "explain": explain, **wish}
    call = json_call("POST", "/v1/recommendations:batch", body, timeout_s=BATCH_TIMEOUT_S)
    return _served(call, Batch)


def session_recommendations(
    events: Sequence[SessionEvent], *, explain: bool = True, **wish: Unpack[Wish]
) -> Flow[Recommendations]:
    """Products for a visitor who did this, the oldest first; nothing of it is kept."""
    body = {"events": list(events), "explain": explain, **wish}
    call = json_call("POST", "/v1/sessions/recommendations", body, timeout_s=BATCH_TIMEOUT_S)
    return _served(call, Recommendations)


def similar_products(
    product_id: str,
    *,
    k: int = 10,
    category: str | None = None,
    streamer_id: str | None = None,
    in_stock: bool = True,
    exclude: Sequence[str] = (),
) -> Flow[SimilarProducts]:
    """The products on offer that are most like one; ApiError with status 404 for an unknown one."""
    params: dict[str, Parameter] = {"k": k, "category": category, "streamer_id": streamer_id}
    params |= {"in_stock": in_stock, "exclude": tuple(exclude) or None}
    return _served(Call("GET", path_of("/v1/products", product_id, "similar"), params), SimilarProducts)


def streamers_to_follow(user_id: str, *, k: int = 10, explain: bool = True) -> Flow[StreamersToFollow]:
    """Streamers whom the user does not follow yet, best first, with the reason for each."""
    params: dict[str, Parameter] = {"k": k, "explain": explain}
    return _served(Call("GET", path_of("/v1/users", user_id, "streamers"), params), StreamersToFollow)


def product_audience(product_id: str, *, k: int = 100) -> Flow[ProductAudience]:
    """Up to 10,000 users whom a product suits best, who did not buy it; 404 for an unknown product."""
    call = Call("GET", path_of("/v1/products", product_id, "audience"), {"k": k})
    return _served(call, ProductAudience)


def showcase_next(
    stream_id: str,
    *,
    k: int = 5,
    present_minutes: int = 10,
    not_shown_minutes: int = 30,
    category: str | None = None,
    in_stock: bool = True,
    exclude: Sequence[str] = (),
) -> Flow[ShowcaseNext]:
    """What the host of a stream should show those who watch now.

    ApiError with status 404 for an unknown stream, 409 for one that has ended.
    """
    params: dict[str, Parameter] = {"k": k, "present_minutes": present_minutes, "category": category}
    params |= {"not_shown_minutes": not_shown_minutes, "in_stock": in_stock}
    params["exclude"] = tuple(exclude) or None
    return _served(Call("GET", path_of("/v1/streams", stream_id, "showcase-next"), params), ShowcaseNext)


def _served(call: Call, kind: type[T]) -> Flow[T]:
    """The answer, which says what was away when it was made."""
    reply = yield from exchange(call, patience_s=READ_PATIENCE_S)
    answer = decode(reply.body, kind)
    away = reply.headers.get(DEGRADED, "")
    return msgspec.structs.replace(answer, degraded=tuple(away.split(","))) if away else answer


def _parameter(value: object) -> Parameter:
    if isinstance(value, str | int | float):
        return value
    assert isinstance(value, Sequence)
    return tuple(value) or None
