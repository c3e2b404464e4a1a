"""A market's columns: they say what its events say, in any size and without a dense table."""

import dataclasses
import tracemalloc
from collections import Counter
from datetime import datetime

import numpy as np
import pytest

from graph_schema.events import (
    Event,
    ProductShowcased,
    StreamEnded,
    StreamStarted,
    UserBought,
    UserCarted,
    UserEngaged,
    UserFollowed,
    UserRefunded,
    UserUnfollowed,
    UserViewed,
    UserWatched,
    epoch_ms,
)
from lsec.simulate import Market, Rows, observe, simulate
from lsec.simulate.columns import NONE, names
from lsec.simulate.day import Run

SMALL = Market(num_users=80, num_streamers=10, num_products=120, num_days=6, bots=0.1)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return observe(SMALL)[0]


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return list(simulate(SMALL))


def row_of(id_: str) -> int:
    return int(id_.rsplit("-", 1)[1]) if id_ else NONE


def ms(at: datetime) -> int:
    return epoch_ms(at)


def counted(*columns: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Counter[tuple[int, ...]]:
    return Counter(zip(*(column.tolist() for column in columns), strict=True))


def test_the_same_market_gives_the_same_columns(rows: Rows) -> None:
    again = observe(SMALL)[0]
    for field in dataclasses.fields(Rows)[3:]:
        first, second = getattr(rows, field.name), getattr(again, field.name)
        assert all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names(first))


def test_every_column_holds_int64_of_one_length(rows: Rows) -> None:
    for field in dataclasses.fields(Rows)[3:]:
        part = getattr(rows, field.name)
        columns = [getattr(part, name) for name in names(part)]
        assert {column.dtype for column in columns} == {np.dtype(np.int64)}
        assert len({len(column) for column in columns}) == 1
        assert len(columns[0]) > 0


def test_views_and_carts_are_those_of_the_events(rows: Rows, events: list[Event]) -> None:
    for kind, part in ((UserViewed, rows.views), (UserCarted, rows.carts)):
        told = Counter(
            (row_of(e.user_id), row_of(e.product_id), row_of(e.streamer_id), row_of(e.stream_id), ms(e.at))
            for e in events
            if isinstance(e, kind)
        )
        assert told == counted(part.user, part.product, part.streamer, part.stream, part.at)


def test_purchases_are_those_of_the_events_by_their_number(rows: Rows, events: list[Event]) -> None:
    bought, found = rows.purchases, {e.event_id: e for e in events if isinstance(e, UserBought)}
    assert len(found) == len(bought.number)
    refunds = {e.purchase_event_id: ms(e.at) for e in events if isinstance(e, UserRefunded)}
    assert len(refunds) == bought.is_refunded.sum()
    for values in zip(*(getattr(bought, name).tolist() for name in names(bought)), strict=True):
        number, user, product, streamer, stream, at, quantity, amount, refunded_at = values
        event_id = f"sim-{SMALL.fingerprint}-p{number}"
        event = found[event_id]
        ids = (event.user_id, event.product_id, event.streamer_id, event.stream_id)
        assert tuple(map(row_of, ids)) == (user, product, streamer, stream)
        assert (ms(event.at), event.quantity, event.amount) == (at, quantity, amount)
        assert refunds.get(event_id, NONE) == refunded_at


def test_the_heartbeats_of_a_visit_make_up_its_seconds_from_its_beginning(
    rows: Rows, events: list[Event]
) -> None:
    seconds, first = Counter[tuple[int, int, int]](), dict[tuple[int, int, int], int]()
    for event in events:
        if isinstance(event, UserWatched):
            key = (row_of(event.user_id), row_of(event.streamer_id), row_of(event.stream_id))
            seconds[key] += event.seconds
            first.setdefault(key, ms(event.at) - 1000 * event.seconds)
    visits = rows.visits
    keys = list(zip(visits.user.tolist(), visits.streamer.tolist(), visits.stream.tolist(), strict=True))
    assert dict(seconds) == dict(zip(keys, visits.seconds.tolist(), strict=True))
    assert first == dict(zip(keys, visits.at.tolist(), strict=True))


def test_streams_showcases_follows_and_engagements_are_those_of_the_events(
    rows: Rows, events: list[Event]
) -> None:
    for kind, part in ((UserFollowed, rows.follows), (UserUnfollowed, rows.unfollows)):
        told = Counter(
            (row_of(e.user_id), row_of(e.streamer_id), ms(e.at)) for e in events if isinstance(e, kind)
        )
        assert told == counted(part.user, part.streamer, part.at)
    shown = Counter(
        (row_of(e.streamer_id), row_of(e.stream_id), row_of(e.product_id), ms(e.at))
        for e in events
        if isinstance(e, ProductShowcased)
    )
    shows = rows.showcases
    assert shown == counted(shows.streamer, shows.stream, shows.product, shows.at)
    said = Counter(
        (row_of(e.user_id), row_of(e.stream_id), ms(e.at), e.comments, e.likes, e.gifts, e.shares)
        for e in events
        if isinstance(e, UserEngaged)
    )
    acts = rows.engagements
    assert said == counted(
        acts.user, acts.stream, acts.at, acts.comments, acts.likes, acts.gifts, acts.shares
    )
    streams = rows.streams
    places = np.arange(len(streams.streamer))
    for moment, at in ((StreamStarted, streams.started_at), (StreamEnded, streams.ended_at)):
        told = Counter(
            (row_of(e.streamer_id), row_of(e.stream_id), ms(e.at)) for e in events if isinstance(e, moment)
        )
        assert told == counted(streams.streamer, places, at)


def test_a_stream_shows_what_its_streamer_sells_while_it_is_on(rows: Rows) -> None:
    shown, streams = rows.showcases, rows.streams
    assert np.array_equal(streams.streamer[shown.stream], shown.streamer)
    assert np.all(
        (shown.at >= streams.started_at[shown.stream]) & (shown.at < streams.ended_at[shown.stream])
    )
    catalogue = Run(SMALL).world.catalogue
    assert all(
        product in catalogue[streamer]
        for streamer, product in zip(shown.streamer.tolist(), shown.product.tolist(), strict=True)
    )


def test_visits_lie_within_their_streams(rows: Rows) -> None:
    visits, streams = rows.visits, rows.streams
    assert np.all(visits.at >= streams.started_at[visits.stream])
    assert np.all(visits.at + 1000 * visits.seconds <= streams.ended_at[visits.stream])
    assert visits.seconds.min() >= 1


def test_every_streamer_is_live_on_one_of_two_days(rows: Rows) -> None:
    assert np.bincount(rows.streams.streamer).tolist() == [SMALL.num_days // 2] * SMALL.num_streamers


def test_week_ends_are_busier_in_visits_and_in_openings() -> None:
    market = Market(num_users=1500, num_days=28)
    rows = observe(market)[0]
    for part in (rows.visits, rows.views):
        per_day = np.bincount((part.at - rows.start) // 86_400_000, minlength=28).reshape(4, 7).sum(axis=0)
        assert per_day[5:].mean() > 1.3 * per_day[:4].mean()  # the market begins on a Monday
    by_lot = observe(dataclasses.replace(market, confounding=0.0))[0].visits
    per_day = np.bincount((by_lot.at - rows.start) // 86_400_000, minlength=28).reshape(4, 7).sum(axis=0)
    assert per_day[5:].mean() == pytest.approx(per_day[:4].mean(), rel=0.05)


def test_a_users_visits_and_purchases_do_not_depend_on_how_many_others_there_are() -> None:
    few, many = (
        observe(Market(num_users=num, num_streamers=streamers, num_products=products, num_days=4))[0]
        for num, streamers, products in ((500, 20, 300), (4000, 300, 4000))
    )
    for name, tolerance in (("visits", 0.2), ("views", 0.2), ("purchases", 0.35)):
        per_user = [len(getattr(each, name).user) / num for each, num in ((few, 500), (many, 4000))]
        assert per_user[0] == pytest.approx(per_user[1], rel=tolerance)


def test_memory_grows_with_what_happens_and_not_with_users_times_streamers_or_products() -> None:
    def peak(market: Market) -> int:
        tracemalloc.start()
        for _ in zip(Run(market).days(), range(1), strict=False):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    few = peak(Market(num_users=4000, num_streamers=20, num_products=500))
    many = peak(Market(num_users=4000, num_streamers=2000, num_products=10_000))
    assert many < 60_000_000 < 4000 * 2000 * 8  # one table of floats over users and streamers
    assert peak(Market(num_users=16_000, num_streamers=20, num_products=500)) < 6 * few
