"""One function an influence query: what it asks; each answers with a table, also as a polars frame."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from lsec.client.answers import Table
from lsec.client.exchange import READ_PATIENCE_S, Call, Flow, Parameter, fetch

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
    return _ask(
        "leaderboard", since, until, category=category, min_buyers=min_buyers, limit=limit, cursor=cursor
    )


def product_streamers(
    product_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    min_buyers: int = 0,
    limit: int = 20,
    cursor: str | None = None,
) -> Flow[Table]:
    """The streamers behind one product."""
    return _ask(
        "product-streamers",
        since,
        until,
        product_id=product_id,
        min_buyers=min_buyers,
        limit=limit,
        cursor=cursor,
    )


def paths(
    user_id: str,
    product_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    min_shared: int = 1,
    limit: int = 20,
    cursor: str | None = None,
) -> Flow[Table]:
    """The ways from a user to a product; `min_shared` is of the purchases shared with a user alike."""
    return _ask(
        "paths",
        since,
        until,
        user_id=user_id,
        product_id=product_id,
        min_shared=min_shared,
        limit=limit,
        cursor=cursor,
    )


def spread(
    product_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    min_buyers: int = 0,
    limit: int = 1000,
    cursor: str | None = None,
) -> Flow[Table]:
    """How a product spreads over streamers and days."""
    return _ask(
        "spread", since, until, product_id=product_id, min_buyers=min_buyers, limit=limit, cursor=cursor
    )


def funnel(
    stream_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 1440,
    cursor: str | None = None,
) -> Flow[Table]:
    """A stream, minute by minute."""
    return _ask("funnel", since, until, stream_id=stream_id, limit=limit, cursor=cursor)


def influencers(
    user_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    category: str | None = None,
    min_purchases: int = 0,
    limit: int = 20,
    cursor: str | None = None,
) -> Flow[Table]:
    """The streamers behind a user's purchases."""
    return _ask(
        "influencers",
        since,
        until,
        user_id=user_id,
        category=category,
        min_purchases=min_purchases,
        limit=limit,
        cursor=cursor,
    )


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
    return _ask(
        "attribution",
        since,
        until,
        timeout_s=ESTIMATE_TIMEOUT_S,
        window=window,
        models=tuple(models) or None,
        half_life=half_life,
        category=category,
        min_purchases=min_purchases,
        limit=limit,
        cursor=cursor,
    )


def lift(
    streamer_id: str,
    *,
    since: datetime,
    until: datetime,
    known: str = "4w",
    placebo: str | None = None,
    category: str | None = None,
    min_buyers: int = 10,
) -> Flow[Table]:
    """What watching a streamer added to purchases; `details` has who was compared, and reasons for doubt.

    Who watched in the window is exposed; the users are known from a time of length `known` before the
    placebo, which is as long as the window when left out. With a category only its purchases count.
    """
    return _ask(
        "lift",
        since,
        until,
        timeout_s=ESTIMATE_TIMEOUT_S,
        streamer_id=streamer_id,
        known=known,
        placebo=placebo,
        category=category,
        min_buyers=min_buyers,
    )


def audience(
    streamer_id: str,
    *,
    other_id: str | None = None,
    view: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    category: str | None = None,
    audience: str = "watchers",
    by: str = "jaccard",
    min_shared: int = 1,
    before: str | None = None,
    min_seconds: int = 600,
    max_share: float = 0.5,
    limit: int = 20,
    cursor: str | None = None,
) -> Flow[Table]:
    """A streamer's audience: streamers `nearest`, `overlap` or `buyers` with another, or followers `at_risk`.

    The audience that makes streamers near is followers, watchers or buyers, and alike by jaccard, cosine or
    the active release's embedding. For followers at risk the window must be given.
    """
    return _ask(
        "audience",
        since,
        until,
        timeout_s=ESTIMATE_TIMEOUT_S,
        streamer_id=streamer_id,
        other_id=other_id,
        view=view,
        category=category,
        audience=audience,
        by=by,
        min_shared=min_shared,
        before=before,
        min_seconds=min_seconds,
        max_share=max_share,
        limit=limit,
        cursor=cursor,
    )


def seeds(
    product_id: str,
    *,
    k: int = 5,
    budget: float | None = None,
    default_cost: float = 1,
    costs: Mapping[str, float] | None = None,
    among: str = "all",
    since: datetime | None = None,
    until: datetime | None = None,
    category: str | None = None,
    min_audience: int = 1,
) -> Flow[Table]:
    """The streamers who together reach the most users for a product; `details` has the bound.

    They are chosen among `all` or its `sellers`: at most k of them, and within the budget. Costs are by id,
    `default_cost` for the others.
    """
    return _ask(
        "seeds",
        since,
        until,
        timeout_s=ESTIMATE_TIMEOUT_S,
        product_id=product_id,
        k=k,
        budget=budget,
        default_cost=default_cost,
        cost=tuple(f"{id_}={amount}" for id_, amount in (costs or {}).items()) or None,
        among=among,
        category=category,
        min_audience=min_audience,
    )


def paper(
    *,
    since: datetime,
    until: datetime,
    category: str | None = None,
    neighbours: int | None = None,
    max_followed_sellers: int = 4,
    min_purchases: int = 0,
) -> Flow[Table]:
    """How purchase probability depends on following and on the streamer selling, beside its controls."""
    return _ask(
        "paper",
        since,
        until,
        timeout_s=ESTIMATE_TIMEOUT_S,
        category=category,
        neighbours=neighbours,
        max_followed_sellers=max_followed_sellers,
        min_purchases=min_purchases,
    )


def _ask(
    name: str,
    since: datetime | None,
    until: datetime | None,
    *,
    timeout_s: float = 60.0,
    **params: Parameter,
) -> Flow[Table]:
    """The table of a query; parameters that are None are not sent."""
    window = {"since": since.isoformat() if since else None, "until": until.isoformat() if until else None}
    call = Call("GET", f"/v1/influence/{name}", window | params, timeout_s=timeout_s)
    return fetch(call, Table, patience_s=READ_PATIENCE_S)
