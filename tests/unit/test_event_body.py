"""Reading event bodies: good events go in, each bad one is named with its remedy."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsec.core.errors import BodyTooLarge, InvalidInput, UnsupportedMediaType
from lsec.core.event_body import ParsedBody, Rejection, parse_body
from lsec.core.event_log import append_arguments, decode_chunk

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
JSON, NDJSON = "application/json", "application/x-ndjson"


def parse(
    body: bytes | str, content_type: str = JSON, *, max_events: int = 100, retention_days: int = 0
) -> ParsedBody:
    raw = body.encode() if isinstance(body, str) else body
    return parse_body(
        raw, content_type, now=NOW, currency="USD", max_events=max_events, retention_days=retention_days
    )


def bought(**changes: Any) -> dict[str, Any]:
    event = {
        "event_id": "e1",
        "type": "user.bought",
        "at": "2026-06-01T11:00:00Z",
        "user_id": "ann",
        "product_id": "lamp",
        "quantity": 2,
        "amount": 1999,
        "currency": "USD",
    }
    return {name: value for name, value in (event | changes).items() if value is not ...}


def rejection(**changes: Any) -> Rejection:
    """The rejection of one changed event that stands between two good ones."""
    parsed = parse(json.dumps([bought(), bought(**changes), bought()]))
    assert [index for index, _ in parsed.events] == [0, 2]
    (rejected,) = parsed.rejected
    assert rejected.index == 1
    return rejected


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8", ""])
def test_one_object_and_an_array_are_read(content_type: str) -> None:
    assert len(parse(json.dumps(bought()), content_type).events) == 1
    assert [i for i, _ in parse(json.dumps([bought()] * 3), content_type).events] == [0, 1, 2]


@pytest.mark.parametrize("content_type", [NDJSON, "application/ndjson", ""])
def test_lines_are_read_and_blank_ones_counted(content_type: str) -> None:
    line = json.dumps(bought())
    parsed = parse(f"{line}\n\n{line}\r\n", content_type)
    assert [index for index, _ in parsed.events] == [0, 2]
    assert parsed.rejected == []


def test_a_broken_line_loses_only_itself() -> None:
    line = json.dumps(bought())
    parsed = parse(f"{line}\n{line[:-9]}\n\n{line}", NDJSON)
    assert [index for index, _ in parsed.events] == [0, 3]
    assert parsed.rejected[0].index == 1
    assert "broken JSON" in parsed.rejected[0].reason


def test_two_objects_on_one_line_are_one_broken_line() -> None:
    line = json.dumps(bought())
    parsed = parse(f"{line} {line}\n{line}", NDJSON)
    assert [index for index, _ in parsed.events] == [1]
    assert [rejected.index for rejected in parsed.rejected] == [0]


def test_an_object_over_several_lines_is_one_event_when_no_type_is_given() -> None:
    assert len(parse(json.dumps(bought(), indent=2), "").events) == 1


def test_a_broken_array_is_refused_with_the_place() -> None:
    text = json.dumps([bought()], indent=1).replace('"ann"', "ann")
    with pytest.raises(InvalidInput, match=r"broken at byte \d+, line 6, in element 0") as caught:
        parse(text)
    assert caught.value.extra == {"byte": text.index("ann"), "line": 6, "index": 0}
    with pytest.raises(InvalidInput, match="ends too early"):
        parse(text.replace("ann", '"ann"')[:-3])


@pytest.mark.parametrize("body", ["", " \n", "[]", "[ ]", "\n\n"])
@pytest.mark.parametrize("content_type", [JSON, NDJSON, ""])
def test_nothing_to_read_is_refused(body: str, content_type: str) -> None:
    if body.startswith("[") and content_type == NDJSON:
        assert parse(body, content_type).events == []
        return
    with pytest.raises(InvalidInput):
        parse(body, content_type)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" + b"[" * 100_000 + b"]", b'{"a":' * 100_000])
@pytest.mark.parametrize("content_type", [JSON, ""])
def test_deep_nesting_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidInput):
        parse(body, content_type)


def test_another_content_type_is_refused_with_those_that_are_read() -> None:
    with pytest.raises(UnsupportedMediaType, match="application/x-ndjson"):
        parse(json.dumps(bought()), "application/x-www-form-urlencoded")


@pytest.mark.parametrize("content_type", [JSON, NDJSON])
def test_too_many_events_are_refused(content_type: str) -> None:
    events = [json.dumps(bought())] * 101
    body = "\n".join(events) if content_type == NDJSON else f"[{','.join(events)}]"
    with pytest.raises(BodyTooLarge, match="limit of 100"):
        parse(body, content_type)


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"type": "user.flew"}, "type", "unknown event type 'user.flew'; did you mean user."),
        ({"type": "flight"}, "type", "'flight'; GET /v1/events/schema lists the types"),
        ({"type": ...}, "type", "missing; it is required; GET /v1/events/schema lists the types"),
        ({"type": 3}, "type", "unknown event type '3'"),
        ({"user_id": ...}, "user_id", "missing"),
        ({"user_id": 3}, "user_id", "expected str, got int"),
        ({"user_id": None}, "user_id", "expected str, got null"),
        ({"user_id": ""}, "user_id", "length >= 1"),
        ({"user_id": "a b"}, "user_id", "no white space"),
        ({"user_id": "a\n"}, "user_id", "no white space"),
        ({"user_id": "x" * 129}, "user_id", "at most 128 characters"),
        ({"quantity": -1}, "quantity", ">= 1"),
        ({"quantity": 1.5}, "quantity", "got float"),
        ({"quantity": 10**30}, "quantity", "<= 1000000"),
        ({"amount": float("nan")}, "amount", "NaN"),
        ({"amount": float("inf")}, "amount", "Infinity"),
        ({"user_id": "\ud800"}, "user_id", "half of a surrogate pair"),
        ({"type": "user.flew", "colour": "\ud800"}, "type", "unknown event type"),
        ({"\ud800": 1}, "", "half of a surrogate pair"),
        ({"colour": "red"}, "colour", "unknown field"),
        ({"at": "2026-06-01T11:00:00"}, "at", "with an offset"),
        ({"at": "yesterday"}, "at", "with an offset"),
        ({"at": 1_780_000_000}, "at", "expected"),
        ({"at": "9999-12-31T23:59:59-10:00"}, "at", "more than 10 minutes ahead"),
        ({"at": "2026-06-01T12:10:01Z"}, "at", "more than 10 minutes ahead"),
        ({"at": "1999-12-31T23:59:59Z"}, "at", "before 2000"),
        ({"currency": "EUR"}, "currency", "must be USD"),
        ({"currency": "usd"}, "currency", "three capital letters"),
    ],
)
def test_a_bad_event_is_rejected_with_field_and_reason(
    changes: dict[str, Any], field: str, reason: str
) -> None:
    rejected = rejection(**changes)
    assert rejected.field == field
    assert reason in rejected.reason


def product(expires_at: str) -> dict[str, Any]:
    names = {"event_id": "p1", "type": "product.upserted", "at": "2026-06-01T11:00:00Z"}
    return {**names, "product_id": "lamp", "name": "Lamp", "expires_at": expires_at}


@pytest.mark.parametrize(
    "expires_at",
    [
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "1999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59.999999-00:01",
    ],
)
def test_an_expiry_outside_the_years_that_can_be_kept_is_rejected(expires_at: str) -> None:
    parsed = parse(json.dumps([bought(), product(expires_at)]))
    (rejected,) = parsed.rejected
    assert (rejected.index, rejected.field) == (1, "expires_at")
    assert "2000 to 9999 in UTC; leave it out" in rejected.reason
    assert [index for index, _ in parsed.events] == [0]


@pytest.mark.parametrize(
    "expires_at",
    [
        "2000-01-01T00:00:00Z",
        "2026-06-01T11:00:00+14:00",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59+14:00",
    ],
)
def test_an_expiry_within_them_goes_through_the_log(expires_at: str) -> None:
    ((_, event),) = parse(json.dumps(product(expires_at))).events
    _, arguments = append_arguments([event], shard=0, window_s=1)
    chunk = arguments[-1]
    assert isinstance(chunk, bytes)
    assert decode_chunk(chunk, 1) == [event]


def test_an_element_that_is_no_object_is_rejected() -> None:
    parsed = parse(f"[{json.dumps(bought())}, 3, [], null]")
    assert len(parsed.events) == 1
    assert [rejected.index for rejected in parsed.rejected] == [1, 2, 3]


def test_text_that_is_no_utf8_is_rejected_alone() -> None:
    good = json.dumps(bought()).encode()
    parsed = parse(b"[" + good + b"," + good.replace(b"ann", b"\xff") + b"]")
    assert len(parsed.events) == 1
    assert "UTF-8" in parsed.rejected[0].reason


@pytest.mark.parametrize("field", ["event_id", "user_id", "type", "x" * 10_000_000])
def test_a_huge_value_is_not_echoed(field: str) -> None:
    rejected = rejection(**{field: "x" * 10_000_000})
    assert len(rejected.reason) < 500
    assert len(rejected.field) < 100


@pytest.mark.parametrize("minutes", [-60, 0, 10])
def test_times_up_to_ten_minutes_ahead_are_taken(minutes: int) -> None:
    at = (NOW + timedelta(minutes=minutes)).isoformat()
    assert len(parse(json.dumps(bought(at=at))).events) == 1


def test_a_byte_order_mark_is_no_part_of_the_body() -> None:
    assert len(parse(b"\xef\xbb\xbf" + json.dumps([bought()]).encode()).events) == 1


@given(st.binary(max_size=60), st.sampled_from([JSON, NDJSON, ""]))
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str) -> None:
    try:
        parsed = parse(body, content_type)
    except InvalidInput:
        return
    assert parsed.events == []
    assert parsed.rejected


@given(st.lists(st.sampled_from(["good", "bad", "broken"]), min_size=1, max_size=8))
def test_every_line_is_taken_or_rejected_once(kinds: list[str]) -> None:
    lines = {"good": json.dumps(bought()), "bad": json.dumps(bought(quantity=0)), "broken": "{"}
    parsed = parse("\n".join(lines[kind] for kind in kinds), NDJSON)
    assert [index for index, _ in parsed.events] == [i for i, kind in enumerate(kinds) if kind == "good"]
    assert [each.index for each in parsed.rejected] == [i for i, kind in enumerate(kinds) if kind != "good"]


def test_events_survive_a_round_trip() -> None:
    ((_, event),) = parse(json.dumps(bought())).events
    assert parse(msgspec.json.encode([event])).events == [(0, event)]


def test_thousands_of_rejections_stay_short() -> None:
    parsed = parse(json.dumps([bought(type=f"user.flew{number}") for number in range(2000)]), max_events=2000)
    assert sum(len(each.reason) for each in parsed.rejected) < 100 * 2000


@pytest.mark.parametrize(("at", "num_taken"), [("2026-05-02T00:00:00Z", 1), ("2026-05-01T23:59:59.999Z", 0)])
def test_what_retention_would_prune_at_once_is_rejected(at: str, num_taken: int) -> None:
    body = json.dumps(bought(at=at))
    parsed = parse(body, retention_days=30)
    assert len(parsed.events) == num_taken
    assert [(each.field, "retention" in each.reason) for each in parsed.rejected] == [("at", True)] * (
        1 - num_taken
    )
    assert len(parse(body).events) == 1


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("user.erased", "user_id"),
        ("user.upserted", "user_id"),
        ("streamer.upserted", "streamer_id"),
        ("product.upserted", "product_id"),
    ],
)
def test_records_and_erasures_are_taken_however_old(kind: str, field: str) -> None:
    event = {"event_id": "e", "type": kind, "at": "2001-01-01T00:00:00Z", field: "x"}
    assert len(parse(json.dumps(event), retention_days=1).events) == 1
    (rejected,) = parse(json.dumps(event | {"at": "1999-01-01T00:00:00Z"}), retention_days=1).rejected
    assert "before 2000" in rejected.reason
