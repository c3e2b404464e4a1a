"""Attribution: the credit for purchases, shared by several models over the streamers before them."""

from typing import Annotated, Any

import numpy as np
from fastapi import Query, Response

from lsec.api.dependencies import ServicesDep
from lsec.api.stores.touches import Streamers, all_streamers, purchases_and_touches, touched_since
from lsec.api.tables import (
    DURATION_PATTERN,
    Category,
    Cursor,
    Since,
    Table,
    Until,
    Wanted,
    cursor_of,
    duration_of,
    influence_router,
    place_of,
    table_response,
    window_of,
)
from lsec.influence.attribution import NOBODY, CreditTable, Model, attribute
from lsec.influence.paths import IN_STREAM, Window

router = influence_router()

COLUMNS = (
    "streamer_id",
    "name",
    "model",
    "purchases",
    "amount",
    "refunded_purchases",
    "refunded_amount",
)
NOBODY_NAME = "nobody"


@router.get(
    "/attribution", summary="The credit of streamers for purchases, by several models", response_model=Table
)
async def get_attribution(
    services: ServicesDep,
    wanted: Wanted,
    *,
    since: Since = None,
    until: Until = None,
    window: Annotated[
        str,
        Query(
            pattern=rf"^({IN_STREAM}|{DURATION_PATTERN})$",
            description="How far back from a purchase a touch counts, such as 24h or 7d; or its stream alone",
        ),
    ] = "7d",
    models: Annotated[list[Model] | None, Query(description="All by default", max_length=len(Model))] = None,
    half_life: Annotated[
        str, Query(pattern=rf"^{DURATION_PATTERN}$", description="Of a touch under time decay")
    ] = "1d",
    category: Category = None,
    min_purchases: Annotated[
        float, Query(ge=0, le=1e9, description="Only streamers whom a model gives the credit for so many")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most streamers")] = 20,
    cursor: Cursor = None,
) -> Response:
    """Share each purchase in the window over the follows, watches, views and engagements before it.

    A row for each streamer and model, those with the most credit first; in each model a purchase's credits
    sum to one. Refunds take credit back, and stand apart. The first row is nobody's: purchases without a
    touch. `next` is the cursor of the streamers that follow.
    """
    asked = {
        "since": since,
        "until": until,
        "window": window,
        "models": models,
        "half_life": half_life,
        "category": category,
        "min_purchases": min_purchases,
        "limit": limit,
    }
    after = place_of(cursor, (int, float), str)
    chosen = tuple(dict.fromkeys(models or Model))
    back: Window = IN_STREAM if window == IN_STREAM else duration_of(window)
    period = window_of(since, until)
    streamers = await all_streamers(services.graph)
    purchases, touches = await purchases_and_touches(
        services.graph,
        streamers,
        since=period["since"],
        until=period["until"],
        touches_since=touched_since(period["since"], back),
        follows_since=touched_since(period["since"], back),
        category=category or "",
        in_stream=back == IN_STREAM,
        buyers_only=Model.MARKOV not in chosen,
    )
    credits_ = await services.estimates.run(
        attribute, purchases, touches, window=back, models=chosen, half_life=duration_of(half_life)
    )
    rows, following = _page(credits_, streamers, min_purchases=min_purchases, after=after, limit=limit)
    return table_response(wanted, "attribution", parameters=asked, columns=COLUMNS, rows=rows, next=following)


def _page(
    credits_: CreditTable,
    streamers: Streamers,
    *,
    min_purchases: float,
    after: list[Any] | None,
    limit: int,
) -> tuple[list[dict[str, Any]], str | None]:
    """The rows of the streamers after a place, and the cursor of those that follow.

    The order is by the credit of all models together, then by id; nobody's rows stand on the first page.
    """
    # To where sums in another order differ, so that a cursor finds its place again.
    total = np.round(credits_.net_purchases.sum(axis=1), 6)
    most = credits_.gross_purchases.max(axis=1, initial=0)
    ordered = sorted(
        (-float(total[row]), streamers.ids[index], row)
        for row, index in enumerate(credits_.streamer.tolist())
        if index in streamers.ids and most[row] >= min_purchases
    )
    if after is not None:
        ordered = [place for place in ordered if (place[0], place[1]) > (-after[0], after[1])]
    shown, more = ordered[:limit], len(ordered) > limit
    following = cursor_of([-shown[-1][0], shown[-1][1]]) if more else None
    places = [row for _, _, row in shown]
    if after is None:
        places = [*np.flatnonzero(credits_.streamer == NOBODY).tolist(), *places]
    return [row for place in places for row in _rows(credits_, place, streamers)], following


def _rows(credits_: CreditTable, place: int, streamers: Streamers) -> list[dict[str, Any]]:
    index = int(credits_.streamer[place])
    figures = zip(
        credits_.models,
        credits_.net_purchases[place].tolist(),
        credits_.net_amount[place].tolist(),
        credits_.refunded_purchases[place].tolist(),
        credits_.refunded_amount[place].tolist(),
        strict=True,
    )
    who = (streamers.ids.get(index), streamers.names.get(index, NOBODY_NAME))
    return [dict(zip(COLUMNS, (*who, *each), strict=True)) for each in figures]
