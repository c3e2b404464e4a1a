"""Places of the live feed, and entries of the log as it reads them."""

from datetime import UTC, datetime

import pytest

from graph_schema.events import Event, UserDismissed, UserViewed
from lsec.api.stores.live_chunks import Place, Wanted, parse_token, read_chunk, token_of
from lsec.core.errors import InvalidInput
from lsec.core.event_log import decode_chunk, encode_chunk, split_chunk

AT = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS: list[Event] = [
    UserViewed(event_id="e1", at=AT, user_id="u1", product_id="p1", streamer_id="s1"),
    UserDismissed(event_id="e2", at=AT, user_id="u2", product_id="p1"),
]


def entry(chunk: bytes, *, num_events: int = 2, total: int = 10) -> dict[bytes, bytes]:
    """The fields of an entry."""
    return {b"n": b"%d" % num_events, b"t": b"%d" % total, b"c": chunk, b"r": b"req-1"}


def test_a_token_names_each_shards_place() -> None:
    places = {0: Place("1769860800000-0", 41), 1: Place("1769860800003-12", 7)}
    assert token_of(places) == "0:1769860800000-0.41,1:1769860800003-12.7"
    assert parse_token(token_of(places)) == places


@pytest.mark.parametrize(
    "token", ["", "0", "0:1.2", "0:1-2", "0:1-2.3,", "-1:1-2.3", "0:1-2.x", "0:1-2.3\n", "٣:1-2.3"]
)
def test_any_other_text_is_no_token(token: str) -> None:
    with pytest.raises(InvalidInput):
        parse_token(token)


def test_an_entry_gives_its_events_and_lies_after_the_places_before_its_end() -> None:
    chunk = read_chunk(0, b"5-1", entry(encode_chunk(EVENTS)))
    assert chunk is not None
    assert (chunk.num_before, chunk.events) == (8, EVENTS)
    after = [Place("4-9", 8), Place("5-0", 8), Place("5-1", 8), Place("5-1", 9)]
    assert [chunk.is_after(place) for place in after] == [True] * 4
    assert [chunk.is_after(place) for place in (Place("5-1", 10), Place("5-2", 10), Place("10-0", 9))] == [
        False
    ] * 3
    assert chunk.message(1).splitlines()[0] == b"event: user.dismissed"


def test_a_damaged_event_leaves_its_neighbours_and_a_damaged_entry_is_passed_over() -> None:
    damaged = encode_chunk(EVENTS[:1]) + b"\x81\xa4type\xa1x"
    chunk = read_chunk(0, b"5-1", entry(damaged))
    assert chunk is not None
    assert chunk.events == [EVENTS[0], None]
    assert read_chunk(0, b"5-1", entry(b"\xc1")) is None
    assert read_chunk(0, b"5-1", {b"x": b"y"}) is None


@pytest.mark.parametrize("num_events", [-1, 3, 2**32 - 1, 2**32, 2**63])
def test_a_number_of_events_that_cannot_be_is_a_damage_like_any_other(num_events: int) -> None:
    chunk = encode_chunk(EVENTS)
    assert read_chunk(0, b"5-1", entry(chunk, num_events=num_events)) is None
    for read in (decode_chunk, split_chunk):
        with pytest.raises(ValueError, match=r"chunk of|truncated"):
            read(chunk, num_events)


def test_filters_take_what_has_one_of_each() -> None:
    by_both = Wanted(frozenset({"user.viewed"}), {"streamer_id": frozenset({"s1", "s2"})})
    assert [by_both.takes(event) for event in EVENTS] == [True, False]
    assert [Wanted(ids={"streamer_id": frozenset({"s2"})}).takes(event) for event in EVENTS] == [False, False]
    assert all(Wanted().takes(event) for event in EVENTS)
