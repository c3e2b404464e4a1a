"""Lists of events of all types, in a world so small that they meet in the same records."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from graph_schema import events as ev

START = datetime(2026, 6, 1, 23, 58, tzinfo=UTC)
USERS, STREAMERS, PRODUCTS, STREAMS = ("u1", "u2", "u3"), ("s1", "s2"), ("p1", "p2"), ("", "t1", "t2")
MOMENTS = [START + timedelta(seconds=30 * step, microseconds=400 * (step % 4)) for step in range(12)]
REPEATABLE = (
    ev.UserFollowed,
    ev.UserUnfollowed,
    ev.StreamStarted,
    ev.StreamEnded,
    ev.UserBought,
    ev.UserRefunded,
    ev.UserDismissed,
    ev.UserErased,
    ev.ProductUpserted,
    ev.UserUpserted,
    ev.StreamerUpserted,
)
"""Types that the graph itself protects from repetition; the log's window protects the counters."""

_users, _streamers, _products = map(st.sampled_from, (USERS, STREAMERS, PRODUCTS))
_streams, _moments = st.sampled_from(STREAMS), st.sampled_from(MOMENTS)
_small = st.integers(0, 3)


def _purchase(user_id: str, number: int) -> ev.UserBought:
    """A purchase that its id determines: a producer's retry sends the same again."""
    return ev.UserBought(
        event_id=f"buy-{user_id}-{number}",
        at=MOMENTS[(number * 5 + len(user_id)) % len(MOMENTS)],
        user_id=user_id,
        product_id=PRODUCTS[number % 2],
        streamer_id=STREAMERS[number % 2],
        stream_id=STREAMS[number % 3],
        quantity=number + 1,
        amount=100 * number,
    )


def _of(cls: type[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[ev.Event]:
    return st.builds(cls, event_id=st.just(""), at=_moments, **fields)


def _one_event(*, erasures: bool) -> st.SearchStrategy[ev.Event]:
    watching = {"user_id": _users, "streamer_id": _streamers, "stream_id": _streams}
    seeing = {"user_id": _users, "product_id": _products, "streamer_id": _streamers, "stream_id": _streams}
    kinds = [
        _of(ev.UserFollowed, user_id=_users, streamer_id=_streamers),
        _of(ev.UserUnfollowed, user_id=_users, streamer_id=_streamers),
        _of(ev.StreamStarted, streamer_id=_streamers, stream_id=st.sampled_from(STREAMS[1:])),
        _of(ev.StreamEnded, streamer_id=_streamers, stream_id=st.sampled_from(STREAMS[1:])),
        _of(ev.ProductShowcased, streamer_id=_streamers, product_id=_products, stream_id=_streams),
        _of(ev.UserWatched, seconds=st.integers(1, 60), **watching),
        _of(ev.UserEngaged, comments=_small, likes=_small, gifts=_small, shares=_small, **watching),
        _of(ev.UserViewed, **seeing),
        _of(ev.UserCarted, **seeing),
        st.builds(_purchase, _users, _small),
        _of(
            ev.UserImpressed, user_id=_users, product_id=_products, release_id=st.just("r1"), position=_small
        ),
        _of(ev.UserDismissed, user_id=_users, product_id=_products),
        _of(ev.UserUpserted, user_id=_users, name=st.sampled_from("ab")),
        _of(ev.StreamerUpserted, streamer_id=_streamers, name=st.sampled_from("ab")),
        _of(
            ev.ProductUpserted,
            product_id=_products,
            price=_small,
            categories=st.lists(st.sampled_from(["c1", "c2", "c3"]), max_size=3).map(tuple),
            expires_at=st.none() | _moments,
        ),
        st.builds(
            lambda user_id, number, at: ev.UserRefunded(
                event_id="", at=at, user_id=user_id, purchase_event_id=f"buy-{user_id}-{number}"
            ),
            _users,
            _small,
            _moments,
        ),
    ]
    if erasures:
        kinds.append(_of(ev.UserErased, user_id=_users))
    return st.one_of(kinds)


def event_lists(*, erasures: bool, max_size: int = 40) -> st.SearchStrategy[list[ev.Event]]:
    """Lists of events with their own ids, of which some have others' times."""
    return st.lists(_one_event(erasures=erasures), max_size=max_size).map(_with_ids)


def _with_ids(events: list[ev.Event]) -> list[ev.Event]:
    named = [
        event if event.event_id else replace_id(event, f"e{number:03}") for number, event in enumerate(events)
    ]
    return list({event.event_id: event for event in named}.values())


def replace_id(event: ev.Event, event_id: str) -> ev.Event:
    """The same event under another id."""
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return type(event)(**(fields | {"event_id": event_id}))
