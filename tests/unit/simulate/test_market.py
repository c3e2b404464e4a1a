"""The simulated market's events: the same for the same seed, in order, in the vocabulary."""

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
    UserEngaged,
    UserRefunded,
    UserUpserted,
    UserViewed,
    UserWatched,
)
from lsec.simulate import Market, live, simulate

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


def test_nothing_happens_in_a_stream_before_its_viewer_is_said_to_watch(events: list[Event]) -> None:
    watching: set[tuple[str, str]] = set()
    for event in events:
        if isinstance(event, UserWatched):
            watching.add((event.user_id, event.stream_id))
        elif isinstance(event, UserViewed | UserEngaged | UserBought) and event.stream_id:
            assert (event.user_id, event.stream_id) in watching


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


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"num_users": 0}, "num_users must be from 1"),
        ({"num_products": 10**9}, "num_products must be from 1 to 1,000,000"),
        ({"seed": -1}, "seed must not be negative"),
        ({"start_at": datetime(2026, 1, 1)}, "start_at needs a time zone"),  # noqa: DTZ001 - the point
        ({"start_at": datetime(1999, 1, 1, tzinfo=UTC)}, "start_at must be from 2000-01-02"),
        ({"start_at": datetime(9999, 12, 30, tzinfo=UTC)}, "start_at must be from 2000-01-02"),
        ({"confounding": float("nan")}, "confounding must be from 0 to 2"),
        ({"influence": 9.0}, "influence must be from -2 to 3"),
        ({"bots": 0.6}, r"bots must be from 0 to 0\.5"),
        ({"silenced": (30,)}, "silenced must name rows below 30"),
    ],
)
def test_a_market_that_cannot_be_is_refused_by_name(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Market(**wrong)  # type: ignore[arg-type] # mypy cannot see the keys


def test_the_smallest_market_has_a_day() -> None:
    assert list(simulate(Market(num_users=1, num_streamers=1, num_products=1, num_days=1)))


def test_a_market_of_one_streamer_and_bots_has_days() -> None:
    for seed in range(3):
        assert list(simulate(Market(seed=seed, num_users=5, num_streamers=1, num_products=3, bots=0.5)))
