"""Who influences whom: three named queries on the graph."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict

from graph_schema.queries import load_query
from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import (
    FIRST_MOMENT,
    ID_PATTERN,
    LAST_MOMENT,
    Moment,
    Services,
    ServicesDep,
    json_response,
    requires,
)
from lsec.api.openapi import problems
from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S
from lsec.core.errors import NotFound
from lsec.core.ledger import Scope

router = APIRouter(prefix="/v1/influence", tags=["influence"], dependencies=[requires(Scope.ANALYST)])

GraphIdQuery = Annotated[str, Query(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
Since = Annotated[Moment | None, Query(description="Purchases at or after this time")]
Until = Annotated[Moment | None, Query(description="Purchases before this time")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most rows")]


class Table(BaseModel):
    """A query's answer: the columns in order, and a row for each result."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "query": "leaderboard",
                "parameters": {"since": None, "until": None, "category": None, "min_buyers": 1, "limit": 20},
                "columns": ["streamer_id", "name", "buyers", "purchases", "amount"],
                "rows": [{"streamer_id": "s1", "name": "Ann", "buyers": 9, "purchases": 12, "amount": 23988}],
            }
        }
    )
    query: str
    parameters: dict[str, Any]
    columns: list[str]
    rows: list[dict[str, Any]]


@router.get("/leaderboard", summary="Streamers by the users who bought through them", response_model=Table)
async def get_leaderboard(
    services: ServicesDep,
    *,
    since: Since = None,
    until: Until = None,
    category: Annotated[str | None, Query(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)] = None,
    min_buyers: Annotated[int, Query(ge=1)] = 1,
    limit: Limit = 20,
) -> Response:
    """Rank streamers by buyers, with purchases, amount and the share of buyers who follow them.

    A purchase counts for the streamer that it names; refunded ones are left out.
    """
    asked = {
        "since": since,
        "until": until,
        "category": category,
        "min_buyers": min_buyers,
        "limit": limit,
    }
    return await _answer(services, "leaderboard", asked, **_window(since, until), category=category or "")


@router.get(
    "/product-streamers",
    summary="The streamers behind one product",
    response_model=Table,
    responses=problems(404),
)
async def get_product_streamers(
    services: ServicesDep,
    product_id: GraphIdQuery,
    *,
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
) -> Response:
    """Show who sells the product or had purchases of it, with their buyers and how many follow."""
    asked = {"product_id": product_id, "since": since, "until": until, "limit": limit}
    return await _answer(services, "product-streamers", asked, **_window(since, until))


@router.get(
    "/paths", summary="The paths from a user to a product", response_model=Table, responses=problems(404)
)
async def get_paths(
    services: ServicesDep, user_id: GraphIdQuery, product_id: GraphIdQuery, *, limit: Limit = 20
) -> Response:
    """Show how a user is connected to a product: `nodes` and the `relationships` between them."""
    if user_id in services.erasures.hidden:
        raise _no_user(user_id)
    asked = {"user_id": user_id, "product_id": product_id, "limit": limit}
    return await _answer(services, "paths", asked)


def _window(since: datetime | None, until: datetime | None) -> dict[str, datetime]:
    window = {"since": since or FIRST_MOMENT, "until": until or LAST_MOMENT}
    if window["since"] >= window["until"]:
        reason = "since must be before until"
        raise RequestValidationError([{"loc": ("query", "until"), "msg": reason, "type": "value_error"}])
    return window


async def _answer(services: Services, route: str, asked: dict[str, Any], **resolved: Any) -> Response:
    """The table of the route's query; `resolved` stands in for what was not asked for."""
    name = f"influence/{route.replace('-', '_')}"
    rows = await services.graph.rows(name, timeout_s=ANALYSIS_TIMEOUT_S, **asked | resolved)
    # The graph may still hold users who are to be forgotten.
    rows = [row for row in rows if _alike(row) not in services.erasures.hidden]
    if not rows and "product_id" in asked:
        await _check_known(services, asked.get("user_id"), asked["product_id"])
    columns = load_query(name).columns
    return json_response({"query": route, "parameters": asked, "columns": columns, "rows": rows})


def _alike(row: dict[str, Any]) -> str:
    """The other user on a path over one, '' for any other row."""
    return str(row["nodes"][2]) if row.get("path") == "user alike" else ""


async def _check_known(services: Services, user_id: str | None, product_id: str) -> None:
    known = await services.graph.rows(
        "lookups/known", timeout_s=ANALYSIS_TIMEOUT_S, user_id=user_id or "", product_id=product_id
    )
    if not known[0]["is_product_known"]:
        raise NotFound(f"There is no product {product_id!r}.", field="product_id")
    if user_id is not None and not known[0]["is_user_known"]:
        raise _no_user(user_id)


def _no_user(user_id: str) -> NotFound:
    return NotFound(f"There is no user {user_id!r}.", field="user_id")
