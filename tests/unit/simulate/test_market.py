"""The simulated market: the same for the same seed, in order, in the vocabulary, with what was planted."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from graph_schema.events import (
    EVENT_TYPES,
    Event,
    ProductUpserted,
    StreamerUpserted,
    UserBought,
    UserRefunded,
    UserUpserted,
    UserViewed,
    UserWatched,
)
from lsec.simulate import Market, live, simulate
from lsec.simulate.market import build_world, buys

SMALL = Market(num_users=80, num_streamers=10, num_products=120, num_days=6)


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return list(simulate(SMALL))


def test_the_same_seed_gives_the_same_events_and_another_seed_others(events: list[Event]) -> None:
    assert list(simulate(SMALL)) == events
    other = list(simulate(dataclasses.replace(SMALL, seed=8)))
    assert other != events
    assert not {event.event_id for event in other} & {event.event_id for event in events}


def test_event_ids_are_unique(events: list[Event]) -> None:
    assert len({event.event_id for event in events}) == len(events)


def test_events_come_in_time_order_within_the_markets_days(events: list[Event]) -> None:
    assert all(first.at <= second.at for first, second in pairwise(events))
    assert events[0].at == SMALL.start_at - timedelta(days=1)
    assert events[-1].at < SMALL.start_at + timedelta(days=SMALL.num_days)


def test_every_event_is_valid_in_the_vocabulary(events: list[Event]) -> None:
    decode = msgspec.json.Decoder(Event).decode
    assert [decode(msgspec.json.encode(event)) for event in events] == events


def test_the_market_speaks_of_everything_that_happens_without_recommendations(events: list[Event]) -> None:
    spoken = {str(type(event).__struct_config__.tag) for event in events}
    assert spoken == set(EVENT_TYPES) - {"user.impressed", "user.dismissed", "user.erased"}


def test_a_refund_names_an_earlier_purchase_of_the_same_user(events: list[Event]) -> None:
    purchases = {event.event_id: event for event in events if isinstance(event, UserBought)}
    refunds = [event for event in events if isinstance(event, UserRefunded)]
    assert refunds
    for refund in refunds:
        purchase = purchases[refund.purchase_event_id]
        assert purchase.user_id == refund.user_id
        assert purchase.at < refund.at


def test_people_buy_what_they_have_viewed_in_the_stream_and_after_it(events: list[Event]) -> None:
    viewed: set[tuple[str, str, str]] = set()
    places = Counter[bool]()
    for event in events:
        if isinstance(event, UserViewed):
            viewed.add((event.user_id, event.product_id, event.stream_id))
        elif isinstance(event, UserBought):
            assert (event.user_id, event.product_id, event.stream_id) in viewed
            assert bool(event.stream_id) == bool(event.streamer_id)
            places[bool(event.stream_id)] += 1
    assert min(places[True], places[False]) > 50


def test_everyone_has_a_record_before_anything_happens(events: list[Event]) -> None:
    first = events[: SMALL.num_users + SMALL.num_streamers + SMALL.num_products]
    kinds = Counter(type(event) for event in first)
    assert kinds == {
        UserUpserted: SMALL.num_users,
        StreamerUpserted: SMALL.num_streamers,
        ProductUpserted: SMALL.num_products,
    }


def test_a_heartbeat_is_at_most_five_minutes(events: list[Event]) -> None:
    seconds = [event.seconds for event in events if isinstance(event, UserWatched)]
    assert 1 <= min(seconds) <= max(seconds) == 300


def test_following_and_watching_raise_the_chance_to_buy_by_what_was_planted() -> None:
    market = Market(num_users=20_000, num_streamers=10, num_products=50)
    world, state = build_world(market, np.random.default_rng(1))
    user, product = np.arange(20_000), np.arange(20_000) % 50
    without, with_both = np.zeros(20_000, np.bool_), np.ones(20_000, np.bool_)
    state.follows[:] = False
    neither = buys(market, world, state, user, product, without, np.random.default_rng(2))
    state.follows[:] = True
    both = buys(market, world, state, user, product, with_both, np.random.default_rng(2))
    sold = np.isin(product, world.catalogue)
    assert both[sold].mean() > 1.4 * neither[sold].mean()
    assert np.all(both >= neither)


def test_taste_can_be_learned_so_popularity_is_beaten_by_far() -> None:
    purchases = [event for event in simulate(Market()) if isinstance(event, UserBought)]
    bought = np.zeros((400, 600))
    for event in purchases:
        bought[int(event.user_id.split("-")[1]), int(event.product_id.split("-")[1])] = 1
    held_out = bought * (np.random.default_rng(0).random(bought.shape) < 0.2)
    known = bought - held_out
    scaled = known / np.sqrt(
        np.maximum(1, known.sum(axis=1, keepdims=True)) * np.maximum(1, known.sum(axis=0))
    )
    left, values, right = np.linalg.svd(scaled, full_matrices=False)
    learned = (left[:, :12] * values[:12]) @ right[:12]
    popular = np.broadcast_to(known.sum(axis=0), known.shape)
    assert _recall_at_10(learned, known, held_out) > 2 * _recall_at_10(popular, known, held_out)


def _recall_at_10(
    scores: NDArray[np.float64], known: NDArray[np.float64], held_out: NDArray[np.float64]
) -> float:
    top = np.argsort(-np.where(known > 0, -np.inf, scores), axis=1)[:, :10]
    return float(np.take_along_axis(held_out, top, axis=1).sum() / held_out.sum())


def test_live_goes_on_at_the_time_of_asking_with_ids_of_its_own(events: list[Event]) -> None:
    moments = [datetime(2026, 3, 1, 12, minute, tzinfo=UTC) for minute in range(60)] * 20
    clock = iter(moments)
    trickle = list(islice(live(SMALL, now=lambda: next(clock)), 500))
    assert [event.at for event in trickle] == moments[1:501]
    assert not {event.event_id for event in trickle} & {event.event_id for event in events}
    purchases = {event.event_id for event in trickle if isinstance(event, UserBought)}
    refunds = [event for event in trickle if isinstance(event, UserRefunded)]
    assert all(refund.purchase_event_id in purchases for refund in refunds)


@pytest.mark.parametrize("wrong", [{"num_users": 0}, {"seed": -1}, {"start_at": datetime(2026, 1, 1)}])  # noqa: DTZ001 - the point
def test_a_market_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        Market(**wrong)  # type: ignore[arg-type] # mypy cannot see the keys


def test_the_smallest_market_has_a_day() -> None:
    assert list(simulate(Market(num_users=1, num_streamers=1, num_products=1, num_days=1)))
