"""A simulated market as the rows of the graph that its events come to, worked out in columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from graph_schema.events import Event, ProductUpserted, StreamerUpserted, UserUpserted
from lsec.simulate.columns import NONE, join, keep
from lsec.simulate.day import Run
from lsec.simulate.emit import Emitter
from lsec.simulate.market import DAY_MS, MINUTE_MS, Ints, Market
from lsec.simulate.run import tables
from lsec.simulate.table import Kind, Table

Columns = dict[str, Ints]
"""Columns of one length by name: rows of users, streamers, products and streams; times in ms."""

USER_STREAMER, USER_PRODUCT = ("user", "streamer", "stream"), ("user", "product", "streamer", "stream")
COUNTERS = {
    "WATCHED": (Kind.WATCHED, USER_STREAMER, {"seconds": "amount"}),
    "ENGAGED": (
        Kind.ENGAGED,
        USER_STREAMER,
        {"comments": "amount", "likes": "count", "gifts": "gifts", "shares": "shares"},
    ),
    "VIEWED": (Kind.VIEWED, USER_PRODUCT, {}),
    "CARTED": (Kind.CARTED, USER_PRODUCT, {}),
}
"""Of a day: relationship → its events, what it is one for, and what of them is summed, else their number."""
RECORDS = (Kind.USER, Kind.STREAMER, Kind.PRODUCT)
OF_MINUTES = (Kind.WATCHED, Kind.VIEWED, Kind.CARTED, Kind.BOUGHT)


@dataclass(frozen=True, slots=True, eq=False)
class MarketRows:
    """The rows of a graph: each day's counters by relationship and as `Minute`, and what is of no day."""

    prefix: str
    num_users: int
    records: dict[str, Event]
    """By id, the last record of everyone and everything, in the order of their coming."""
    days: list[dict[str, Columns]]
    whole: dict[str, Columns]
    """FOLLOWS, UNFOLLOWED, SELLS, SHOWCASED, BOUGHT and Stream."""


def market_rows(market: Market, *, users_each: int = 1) -> MarketRows:
    """The graph's rows of a market, whose users each stand for as many of the graph.

    Those take turns: each is there on every `users_each`-th day. So few events make many users and days.
    """
    run = Run(market)
    emitter = Emitter(market, run.world, market.fingerprint)
    records: dict[str, Event] = {}
    days: list[dict[str, Columns]] = []
    others: list[Table] = []
    num_events = 0
    for table in tables(run):
        if not days:
            table = _with_all_users(table, users_each)
        table = replace(table, user=_in_turns(table, users_each))
        number = num_events + np.cumsum(table.kind != Kind.BOUGHT)
        is_record = np.isin(table.kind, RECORDS)
        for event, at in zip(emitter.events(keep(table, is_record)), number[is_record] - 1, strict=True):
            event_id = f"sim-{market.fingerprint}-{at}"
            records[_subject(event)] = msgspec.structs.replace(event, event_id=event_id)
        num_events = int(number[-1])
        days.append(_counters(table) | {"Minute": _minutes(table)})
        others.append(keep(table, ~is_record & ~np.isin(table.kind, [each[0] for each in COUNTERS.values()])))
    whole = _whole(join(Table, others))
    return MarketRows(market.fingerprint, market.num_users * users_each, records, days, whole)


def _with_all_users(table: Table, users_each: int) -> Table:
    """The records with those of all users of the graph."""
    is_user = table.kind == Kind.USER
    users = keep(table, np.repeat(np.flatnonzero(is_user), users_each))
    before = int(np.argmax(is_user))
    return join(
        Table,
        [
            keep(table, np.arange(before)),
            replace(users, user=np.arange(len(users.at))),
            keep(table, np.flatnonzero(~is_user)[before:]),
        ],
    )


def _in_turns(table: Table, users_each: int) -> Ints:
    """The graph's user of each event: one for all of a day, and one for a streamer's follow and its end."""
    is_follow = np.isin(table.kind, (Kind.FOLLOWED, Kind.UNFOLLOWED))
    turn = np.where(is_follow, table.streamer, table.at // DAY_MS)
    user = table.user * users_each + (table.user + turn) % users_each
    return np.where((table.kind == Kind.USER) | (table.user == NONE), table.user, user)


def _subject(event: Event) -> str:
    match event:
        case UserUpserted():
            return event.user_id
        case StreamerUpserted():
            return event.streamer_id
        case ProductUpserted():
            return event.product_id
    raise ValueError(f"{event} is no record")


def counted(rows: Columns, keys: Sequence[str]) -> Columns:
    """One row for each key, by key: the earliest `first_at`, the latest `last_at`, and sums of the rest."""
    order = np.lexsort([rows[name] for name in reversed(keys)])
    in_order = {name: column[order] for name, column in rows.items()}
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = np.any([in_order[name][1:] != in_order[name][:-1] for name in keys], axis=0)
    begin = np.flatnonzero(is_first)
    if not len(begin):
        return in_order
    folds = dict.fromkeys(keys, np.minimum) | {"first_at": np.minimum, "last_at": np.maximum}
    return {name: folds.get(name, np.add).reduceat(column, begin) for name, column in in_order.items()}


def _counters(table: Table) -> dict[str, Columns]:
    return {
        name: _of_kind(table, kind, keys, {field: getattr(table, source) for field, source in sums.items()})
        for name, (kind, keys, sums) in COUNTERS.items()
    }


def _of_kind(table: Table, kind: Kind, keys: Sequence[str], sums: Columns) -> Columns:
    chosen = table.kind == kind
    columns = {name: getattr(table, name) for name in keys}
    columns |= sums or {"count": np.ones(len(chosen), dtype=np.int64)}
    columns |= {"first_at": table.at, "last_at": table.at}
    return counted({name: column[chosen] for name, column in columns.items()}, keys)


def _minutes(table: Table) -> Columns:
    """The minutes of streams in which anything came, and what: a row of watching joined once, at first."""
    seen = keep(table, np.isin(table.kind, OF_MINUTES) & (table.stream != NONE))
    watched = _counters(seen)["WATCHED"]
    rows = {"stream": seen.stream, "minute": seen.at // MINUTE_MS, "joined": np.zeros(len(seen.at), np.int64)}
    rows |= {kind.name.lower(): (seen.kind == kind).astype(np.int64) for kind in OF_MINUTES[1:]}
    joined = {"stream": watched["stream"], "minute": watched["first_at"] // MINUTE_MS}
    joined |= {
        name: np.full(len(joined["stream"]), int(name == "joined")) for name in rows if name not in joined
    }
    return counted({name: np.concatenate([rows[name], joined[name]]) for name in rows}, ("stream", "minute"))


def _whole(table: Table) -> dict[str, Columns]:
    bought = keep(table, table.kind == Kind.BOUGHT)
    refunds = keep(table, table.kind == Kind.REFUNDED)
    refunded_at = np.full(len(bought.at), NONE)
    by_number = np.argsort(bought.number)
    refunded_at[by_number[np.searchsorted(bought.number, refunds.number, sorter=by_number)]] = refunds.at
    names = ("user", "product", "streamer", "stream", "at", "number", "count", "amount")
    return {
        **_follow_states(table),
        "SELLS": _of_kind(table, Kind.SHOWCASED, ("streamer", "product"), {}),
        "SHOWCASED": _of_kind(table, Kind.SHOWCASED, ("stream", "product"), {}),
        "BOUGHT": {name: getattr(bought, name) for name in names} | {"refunded_at": refunded_at},
        "Stream": _streams(table),
    }


def _follow_states(table: Table) -> dict[str, Columns]:
    """The last word of each user on each streamer; an unfollow counts later than a follow of its moment."""
    acts = keep(table, np.isin(table.kind, (Kind.FOLLOWED, Kind.UNFOLLOWED)))
    is_unfollow = acts.kind == Kind.UNFOLLOWED
    order = np.lexsort((is_unfollow, acts.at, acts.streamer, acts.user))
    user, streamer = acts.user[order], acts.streamer[order]
    is_last = np.ones(len(order), dtype=np.bool_)
    is_last[:-1] = (user[1:] != user[:-1]) | (streamer[1:] != streamer[:-1])
    last, is_unfollow = order[is_last], is_unfollow[order[is_last]]
    names = ("user", "streamer", "at")
    return {
        "FOLLOWS": {name: getattr(acts, name)[last[~is_unfollow]] for name in names},
        "UNFOLLOWED": {name: getattr(acts, name)[last[is_unfollow]] for name in names},
    }


def _streams(table: Table) -> Columns:
    """Streams by number, which every one of them has; NONE for the end of one that goes on."""
    started, ended = (keep(table, table.kind == kind) for kind in (Kind.STARTED, Kind.ENDED))
    order = np.argsort(started.stream)
    ended_at = np.full(len(order), NONE)
    ended_at[ended.stream] = ended.at
    return {
        "stream": started.stream[order],
        "streamer": started.streamer[order],
        "started_at": started.at[order],
        "ended_at": ended_at,
    }
