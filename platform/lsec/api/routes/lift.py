"""Lift: what watching a streamer added to the purchases of those who did, against comparable users."""

from dataclasses import replace
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import Query, Response

from graph_schema.events import epoch_ms, moment_of
from lsec.api.dependencies import FIRST_MOMENT, Moment, ServicesDep, invalid
from lsec.api.openapi import problems
from lsec.api.stores.touches import (
    all_streamers,
    num_users,
    product_categories,
    purchases_and_touches,
    visitors,
)
from lsec.api.tables import (
    DURATION_PATTERN,
    Category,
    GraphIdQuery,
    Table,
    Wanted,
    duration_of,
    influence_router,
    table_response,
    unknown,
    window_of,
)
from lsec.core.comparison import Interval
from lsec.influence.exposure import WASHOUT_MS, Windows, compared_users
from lsec.influence.lift import MIN_PER_OUTCOME, Effect
from lsec.influence.rows import Int64, Purchases, Touches
from lsec.influence.streamer_lift import StreamerLift, streamer_lift

router = influence_router()
Rows = TypeVar("Rows", Purchases, Touches)

COLUMNS = (
    "period",
    "measure",
    "exposed",
    "comparable",
    "effect",
    "low",
    "high",
    "relative_effect",
    "naive_effect",
)


@router.get(
    "/lift",
    summary="What watching a streamer added to purchases",
    response_model=Table,
    responses=problems(400, 404),
)
async def get_lift(
    services: ServicesDep,
    wanted: Wanted,
    streamer_id: GraphIdQuery,
    since: Annotated[Moment, Query(description="Who watched from then on is exposed")],
    until: Annotated[Moment, Query(description="Who watched before is exposed; purchases count up to then")],
    *,
    known: Annotated[
        str,
        Query(pattern=rf"^{DURATION_PATTERN}$", description="Length of the time from which users are known"),
    ] = "4w",
    placebo: Annotated[
        str | None,
        Query(
            pattern=rf"^{DURATION_PATTERN}$",
            description="Length of the time just before, in which nothing can be found; as the window's own",
        ),
    ] = None,
    category: Category = None,
    min_buyers: Annotated[
        int, Query(ge=1, description="Buyers that each group needs to be believed, and as many others")
    ] = MIN_PER_OUTCOME,
) -> Response:
    """Compare the users who watched the streamer with users who did not and were alike before.

    The exposure adds `effect` to the share of users who buy and to purchases per user, with 95 % between
    `low` and `high`, refunds left out; `naive_effect` compares with everybody. With a category only its
    purchases count. The placebo's rows are the same from a time before the exposure, where the effect should
    be none. `details` has the users that were compared, their balance, and `reasons` against believing it. Of
    users who did not watch the streamer at most 50,000 are looked at, by lot.
    """
    asked = {
        "streamer_id": streamer_id,
        "since": since,
        "until": until,
        "known": known,
        "placebo": placebo,
        "category": category,
        "min_buyers": min_buyers,
    }
    window = window_of(since, until)
    windows = Windows.before(
        epoch_ms(window["since"]),
        epoch_ms(window["until"]),
        known=duration_of(known),
        placebo=None if placebo is None else duration_of(placebo),
    )
    if windows.known_since <= epoch_ms(FIRST_MOMENT):
        raise invalid("there is no time before it for the placebo and what is known", "query", "since")
    known_since = moment_of(windows.known_since)
    streamers = await all_streamers(services.graph)
    row = streamers.indexes.get(streamer_id)
    if row is None:
        raise unknown("streamer_id", streamer_id)
    touches_since = min(known_since, moment_of(windows.placebo_since - WASHOUT_MS))
    watched = await visitors(services.graph, streamer_id, since=touches_since, until=window["until"])
    users = compared_users(watched, await num_users(services.graph), seed=row)
    purchases, touches = await purchases_and_touches(
        services.graph,
        streamers,
        since=known_since,
        until=window["until"],
        touches_since=touches_since,
        follows_since=FIRST_MOMENT,
        category=category or "",
        in_shop=True,
        users=users,
    )
    found = await services.estimates.run(
        streamer_lift,
        row,
        _of_users(_kept(purchases), users),
        _of_users(touches, users),
        product_category=await product_categories(services.graph),
        num_users=len(users),
        windows=windows,
        min_per_outcome=min_buyers,
    )
    details = _details(found)
    return table_response(
        wanted, "lift", parameters=asked, columns=COLUMNS, rows=_rows(found), details=details
    )


def _kept(purchases: Purchases) -> Purchases:
    """The purchases that were not refunded."""
    kept = ~purchases.is_refunded
    return Purchases(**{name: getattr(purchases, name)[kept] for name in purchases.__slots__})


def _of_users(rows: Rows, users: Int64) -> Rows:
    """The rows with the users' places among those of the lift in place of their dense indexes."""
    return replace(rows, user=np.searchsorted(users, rows.user))


def _rows(found: StreamerLift) -> list[dict[str, Any]]:
    lift = found.lift
    added = lift.incremental_purchases
    rows = [
        _effect_row("exposure", "buy rate", lift.buy_rate),
        _effect_row("exposure", "purchases per user", lift.purchases),
        ("exposure", "incremental purchases", None, None, *_bounds(added), None, None),
        _effect_row("placebo", "buy rate", lift.placebo_buy_rate),
        _effect_row("placebo", "purchases per user", lift.placebo_purchases),
    ]
    return [{name: _finite(value) for name, value in zip(COLUMNS, row, strict=True)} for row in rows]


def _effect_row(period: str, measure: str, effect: Effect) -> tuple[Any, ...]:
    bounds = _bounds(effect.att)
    means = (effect.exposed, effect.comparable)
    return (period, measure, *means, *bounds, effect.relative, effect.naive_difference)


def _bounds(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


def _finite(value: Any) -> Any:
    """The value, null for what is not to be had: too few users have no bounds."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _details(found: StreamerLift) -> dict[str, Any]:
    lift = found.lift
    return {
        "is_believable": lift.is_believable,
        "reasons": list(lift.reasons),
        "num_exposed": lift.num_exposed,
        "num_unexposed": lift.num_unexposed,
        "num_exposed_left_out": lift.num_exposed_left_out,
        "effective_unexposed": round(lift.effective_unexposed, 1),
        "num_watched_before": found.num_watched_before,
        "num_unknown": found.num_unknown,
        "balance": [
            {
                "covariate": row.name,
                "exposed": row.exposed,
                "unexposed": row.unexposed,
                "difference_before": _finite(row.difference_before),
                "difference_after": _finite(row.difference_after),
            }
            for row in lift.balance
        ],
    }
