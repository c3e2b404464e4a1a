"""A direct route answers as FastAPI's own does, whatever is asked, and refuses to be what it cannot."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from lsec.api.dependencies import ID_PATTERN, json_response
from lsec.api.direct_route import DirectRoute, match_first
from lsec.api.problems import add_problem_handlers

NAMES = ("k", "ratio", "flag", "text", "maybe", "many", "other", "K", "")
VALUES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["1", "10", "101", "0", "true", "no", "0.5", "nan", " 7", "1_0", "+", "é"]),
)


@dataclass
class Made:
    """What a function makes of parameters."""

    ratio: float
    many: list[str]


def make(
    *,
    ratio: Annotated[float, Query(ge=0, le=1)] = 0.25,
    many: Annotated[list[Annotated[str, Query(max_length=3)]], Query(max_length=2)] = [],  # noqa: B006 - as in routes
) -> Made:
    """Something of the query."""
    many = list(many)
    return Made(ratio, many)


async def echo(
    item: Annotated[str, Path(max_length=8, pattern=ID_PATTERN)],
    made: Annotated[Made, Depends(make)],
    text: Annotated[str, Query(pattern=r"^[a-z]*$")] = "",
    *,
    k: Annotated[int, Query(ge=1, le=100)],
    flag: bool = False,
    maybe: str | None = None,
) -> Response:
    """All that was asked."""
    return json_response(
        {"item": item, "made": asdict(made), "text": text, "k": k, "flag": flag, "maybe": maybe}
    )


def app_of(route_class: type[APIRoute], endpoint: Any = echo) -> FastAPI:
    """An app with one route of the class."""
    app, router = FastAPI(), APIRouter(route_class=route_class)
    router.get("/items/{item:path}/echo")(endpoint)
    app.include_router(router)
    match_first(app, router)
    add_problem_handlers(app)
    return app


DIRECT, ORDINARY = app_of(DirectRoute), app_of(APIRoute)


def answer(app: FastAPI, path: str, method: str = "GET") -> tuple[int, bytes, str | None]:
    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.request(method, path)

    found = asyncio.run(ask())
    return found.status_code, found.content, found.headers.get("content-type")


@given(
    st.text(alphabet="abc/é ", max_size=10),
    st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=5),
    st.booleans(),
)
def test_both_routes_give_the_same_answer(item: str, pairs: list[tuple[str, str]], with_k: bool) -> None:
    query = urlencode([*pairs, *([("k", "3")] if with_k else [])])
    path = f"/items/{quote(item)}/echo?{query}"
    assert answer(DIRECT, path) == answer(ORDINARY, path)


@pytest.mark.parametrize(
    "query",
    [
        "k=1&k=2",
        "k=3&many=a&many=b",
        "k=3&many=a&many=b&many=c",
        "k=3&text=%zz",
        "k=3&flag",
        "&k=3&&",
        "k=%33",
    ],
)
def test_both_routes_read_a_query_alike(query: str) -> None:
    path = f"/items/a/echo?{query}"
    assert answer(DIRECT, path) == answer(ORDINARY, path)


def test_another_method_is_refused() -> None:
    assert answer(DIRECT, "/items/a/echo?k=1", "POST") == answer(ORDINARY, "/items/a/echo?k=1", "POST")
    assert answer(DIRECT, "/items/a/echo?k=1", "POST")[0] == 405


def test_a_default_is_not_shared_by_requests() -> None:
    seen: list[list[str]] = []

    async def endpoint(item: str, many: Annotated[list[str], Query()] = []) -> Response:  # noqa: B006 - as in routes
        seen.append(many)
        many.append(item)
        return json_response(many)

    app = app_of(DirectRoute, endpoint)
    assert [answer(app, f"/items/{name}/echo")[1] for name in "ab"] == [b'["a"]', b'["b"]']
    assert seen[0] is not seen[1]


def test_what_nobody_can_change_is_made_once_of_a_request_that_asks_for_nothing() -> None:
    made: list[Any] = []

    def fixed(k: int = 1) -> tuple[int, frozenset[str]]:
        made.append(k)
        return k, frozenset()

    def changeable(ratio: float = 0.5) -> tuple[list[float]]:
        made.append(ratio)
        return ([ratio],)

    async def endpoint(
        item: str, first: Annotated[Any, Depends(fixed)], second: Annotated[Any, Depends(changeable)]
    ) -> Response:
        second[0].append(item)
        return json_response([first[0], *second[0]])

    app = app_of(DirectRoute, endpoint)
    made.clear()
    asked = [answer(app, f"/items/a/echo{query}")[1] for query in ("", "?k=3", "", "?ratio=0.1")]
    assert asked == [b'[1,0.5,"a"]', b'[3,0.5,"a"]', b'[1,0.5,"a"]', b'[1,0.1,"a"]']
    assert made == [0.5, 3, 0.5, 0.5, 0.1]


def test_the_schema_is_the_same() -> None:
    assert DIRECT.openapi() == ORDINARY.openapi()


async def with_request(item: str, request: Request) -> Response:
    raise NotImplementedError


async def with_header(item: str, agent: Annotated[str, Header()]) -> Response:
    raise NotImplementedError


async def with_body(item: str, body: dict[str, str]) -> Response:
    raise NotImplementedError


async def with_set(item: str, many: Annotated[set[str], Query()]) -> Response:
    raise NotImplementedError


async def asynchronous() -> int:
    return 1


async def with_asynchronous(item: str, number: Annotated[int, Depends(asynchronous)]) -> Response:
    raise NotImplementedError


@pytest.mark.parametrize("endpoint", [with_request, with_header, with_body, with_set, with_asynchronous])
def test_a_route_that_it_cannot_be_is_refused_as_it_is_made(endpoint: Any) -> None:
    with pytest.raises(TypeError, match="a direct route"):
        app_of(DirectRoute, endpoint)
