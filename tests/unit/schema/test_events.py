"""The vocabulary: events survive the wire, and bad fields are refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_schema.events import (
    EARLIEST_AT,
    EVENT_CLASSES,
    EVENT_TYPES,
    Event,
    ProductUpserted,
    UserBought,
    UserErased,
    field_of_bad_id,
)
from graph_schema.vocabulary import MAX_ID_LENGTH

DECODER = msgspec.json.Decoder(Event)
BOUGHT = {
    "type": "user.bought",
    "event_id": "e1",
    "at": "2026-01-02T03:04:05.678+02:00",
    "user_id": "u1",
    "product_id": "p1",
    "quantity": 2,
    "amount": 1999,
}

ids = st.from_regex(r"[A-Za-z0-9._:-]{1,20}", fullmatch=True)


def test_the_designs_types_are_all_there() -> None:
    assert len(EVENT_TYPES) == 17
    assert "user.bought" in EVENT_TYPES


def test_a_purchase_is_read_with_its_time_in_milliseconds() -> None:
    event = DECODER.decode(msgspec.json.encode(BOUGHT))
    assert isinstance(event, UserBought)
    assert event.at_ms == 1767315845678
    assert event.shard_key == "u1"


@given(user_id=ids, event_id=ids)
def test_an_event_survives_both_encodings(user_id: str, event_id: str) -> None:
    event = UserErased(event_id=event_id, at=DECODER.decode(msgspec.json.encode(BOUGHT)).at, user_id=user_id)
    assert DECODER.decode(msgspec.json.encode(event)) == event
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event) == event


@pytest.mark.parametrize(
    ("field", "value", "at_path"),
    [
        ("quantity", 0, "$.quantity"),
        ("quantity", "2", "$.quantity"),
        ("amount", -1, "$.amount"),
        ("amount", 19.99, "$.amount"),
        ("user_id", "", "$.user_id"),
        ("user_id", "x" * (MAX_ID_LENGTH + 1), "$.user_id"),
        ("user_id", None, "$.user_id"),
        ("at", "2026-01-02T03:04:05", "$.at"),
        ("at", 1767315845678, "$.at"),
        ("currency", "usd", "$.currency"),
        ("surprise", 1, "surprise"),
        ("type", "user.sneezed", "$.type"),
    ],
)
def test_a_bad_field_is_named(field: str, value: object, at_path: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        DECODER.decode(msgspec.json.encode({**BOUGHT, field: value}))
    assert at_path in str(caught.value)


@pytest.mark.parametrize("bad", ["a b", "a\n", "\ta", "a\x00", "\x7f", "a\u2003b"])
@pytest.mark.parametrize("field", ["event_id", "user_id", "product_id", "streamer_id", "stream_id"])
def test_an_id_with_white_space_or_control_characters_is_named(field: str, bad: str) -> None:
    assert field_of_bad_id(DECODER.decode(msgspec.json.encode({**BOUGHT, field: bad}))) == field


def test_good_ids_of_every_kind_are_not_named() -> None:
    record = ProductUpserted(event_id="e", at=EARLIEST_AT, product_id="p/1|ü", categories=("a", "b"))
    assert field_of_bad_id(DECODER.decode(msgspec.json.encode(BOUGHT))) is None
    assert field_of_bad_id(record) is None
    assert field_of_bad_id(msgspec.structs.replace(record, categories=("a", "b c"))) == "categories"


def test_every_type_documents_itself() -> None:
    assert all(cls.__doc__ for cls in EVENT_CLASSES)
