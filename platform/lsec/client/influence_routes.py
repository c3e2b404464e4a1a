"""One function an influence query: what it asks; each answers with a table."""

from collections.abc import Sequence
from datetime import datetime

from lsec.client.answers import Table
from lsec.client.exchange import Call, Flow, Parameter, fetch

READ_PATIENCE_S = 10.0
ESTIMATE_TIMEOUT_S = 300.0
"""Estimates wait for each other, and read many rows."""


def leaderboard(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    category: str | None = None,
    min_buyers: int = 1,
    limit: int = 20,
    cursor: str | None = None,
) -> Flow[Table]:
    """Streamers by what was bought with them, and by whom they reached."""
    narrowed = {"category": category, "min_buyers": min_buyers, "limit": limit, "cursor": cursor}
    return _ask("leaderboard", _window(since, until) | narrowed)


def product_streamers(
    product_id: str, *, since: datetime | None = None, until: datetime | None = None, limit: int = 20
) -> Flow[Table]:
    """The streamers behind one product."""
    return _ask("product-streamers", _window(since, until) | {"product_id": product_id, "limit": limit})


def paths(user_id: str, product_id: str, *, limit: int = 20) -> Flow[Table]:
    """The ways from a user to a product."""
    return _ask("paths", {"user_id": user_id, "product_id": product_id, "limit": limit})


def spread(
    product_id: str, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1000
) -> Flow[Table]:
    """How a product spreads over streamers and days."""
    return _ask("spread", _window(since, until) | {"product_id": product_id, "limit": limit})


def funnel(
    stream_id: str, *, since: datetime | None = None, until: datetime | None = None, limit: int = 1440
) -> Flow[Table]:
    """A stream, minute by minute."""
    return _ask("funnel", _window(since, until) | {"stream_id": stream_id, "limit": limit})


def influencers(
    user_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    category: str | None = None,
    limit: int = 20,
) -> Flow[Table]:
    """The streamers behind a user's purchases."""
    narrowed = {"user_id": user_id, "category": category, "limit": limit}
    return _ask("influencers", _window(since, until) | narrowed)


def attribution(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    window: str = "7d",
    models: Sequence[str] = (),
    half_life: str = "1d",
    category: str | None = None,
    min_purchases: float = 0,
    limit: int = 20,
    cursor: str | None = None,
) -> Flow[Table]:
    """The credit of streamers for purchases, a row for each streamer and model; all models by default.

    The window is `in_stream`, or a time such as 24h or 7d.
    """
    how: dict[str, Parameter] = {"window": window, "models": tuple(models) or None, "half_life": half_life}
    how |= {"category": category, "min_purchases": min_purchases, "limit": limit, "cursor": cursor}
    return _ask("attribution", _window(since, until) | how, timeout_s=ESTIMATE_TIMEOUT_S)


def lift(
    streamer_id: str,
    *,
    since: datetime,
    until: datetime,
    known: str = "4w",
    placebo: str | None = None,
) -> Flow[Table]:
    """What watching a streamer added to purchases; `details` has who was compared, and reasons for doubt.

    Who watched in the window is exposed; the users are known from a time of length `known` before the
    placebo, which is as long as the window when left out.
    """
    params = {"streamer_id": streamer_id, "known": known, "placebo": placebo}
    return _ask("lift", _window(since, until) | params, timeout_s=ESTIMATE_TIMEOUT_S)


def _ask(name: str, params: dict[str, Parameter], *, timeout_s: float = 60.0) -> Flow[Table]:
    call = Call("GET", f"/v1/influence/{name}", params, timeout_s=timeout_s)
    return fetch(call, Table, patience_s=READ_PATIENCE_S)


def _window(since: datetime | None, until: datetime | None) -> dict[str, Parameter]:
    return {"since": since.isoformat() if since else None, "until": until.isoformat() if until else None}
