"""A day's columns as one table of events in time order, and the table as events."""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from lsec.simulate.columns import (
    NONE,
    Engagements,
    Follows,
    Purchases,
    Showcases,
    Views,
    Visits,
    join,
    keep,
    names,
)
from lsec.simulate.day import Day
from lsec.simulate.market import SECOND_MS, Ints

FIRST_HEARTBEAT_S = 5
"""A player says at once that somebody watches, so nothing in a stream comes before the first word of it."""
HEARTBEAT_S = 300


class Kind(IntEnum):
    """The kinds of events; those of the same millisecond come in this order."""

    USER = 0
    STREAMER = 1
    PRODUCT = 2
    UNFOLLOWED = 3
    FOLLOWED = 4
    STARTED = 5
    SHOWCASED = 6
    WATCHED = 7
    ENGAGED = 8
    VIEWED = 9
    CARTED = 10
    BOUGHT = 11
    REFUNDED = 12
    ENDED = 13


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Events, each [N]; what a kind does not have is -1."""

    at: Ints
    kind: Ints
    user: Ints
    streamer: Ints
    stream: Ints
    product: Ints
    number: Ints
    """Of the purchase."""
    amount: Ints
    """Money, or seconds, or comments."""
    count: Ints
    """Pieces, or likes."""
    gifts: Ints
    shares: Ints


def table(kind: Kind, at: Ints, **columns: Ints) -> Table:
    """A table of one kind."""
    num = len(at)
    rest = {field.name: columns.get(field.name, np.full(num, NONE)) for field in fields(Table)}
    return Table(**(rest | {"at": at, "kind": np.full(num, int(kind))}))


def of_day(day: Day) -> Table:
    """The day's events, also those that fall on later days; in order of kinds, not of time."""
    streams = day.streams
    row = day.first_stream + np.arange(len(streams.streamer))
    return join(
        Table,
        [
            table(Kind.PRODUCT, np.full(len(day.priced), day.midnight), product=day.priced, amount=day.price),
            of_rows(Kind.UNFOLLOWED, day.unfollows),
            of_rows(Kind.FOLLOWED, day.follows),
            table(Kind.STARTED, streams.started_at, streamer=streams.streamer, stream=row),
            of_rows(Kind.SHOWCASED, day.showcases),
            _heartbeats(day.visits),
            _engagements(day.engagements),
            of_rows(Kind.VIEWED, day.views),
            of_rows(Kind.CARTED, day.carts),
            _purchases(day.purchases),
            _refunds(day.purchases),
            table(Kind.ENDED, streams.ended_at, streamer=streams.streamer, stream=row),
        ],
    )


def of_rows(kind: Kind, rows: Follows | Showcases | Views) -> Table:
    """Rows whose columns are called as the table's, as events."""
    return table(kind, **{name: getattr(rows, name) for name in names(rows)})


def in_time(events: Table, end: int) -> tuple[Table, Table]:
    """The events before the end in time order, and the others."""
    now = np.flatnonzero(events.at < end)
    order = now[np.argsort(events.at[now], kind="stable")]
    return keep(events, order), keep(events, events.at >= end)


def _heartbeats(visits: Visits) -> Table:
    """A visit's seconds in parts, each told at its end: the first after five seconds, then every 300."""
    num = 1 + -(-np.maximum(0, visits.seconds - FIRST_HEARTBEAT_S) // HEARTBEAT_S)
    visit = np.repeat(np.arange(len(num)), num)
    part = np.arange(len(visit)) - np.repeat(np.cumsum(num) - num, num)
    seconds = visits.seconds[visit]
    until = np.minimum(FIRST_HEARTBEAT_S + part * HEARTBEAT_S, seconds)
    since = np.where(part == 0, 0, FIRST_HEARTBEAT_S + (part - 1) * HEARTBEAT_S)
    return table(
        Kind.WATCHED,
        visits.at[visit] + until * SECOND_MS,
        user=visits.user[visit],
        streamer=visits.streamer[visit],
        stream=visits.stream[visit],
        amount=until - since,
    )


def _engagements(acts: Engagements) -> Table:
    return table(
        Kind.ENGAGED,
        acts.at,
        user=acts.user,
        streamer=acts.streamer,
        stream=acts.stream,
        amount=acts.comments,
        count=acts.likes,
        gifts=acts.gifts,
        shares=acts.shares,
    )


def _purchases(purchases: Purchases) -> Table:
    return table(
        Kind.BOUGHT,
        purchases.at,
        user=purchases.user,
        product=purchases.product,
        streamer=purchases.streamer,
        stream=purchases.stream,
        number=purchases.number,
        amount=purchases.amount,
        count=purchases.quantity,
    )


def _refunds(purchases: Purchases) -> Table:
    some = keep(purchases, purchases.is_refunded)
    return table(Kind.REFUNDED, some.refunded_at, user=some.user, number=some.number)
