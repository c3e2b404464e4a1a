"""Any order, any repetition and any batching of events give the graph that the rules say."""

import itertools
from collections.abc import Sequence
from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from graph_schema.events import (
    Event,
    UserDismissed,
    UserErased,
    UserFollowed,
    UserImpressed,
    UserUnfollowed,
    UserViewed,
    UserWatched,
)
from tests.unit.ingest.event_lists import MOMENTS, REPEATABLE, event_lists
from tests.unit.ingest.expected_graph import OF_MINUTES, Graph, expected_graph
from tests.unit.ingest.graph_model import GraphModel
from workers.ingest.aggregate import aggregate, changed_ids


def merged(batches: Sequence[Sequence[Event]], *, minutes: bool = True) -> Graph:
    model = GraphModel()
    for batch in batches:
        model.apply(batch)
    return {key: record for key, record in model.graph.items() if minutes or key[0] not in OF_MINUTES}


def cut(events: Sequence[Event], places: Sequence[int]) -> list[Sequence[Event]]:
    marks = [0, *sorted(place % (len(events) + 1) for place in places), len(events)]
    return [events[start:end] for start, end in itertools.pairwise(marks)]


@settings(max_examples=300)
@given(st.data(), event_lists(erasures=False), st.lists(st.integers(0, 60), max_size=6))
def test_any_order_repetition_and_batching_give_the_same_graph(
    data: st.DataObject, events: list[Event], places: list[int]
) -> None:
    repeated = events + [event for event in events if isinstance(event, REPEATABLE)]
    shuffled = data.draw(st.permutations(repeated))
    assert merged(cut(shuffled, places)) == expected_graph(events)


@settings(max_examples=300)
@given(st.data(), event_lists(erasures=True), st.lists(st.integers(0, 60), max_size=6))
def test_an_erasure_may_come_at_any_place_too(
    data: st.DataObject, events: list[Event], places: list[int]
) -> None:
    repeated = events + [event for event in events if isinstance(event, REPEATABLE)]
    shuffled = data.draw(st.permutations(repeated))
    expected = {key: record for key, record in expected_graph(events).items() if key[0] not in OF_MINUTES}
    assert merged(cut(shuffled, places), minutes=False) == expected


def test_a_tie_of_follow_and_unfollow_unfollows() -> None:
    follow: Event = UserFollowed(event_id="a", at=MOMENTS[0], user_id="u", streamer_id="s")
    unfollow: Event = UserUnfollowed(event_id="b", at=MOMENTS[0], user_id="u", streamer_id="s")
    for order in ([follow, unfollow], [unfollow, follow]):
        assert ("UNFOLLOWED", "u", "s") in merged([order])
        assert ("FOLLOWS", "u", "s") not in merged([[order[0]], [order[1]]])


def test_an_earlier_heartbeat_moves_the_minute_of_joining() -> None:
    late, early = (
        UserWatched(event_id=name, at=at, user_id="u", streamer_id="s", stream_id="t", seconds=5)
        for name, at in (("a", MOMENTS[3]), ("b", MOMENTS[0]))
    )
    minutes = {
        key[2]: record["num_joined"]
        for key, record in merged([[late], [early]]).items()
        if key[0] == "Minute"
    }
    assert sorted(minutes.values()) == [0, 1]
    assert minutes[min(minutes)] == 1


def test_an_erased_users_events_of_the_same_batch_are_dropped_but_what_they_name_stays() -> None:
    view = UserViewed(event_id="a", at=MOMENTS[0], user_id="u", product_id="p")
    batch = aggregate([view, UserErased(event_id="b", at=MOMENTS[0], user_id="u")], {})
    assert batch.users == set()
    assert batch.viewed == {}
    assert batch.products == {"p"}


def test_an_erasure_never_moves_back() -> None:
    later = date(2030, 1, 1)
    batch = aggregate([UserErased(event_id="b", at=MOMENTS[0], user_id="u")], {"u": later})
    assert batch.erasures == {"u": later}


@given(event_lists(erasures=True))
def test_every_user_of_a_batch_counts_as_changed(events: list[Event]) -> None:
    users = {user_id for event in events if (user_id := getattr(event, "user_id", ""))}
    assert {name for kind, name in changed_ids(events) if kind in ("user", "shown")} == users


def test_a_user_who_is_only_shown_or_dismisses_something_keeps_their_taste() -> None:
    of_u: dict[str, Any] = {"at": MOMENTS[0], "user_id": "u", "product_id": "p"}
    shown = UserImpressed(event_id="i", release_id="r", position=1, **of_u)
    dismissed = UserDismissed(event_id="d", **of_u)
    viewed = UserViewed(event_id="v", at=MOMENTS[0], user_id="w", product_id="p")
    assert changed_ids([shown, dismissed, viewed], []) == [("shown", "u"), ("user", "w")]


def test_products_that_an_event_may_have_made_count_as_changed() -> None:
    viewed = UserViewed(event_id="v", at=MOMENTS[0], user_id="w", product_id="p")
    assert ("product", "p") not in changed_ids([viewed], [])
    assert ("product", "p") in changed_ids([viewed], ["p"])
    assert ("product", "p") in changed_ids([viewed])
