"""Audience: whom streamers share, who is nearest to one, and which followers are slipping away."""

from typing import Annotated, Any, Literal

from fastapi import Query, Response

from lsec.api.audience_tables import COLUMNS, GROUPS, View, rows_of
from lsec.api.dependencies import ServicesDep, invalid
from lsec.api.openapi import problems
from lsec.api.stores.audiences import AUDIENCES, Audience
from lsec.api.stores.touches import all_streamers
from lsec.api.tables import (
    DURATION_PATTERN,
    Category,
    Cursor,
    GraphIdQuery,
    Limit,
    MinShared,
    Place,
    Since,
    Table,
    Until,
    Wanted,
    influence_router,
    place_of,
    sorted_page,
    table_response,
    unknown,
    window_of,
)

router = influence_router()

PLACES: dict[View, Place] = {
    "nearest": lambda row: [-row["similarity"], row["streamer_id"]],
    "overlap": lambda row: [AUDIENCES.index(row["audience"]), ""],
    "buyers": lambda row: [GROUPS.index(row["group"]), ""],
    "at_risk": lambda row: [row["seconds_recent"] - row["seconds_expected"], row["user_id"]],
}


@router.get(
    "/audience",
    summary="Whom streamers share, and which followers are slipping away",
    response_model=Table,
    responses=problems(400, 404),
)
async def get_audience(
    services: ServicesDep,
    wanted: Wanted,
    streamer_id: GraphIdQuery,
    *,
    other_id: GraphIdQuery | None = None,
    view: Annotated[
        View | None, Query(description="`overlap` by default where there is another streamer, else `nearest`")
    ] = None,
    since: Since = None,
    until: Until = None,
    category: Category = None,
    audience: Annotated[Audience, Query(description="Whose users make streamers alike")] = "watchers",
    by: Annotated[
        Literal["jaccard", "cosine", "embedding"],
        Query(description="Of audiences, or the cosine of the active release's vectors"),
    ] = "jaccard",
    min_shared: MinShared = 1,
    before: Annotated[
        str | None,
        Query(
            pattern=rf"^{DURATION_PATTERN}$",
            description="Length of the time before, with which watching is compared; the window's own",
        ),
    ] = None,
    min_seconds: Annotated[
        int, Query(ge=0, le=10**9, description="Only followers who watched so long before")
    ] = 600,
    max_share: Annotated[
        float, Query(ge=0, le=1, description="At risk is who watches no more of what is expected")
    ] = 0.5,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Compare a streamer's audience: followers, watchers or buyers, within the window.

    `nearest` has the streamers most like this one, `overlap` what it shares with another in each audience,
    `buyers` their exclusive and shared buyers, and `at_risk` the followers who watch far less in the window
    than in the time before. Followers are those of today. `details` says what there is to know beside it.
    """
    shown: View = view or ("overlap" if other_id else "nearest")
    asked = {
        "streamer_id": streamer_id,
        "other_id": other_id,
        "view": shown,
        "since": since,
        "until": until,
        "category": category,
        "audience": audience,
        "by": by,
        "min_shared": min_shared,
        "before": before,
        "min_seconds": min_seconds,
        "max_share": max_share,
        "limit": limit,
    }
    _check(asked)
    after = place_of(cursor, (int, float), str)
    window = window_of(since, until)
    streamers = await all_streamers(services.graph)
    for field in ("streamer_id", "other_id"):
        if asked[field] is not None and asked[field] not in streamers.indexes:
            raise unknown(field, str(asked[field]))
    rows, details = await rows_of(services, streamers, asked, window)
    rows, following = sorted_page(rows, limit, PLACES[shown], after=after)
    return table_response(
        wanted,
        "audience",
        parameters=asked,
        columns=COLUMNS[shown],
        rows=rows,
        next=following,
        details=details,
    )


def _check(asked: dict[str, Any]) -> None:
    """RequestValidationError for what the view needs and lacks, or can make nothing of."""
    view, other_id = asked["view"], asked["other_id"]
    is_of_two = view in ("overlap", "buyers")
    if is_of_two and other_id is None:
        raise invalid(f"{view} needs another streamer", "query", "other_id")
    if not is_of_two and other_id is not None:
        raise invalid(f"{view} is of one streamer alone", "query", "other_id")
    if other_id == asked["streamer_id"]:
        raise invalid("is the same streamer", "query", "other_id")
    for field in ("since", "until"):
        if view == "at_risk" and asked[field] is None:
            raise invalid("at_risk needs a window", "query", field)
    is_of_buyers = view == "nearest" and asked["audience"] == "buyers" and asked["by"] != "embedding"
    if asked["category"] is not None and not (is_of_two or is_of_buyers):
        raise invalid("only purchases have a category: ask for buyers", "query", "category")
