"""Who influences whom: named queries on the graph, as tables."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Response

from graph_schema.events import epoch_ms
from graph_schema.queries import load_query
from lsec.api.dependencies import Services, ServicesDep
from lsec.api.openapi import problems
from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S
from lsec.api.tables import (
    Category,
    Cursor,
    GraphIdQuery,
    Limit,
    MinBuyers,
    MinShared,
    Place,
    Since,
    Table,
    Until,
    Wanted,
    cursor_of,
    influence_router,
    page_of,
    place_of,
    table_response,
    unknown,
    window_of,
)

router = influence_router()

ManyRows = Annotated[int, Query(ge=1, le=10_000, description="Most rows")]
PATHS = ("bought", "followed streamer", "watched streamer", "user alike")
"""The kinds of paths, the most direct first."""


@router.get("/leaderboard", summary="Streamers by the users who bought through them", response_model=Table)
async def get_leaderboard(
    services: ServicesDep,
    wanted: Wanted,
    *,
    since: Since = None,
    until: Until = None,
    category: Category = None,
    min_buyers: Annotated[int, Query(ge=1)] = 1,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Rank streamers by buyers, with whom they reached, and what of that came to a cart and a purchase.

    A purchase counts for the streamer that it names; refunded ones stand apart. Views, carts and watching
    are counted by UTC day: exact for windows of whole days. `next` is the cursor of the rows that follow.
    """
    asked = {
        "since": since,
        "until": until,
        "category": category,
        "min_buyers": min_buyers,
        "limit": limit,
    }
    after = place_of(cursor, int, int, str)
    resolved: dict[str, Any] = window_of(since, until)
    resolved |= {"category": category or "", "after": after, "limit": limit + 1}
    rows = await _rows(services, "leaderboard", asked | resolved)
    last = rows[limit - 1] if len(rows) > limit else None
    following = cursor_of([last["buyers"], last["purchases"], last["streamer_id"]]) if last else None
    return _table(wanted, "leaderboard", asked, rows[:limit], next=following)


@router.get(
    "/product-streamers",
    summary="The streamers behind one product",
    response_model=Table,
    responses=problems(404),
)
async def get_product_streamers(
    services: ServicesDep,
    wanted: Wanted,
    product_id: GraphIdQuery,
    *,
    since: Since = None,
    until: Until = None,
    min_buyers: MinBuyers = 0,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Show who sells the product or had purchases of it, with their buyers and how many follow."""
    asked = {"product_id": product_id, "since": since, "until": until, "min_buyers": min_buyers}
    return await _answer(
        services,
        wanted,
        "product-streamers",
        asked | {"limit": limit},
        after=place_of(cursor, int, int, str),
        place=lambda row: [-row["buyers"], -row["showcases"], row["streamer_id"]],
        **window_of(since, until),
    )


@router.get(
    "/spread",
    summary="How a product spreads over streamers and days",
    response_model=Table,
    responses=problems(404),
)
async def get_spread(
    services: ServicesDep,
    wanted: Wanted,
    product_id: GraphIdQuery,
    *,
    since: Since = None,
    until: Until = None,
    min_buyers: MinBuyers = 0,
    limit: ManyRows = 1000,
    cursor: Cursor = None,
) -> Response:
    """Count the product's views, carts and purchases for each UTC day and each streamer, '' for none.

    Refunded purchases stand apart. Exact for windows of whole days.
    """
    asked = {"product_id": product_id, "since": since, "until": until, "min_buyers": min_buyers}
    return await _answer(
        services,
        wanted,
        "spread",
        asked | {"limit": limit},
        after=place_of(cursor, str, str),
        place=lambda row: [row["day"], row["streamer_id"]],
        **window_of(since, until),
    )


@router.get(
    "/funnel",
    summary="A stream, minute by minute",
    response_model=Table,
    responses=problems(404),
)
async def get_funnel(
    services: ServicesDep,
    wanted: Wanted,
    stream_id: GraphIdQuery,
    *,
    since: Since = None,
    until: Until = None,
    limit: ManyRows = 1440,
    cursor: Cursor = None,
) -> Response:
    """Count who joined the stream, and views, carts and purchases in it, in each minute with any of them.

    Purchases are those made, refunded later or not.
    """
    asked = {"stream_id": stream_id, "since": since, "until": until, "limit": limit}
    return await _answer(
        services,
        wanted,
        "funnel",
        asked,
        after=place_of(cursor, int),
        place=lambda row: [epoch_ms(datetime.fromisoformat(row["at"]))],
        **window_of(since, until),
    )


@router.get(
    "/influencers",
    summary="The streamers behind a user's purchases",
    response_model=Table,
    responses=problems(404),
)
async def get_influencers(
    services: ServicesDep,
    wanted: Wanted,
    user_id: GraphIdQuery,
    *,
    since: Since = None,
    until: Until = None,
    category: Category = None,
    min_purchases: Annotated[int, Query(ge=0, description="Only streamers of so many purchases")] = 0,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Show the streamers whom the user's purchases name, followed by those followed, watched or viewed."""
    _check_not_hidden(services, user_id)
    asked: dict[str, Any] = {"user_id": user_id, "since": since, "until": until, "category": category}
    asked |= {"min_purchases": min_purchases, "limit": limit}
    return await _answer(
        services,
        wanted,
        "influencers",
        asked,
        after=place_of(cursor, int, int, int, int, str),
        place=lambda row: [
            *(-row[name] for name in ("purchases", "amount", "watch_seconds", "views")),
            row["streamer_id"],
        ],
        category=category or "",
        **window_of(since, until),
    )


@router.get(
    "/paths", summary="The paths from a user to a product", response_model=Table, responses=problems(404)
)
async def get_paths(
    services: ServicesDep,
    wanted: Wanted,
    user_id: GraphIdQuery,
    product_id: GraphIdQuery,
    *,
    since: Since = None,
    until: Until = None,
    min_shared: MinShared = 1,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Show how a user is connected to a product: `nodes` and the `relationships` between them.

    The window is of purchases and watching; `min_shared` is of the products shared with a user alike.
    """
    _check_not_hidden(services, user_id)
    asked: dict[str, Any] = {"user_id": user_id, "product_id": product_id, "since": since, "until": until}
    asked |= {"min_shared": min_shared, "limit": limit}
    return await _answer(
        services,
        wanted,
        "paths",
        asked,
        after=place_of(cursor, int, int, list),
        place=lambda row: [PATHS.index(row["path"]), -row["strength"], row["nodes"]],
        **window_of(since, until),
    )


async def _answer(
    services: Services, wanted: str, route: str, asked: dict[str, Any], *, place: Place, **resolved: Any
) -> Response:
    """A page of the route's query's table; `resolved` stands in for what was not asked for."""
    rows = await _rows(services, route, asked | resolved | {"limit": asked["limit"] + 1})
    rows, following = page_of(rows, asked["limit"], place)
    # The graph may still hold users who are to be forgotten.
    rows = [row for row in rows if _alike(row) not in services.erasures.hidden]
    if not rows:
        await _check_known(services, asked)
    return _table(wanted, route, asked, rows, next=following)


async def _rows(services: Services, route: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return await services.graph.rows(_query(route), timeout_s=ANALYSIS_TIMEOUT_S, **parameters)


def _table(
    wanted: str, route: str, asked: dict[str, Any], rows: list[dict[str, Any]], **members: Any
) -> Response:
    columns = load_query(_query(route)).columns
    return table_response(wanted, route, parameters=asked, columns=columns, rows=rows, **members)


def _query(route: str) -> str:
    return f"influence/{route.replace('-', '_')}"


def _alike(row: dict[str, Any]) -> str:
    """The other user on a path over one, '' for any other row."""
    return str(row["nodes"][2]) if row.get("path") == "user alike" else ""


async def _check_known(services: Services, asked: dict[str, Any]) -> None:
    """NotFound for the first that the graph does not know of the ids that are asked for."""
    query = "lookups/known"
    ids = {field: asked.get(field, "") for field in load_query(query).parameters}
    known = (await services.graph.rows(query, timeout_s=ANALYSIS_TIMEOUT_S, **ids))[0]
    for field in ("product_id", "user_id", "streamer_id", "stream_id"):
        if field in asked and not known[field]:
            raise unknown(field, asked[field])


def _check_not_hidden(services: Services, user_id: str) -> None:
    if user_id in services.erasures.hidden:
        raise unknown("user_id", user_id)
