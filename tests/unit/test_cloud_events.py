"""CloudEvents are the events that they carry, whatever way they come."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_schema.events import Event
from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.core.cloud_events import BATCH_TYPE, STRUCTURED_TYPE, as_structured, event_id_of
from lsec.core.errors import InvalidInput
from lsec.core.event_body import ParsedBody, Rejection, parse_body
from tests.unit.ingest.event_lists import event_lists

NOW = datetime(2026, 6, 2, 12, tzinfo=UTC)
IDS = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=40)
SOURCES = IDS.filter(lambda source: "|" not in source)


def parse(body: bytes, content_type: str = STRUCTURED_TYPE) -> ParsedBody:
    return parse_body(body, content_type, now=NOW, currency="USD", max_events=100)


def cloud_event(**changes: Any) -> dict[str, Any]:
    event = {
        "specversion": "1.0",
        "source": "/shop",
        "id": "order-1",
        "type": "user.bought",
        "time": "2026-06-01T11:00:00Z",
        "data": {"user_id": "ann", "product_id": "lamp", "amount": 1999},
    }
    return {name: value for name, value in (event | changes).items() if value is not ...}


def as_cloud_event(event: Event, source: str, cloud_id: str) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(event)
    del fields["event_id"]
    attributes = {"type": fields.pop("type"), "time": fields.pop("at")}
    return {"specversion": "1.0", "source": source, "id": cloud_id, **attributes, "data": fields}


@given(event_lists(erasures=True, max_size=5).filter(bool), SOURCES, IDS)
def test_any_event_comes_out_as_it_went_in(events: list[Event], source: str, cloud_id: str) -> None:
    sent = [(event, source, f"{cloud_id}{number}") for number, event in enumerate(events)]
    batch = [as_cloud_event(*each) for each in sent]
    expected = [
        (index, msgspec.structs.replace(event, event_id=event_id_of(source, cloud_id)))
        for index, (event, source, cloud_id) in enumerate(sent)
    ]
    assert parse(json.dumps(batch).encode(), BATCH_TYPE) == ParsedBody(expected, [])
    assert parse(json.dumps(batch[0]).encode()) == ParsedBody(expected[:1], [])
    headers = {"content-type": "application/json"} | {
        f"ce-{name}": quote(value, safe="") for name, value in batch[0].items() if name != "data"
    }
    body = json.dumps(batch[0]["data"]).encode()
    assert parse(*as_structured(headers, body)) == ParsedBody(expected[:1], [])


@given(st.tuples(SOURCES, IDS), st.tuples(SOURCES, IDS))
def test_two_pairs_of_source_and_id_never_give_one_event_id(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert (event_id_of(*one) == event_id_of(*other)) == (one == other)


@given(st.text("|a", min_size=1, max_size=4), st.text("|a", min_size=1, max_size=4))
def test_a_source_that_would_be_ambiguous_is_refused(source: str, cloud_id: str) -> None:
    parsed = parse(json.dumps(cloud_event(source=source, id=cloud_id)).encode())
    assert bool(parsed.events) == ("|" not in source)


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"specversion": ...}, "specversion", "missing"),
        ({"specversion": "0.3"}, "specversion", "must be 1.0"),
        ({"id": ...}, "id", "missing"),
        ({"id": ""}, "id", "not empty"),
        ({"id": 3}, "id", "must be a string"),
        ({"id": "a b"}, "id", "no white space"),
        ({"id": "x" * 128}, "id", "at most 127 characters together"),
        ({"id": None}, "id", "missing"),
        ({"source": "a b"}, "source", "no white space"),
        ({"source": "a|b"}, "source", "no |"),
        ({"source": "\ud800"}, "source", "half of a surrogate pair"),
        ({"type": "user.flew"}, "type", "did you mean user."),
        ({"type": 3}, "type", "must be a string"),
        ({"time": ...}, "time", "missing"),
        ({"time": "yesterday"}, "time", "with an offset"),
        ({"time": "2026-06-02T12:11:00Z"}, "time", "ahead of the server"),
        ({"amount": 3}, "amount", "a field of data"),
        ({"streem_id": "x"}, "streem_id", "a field of data"),
        ({"event_id": "x"}, "event_id", "made of source and id"),
        ({"at": "x"}, "at", "the attribute time"),
        ({"data": 3}, "data", "must be an object"),
        ({"data": ...}, "user_id", "missing"),
        ({"data": {"user_id": "a b", "product_id": "p"}}, "user_id", "no white space"),
        ({"data": {"user_id": "ann", "product_id": "p", "amount": float("nan")}}, "amount", "NaN"),
        ({"data": {"event_id": "x"}}, "data", "holds event_id, which is made of source and id"),
        ({"data": {"at": "x"}}, "data", "holds at, which is the attribute time"),
        ({"data": {"type": "x"}}, "data", "holds type, which is an attribute"),
        ({"data": {"colour": "red"}}, "colour", "unknown field"),
        ({"data": ..., "data_base64": "e30="}, "data_base64", "object in data"),
        ({"datacontenttype": "text/xml"}, "datacontenttype", "must be application/json"),
    ],
)
def test_a_bad_one_is_named_with_field_and_reason_and_lost_alone(
    changes: dict[str, Any], field: str, reason: str
) -> None:
    parsed = parse(json.dumps([cloud_event(), cloud_event(**changes), cloud_event()]).encode(), BATCH_TYPE)
    assert [index for index, _ in parsed.events] == [0, 2]
    (rejected,) = parsed.rejected
    assert (rejected.index, rejected.field) == (1, field)
    assert reason in rejected.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "cart", "traceparent": "00-1", "dataschema": "https://x/y", "sequence": 5},
        {"datacontenttype": "application/json; charset=utf-8"},
        {"datacontenttype": "application/vnd.shop+json"},
        {"subject": None},
    ],
)
def test_other_attributes_are_left_alone(changes: dict[str, Any]) -> None:
    assert len(parse(json.dumps(cloud_event(**changes)).encode()).events) == 1


def test_the_longest_event_id_is_taken() -> None:
    ((_, event),) = parse(json.dumps(cloud_event(source="s", id="x" * 126)).encode()).events
    assert len(event.event_id) == MAX_ID_LENGTH


@pytest.mark.parametrize("element", ["3", "null", "[]", '"x"', json.dumps({"specversion": "1.0"})])
def test_an_element_that_is_no_cloud_event_is_rejected(element: str) -> None:
    parsed = parse(f"[{json.dumps(cloud_event())}, {element}]".encode(), BATCH_TYPE)
    assert len(parsed.events) == 1
    assert [each.index for each in parsed.rejected] == [1]


@pytest.mark.parametrize("body", [b"[", b"{", b"[]", b"[{},]", b"{} {}", b""])
def test_a_body_that_is_no_json_is_refused_whole(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse(body, BATCH_TYPE)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": STRUCTURED_TYPE, "ce-specversion": "1.0"},
        {"content-type": f"{BATCH_TYPE}; charset=utf-8", "ce-specversion": "1.0"},
    ],
)
def test_only_a_body_with_attributes_beside_it_is_in_binary_mode(headers: Mapping[str, str]) -> None:
    assert as_structured(headers, b"x") == (b"x", headers["content-type"])


BINARY = {"ce-specversion": "1.0", "ce-source": "/shop", "ce-id": "1", "ce-type": "user.dismissed"}


@pytest.mark.parametrize(
    ("headers", "body", "rejected"),
    [
        ({"ce-time": "2026-06-01T11:00:00Z"}, b'{"user_id": "a", "product_id": "p"}', []),
        ({}, b'{"user_id": "a", "product_id": "p"}', ["time"]),
        ({"ce-time": "2026-06-01T11:00:00Z"}, b"", ["user_id"]),
        ({"content-type": "text/xml"}, b"{}", ["datacontenttype"]),
        ({"ce-user_id": "a"}, b"{}", ["user_id"]),
    ],
)
def test_binary_mode_is_read_and_checked_in_the_same_way(
    headers: dict[str, str], body: bytes, rejected: list[str]
) -> None:
    parsed = parse(*as_structured(BINARY | headers, body))
    assert [each.field for each in parsed.rejected] == rejected
    assert len(parsed.events) == 1 - len(rejected)


@pytest.mark.parametrize("body", [b"{", b'{}, "id": {}', b"{} {}"])
def test_the_data_of_binary_mode_is_one_json_value(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="byte"):
        as_structured(BINARY, body)


@given(
    st.dictionaries(
        st.sampled_from([*cloud_event(), "user_id", "x"]), st.sampled_from(["", "x", "1.0", None])
    )
)
def test_any_object_is_taken_or_rejected_once(event: dict[str, Any]) -> None:
    parsed = parse(json.dumps([event]).encode(), BATCH_TYPE)
    assert parsed.events == []
    assert [isinstance(each, Rejection) and each.index for each in parsed.rejected] == [0]
