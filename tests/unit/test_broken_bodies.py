"""What is lost of a body that is no JSON, and what is not."""

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsec.core.errors import BodyTooLarge, InvalidInput
from lsec.core.event_body import ParsedBody, parse_body

JSON, NDJSON = "application/json", "application/x-ndjson"


def parse(body: bytes | str, content_type: str = JSON) -> ParsedBody:
    raw = body.encode() if isinstance(body, str) else body
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    return parse_body(raw, content_type, now=now, currency="USD", max_events=100)


def bought(user_id: str = "ann") -> dict[str, Any]:
    ids = {"event_id": "e1", "user_id": user_id, "product_id": "lamp"}
    return {"type": "user.bought", "at": "2026-06-01T11:00:00Z", "amount": 1999, **ids}


@pytest.mark.parametrize(
    ("elements", "index"),
    [
        (["{good}", '{{"a": tru}}', "{good}"], 1),
        (["{good}", "{good}", '{{"a" 1}}'], 2),
        (["{good}", "", "{good}"], 1),
        (["{good}", "{good} {good}"], 1),
        (["{good}", '{{"a": 01}}'], 1),
    ],
)
def test_a_broken_array_is_refused_with_the_element_where_it_breaks(elements: list[str], index: int) -> None:
    body = "[" + ", ".join(elements).format(good=json.dumps(bought(user_id="änn"))) + "]"
    with pytest.raises(InvalidInput, match=f"is broken at byte .*in element {index}") as caught:
        parse(body)
    assert caught.value.extra["index"] == index


@given(st.integers(1, 200))
def test_an_array_that_is_cut_is_refused_with_the_element_where_it_ends(num_bytes: int) -> None:
    text = json.dumps([bought()] * 3).encode()
    with pytest.raises(InvalidInput) as caught:
        parse(text[:-num_bytes])
    assert caught.value.extra["index"] == min(2, (len(text) - num_bytes) // (len(text) // 3))


def test_what_follows_the_array_or_the_object_breaks_it() -> None:
    for text in (json.dumps([bought()]), json.dumps(bought())):
        with pytest.raises(InvalidInput, match=f"is broken at byte {len(text) + 1}, line 1"):
            parse(f"{text} {text}")


ODD = [b"NaN", b"-Infinity", b'"\\ud800"', b'"\xff"', b'"\xed\xa0\x80"', b'"\n"', b"9" * 5000, b'["\\udfff"]']


@given(st.lists(st.sampled_from([None, *ODD]), min_size=1, max_size=6))
def test_an_odd_value_loses_only_its_element(values: list[bytes | None]) -> None:
    elements = [
        json.dumps(bought()).encode().replace(b"1999", b"1999" if value is None else value)
        for value in values
    ]
    parsed = parse(b"[" + b",".join(elements) + b"]")
    assert [index for index, _ in parsed.events] == [i for i, value in enumerate(values) if value is None]
    assert [each.index for each in parsed.rejected] == [i for i, value in enumerate(values) if value]
    assert all(each.reason for each in parsed.rejected)
    one = parse(elements[0])
    assert (len(one.events), len(one.rejected)) == ((1, 0) if values[0] is None else (0, 1))


@pytest.mark.parametrize(
    ("body", "content_type"), [("[" + "0," * 10**6 + "0]", JSON), ("0\n" * 10**6, NDJSON)]
)
def test_a_million_of_nothing_are_refused_before_they_are_read(body: str, content_type: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            parse(body, content_type)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 5 * len(body)
