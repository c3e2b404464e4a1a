"""Reading the body of an event request: the good events, and why each other one is bad.

A body is one JSON object, a JSON array, or NDJSON. The index of an event is its place in the
array, or its line in NDJSON; both count from 0, and blank lines of NDJSON are counted but skipped.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from graph_schema.events import (
    EARLIEST_AT,
    EVENT_TYPES,
    MAX_CLOCK_AHEAD,
    Event,
    ProductUpserted,
    UserBought,
)
from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.core.errors import BodyTooLarge, InvalidInput

JSON_TYPES = ("application/json",)
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson")
LATEST_EXPIRY = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
"""With an offset a time can be written that lies past it, in a year that UTC times cannot have."""
_MAX_ECHO = 60

_EVENT: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_EVENTS = msgspec.json.Decoder(list[Event])
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_FIELD = re.compile(r" - at `\$\.([A-Za-z_]+)")
_NAMED_FIELD = re.compile(r"(?:required|unknown) field `(.*)`", re.DOTALL)
_BYTE = re.compile(r"\(byte (\d+)\)")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the event at `index` was not taken; `field` is '' where no one field is to blame."""

    index: int
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """The valid events with their indexes, and the rejected ones; both ascend by index."""

    events: list[tuple[int, Event]]
    rejected: list[Rejection]


def parse_body(
    body: bytes, content_type: str, *, now: datetime, currency: str, max_events: int
) -> ParsedBody:
    """The events of a request body, each checked by itself.

    InvalidInput if the body as a whole cannot be read (empty, another content type, a broken
    array), BodyTooLarge past `max_events`.
    """
    text = body.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise InvalidInput("The body is empty.", remedy="Send a JSON event, an array of them, or NDJSON.")
    if _is_ndjson(text, content_type):
        indexed, rejected = _read_lines(text, max_events)
    elif text.lstrip()[:1] == b"[":
        indexed, rejected = _read_array(text, max_events)
    else:
        indexed, rejected = _read_object(text)
    latest_at = now + MAX_CLOCK_AHEAD
    good: list[tuple[int, Event]] = []
    for index, event in indexed:
        fault = _content_fault(event, latest_at=latest_at, currency=currency)
        if fault is None:
            good.append((index, event))
        else:
            rejected.append(Rejection(index, *fault))
    rejected.sort(key=lambda rejection: rejection.index)
    return ParsedBody(good, rejected)


def _is_ndjson(text: bytes, content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in NDJSON_TYPES:
        return True
    if media_type in JSON_TYPES:
        return False
    if media_type:
        raise InvalidInput(
            f"The content type {_echo(media_type)} is not known.",
            remedy=f"Send one of {', '.join(JSON_TYPES + NDJSON_TYPES)}.",
        )
    if text.lstrip()[:1] == b"[":
        return False
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return b"\n" in text.strip()
    return False


def _read_object(text: bytes) -> tuple[list[tuple[int, Event]], list[Rejection]]:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except RecursionError:
        raise InvalidInput("The JSON is nested too deeply.", remedy="An event is a flat object.") from None
    except ValueError as error:
        if not _has_nan(text):
            raise _broken(text, error) from None
    outcome = _read_one(0, text)
    return ([], [outcome]) if isinstance(outcome, Rejection) else ([(0, outcome)], [])


def _read_array(text: bytes, max_events: int) -> tuple[list[tuple[int, Event]], list[Rejection]]:
    try:
        events = _EVENTS.decode(text)
    except (ValueError, RecursionError):
        return _split(enumerate(_elements(text, max_events)))
    _check_count(len(events), max_events)
    return list(enumerate(events)), []


def _read_lines(text: bytes, max_events: int) -> tuple[list[tuple[int, Event]], list[Rejection]]:
    lines = [(index, line) for index, line in enumerate(text.split(b"\n")) if line.strip()]
    _check_count(len(lines), max_events)
    try:
        events = _EVENT.decode_lines(text)
    except (ValueError, RecursionError):
        return _split(iter(lines))
    if len(events) != len(lines):
        return _split(iter(lines))
    return [(index, event) for (index, _), event in zip(lines, events, strict=True)], []


def _elements(text: bytes, max_events: int) -> list[bytes]:
    """The array's elements as JSON text, not yet checked against the vocabulary."""
    try:
        elements = [bytes(raw) for raw in _ELEMENTS.decode(text)]
    except RecursionError:
        raise InvalidInput("The JSON is nested too deeply.", remedy="An event is a flat object.") from None
    except ValueError as error:
        # NaN and Infinity are no JSON, but Python's and other writers emit them for one bad field:
        # that is no reason to refuse the whole array.
        if not _has_nan(text):
            raise _broken(text, error) from None
        elements = [json.dumps(value).encode() for value in json.loads(text)]
    _check_count(len(elements), max_events)
    return elements


def _check_count(num_events: int, max_events: int) -> None:
    if num_events == 0:
        raise InvalidInput("The array is empty.", remedy="Send at least one event.")
    if num_events > max_events:
        raise BodyTooLarge(
            f"The request has {num_events} events; the limit is {max_events}.",
            remedy="Split it into several requests.",
        )


def _split(texts: Iterator[tuple[int, bytes]]) -> tuple[list[tuple[int, Event]], list[Rejection]]:
    events: list[tuple[int, Event]] = []
    rejected: list[Rejection] = []
    for index, text in texts:
        outcome = _read_one(index, text)
        if isinstance(outcome, Rejection):
            rejected.append(outcome)
        else:
            events.append((index, outcome))
    return events, rejected


def _read_one(index: int, text: bytes) -> Event | Rejection:
    try:
        return _EVENT.decode(text)
    except msgspec.ValidationError as error:
        return Rejection(index, *_validation_fault(text, str(error)))
    except RecursionError:
        return Rejection(index, "", "nested too deeply; an event is a flat object")
    except UnicodeDecodeError:
        return Rejection(index, "", "not UTF-8; send the body as UTF-8")
    except ValueError as error:
        if _has_nan(text):
            return Rejection(
                index, _nan_field(text), "NaN and Infinity are no JSON; send a number or leave it out"
            )
        return Rejection(index, "", f"broken JSON: {str(error).removeprefix('JSON is malformed: ')}")


def _validation_fault(text: bytes, message: str) -> tuple[str, str]:
    """The field and the reason, with the remedy, that msgspec's message stands for."""
    what, _, _ = message.partition(" - at `")
    found = _FIELD.search(message)
    field = found[1] if found else ""
    if named := _NAMED_FIELD.search(what):
        field = _cut(named[1])
        if "unknown field" in what:
            return field, "unknown field; leave it out or see GET /v1/events/schema"
        return field, "missing; it is required" + (_known_types() if field == "type" else "")
    if field == "type":
        return field, f"unknown event type {_echo(_type_of(text))}" + _known_types()
    if "matching regex" in what:
        kind = "a currency is three capital letters" if field == "currency" else "an id has no white space"
        return field, f"{kind} and no control characters" if field != "currency" else kind
    if f"length <= {MAX_ID_LENGTH}" in what:
        return field, f"too long; an id has at most {MAX_ID_LENGTH} characters"
    if "timezone component" in what or "RFC3339" in what:
        return field, "must be an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z"
    return field, _cut(what.replace("`", "")[:1].lower() + what.replace("`", "")[1:], 200)


def _content_fault(event: Event, *, latest_at: datetime, currency: str) -> tuple[str, str] | None:
    if event.at < EARLIEST_AT:
        return "at", f"before {EARLIEST_AT.year}; check the producer's clock and its unit"
    if event.at > latest_at:
        minutes = MAX_CLOCK_AHEAD.seconds // 60
        return "at", f"more than {minutes} minutes ahead of the server; check the producer's clock"
    if isinstance(event, UserBought | ProductUpserted) and event.currency not in ("", currency):
        return "currency", f"must be {currency}, the one currency of this deployment; convert the amount"
    expires_at = event.expires_at if isinstance(event, ProductUpserted) else None
    if expires_at is not None and not EARLIEST_AT <= expires_at <= LATEST_EXPIRY:
        years = f"{EARLIEST_AT.year} to {LATEST_EXPIRY.year} in UTC"
        return "expires_at", f"must lie in the years {years}; leave it out if the product does not expire"
    return None


def _broken(text: bytes, error: ValueError) -> InvalidInput:
    found = _BYTE.search(str(error))
    position = int(found[1]) if found else len(text)
    line = text.count(b"\n", 0, position) + 1
    what = "ends too early" if found is None and "truncated" in str(error) else "is broken"
    return InvalidInput(
        f"The JSON {what} at byte {position}, line {line}.",
        remedy="Nothing was taken. Correct it, or send NDJSON, where only the broken lines are lost.",
        byte=position,
        line=line,
    )


def _has_nan(text: bytes) -> bool:
    """Whether the text is JSON but for NaN or Infinity."""
    if b"NaN" not in text and b"Infinity" not in text:
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _nan_field(text: bytes) -> str:
    names = []
    record = json.loads(text, parse_constant=lambda _: _NOT_A_NUMBER)
    if isinstance(record, dict):
        names = [name for name, value in record.items() if value is _NOT_A_NUMBER]
    return _cut(names[0]) if names else ""


_NOT_A_NUMBER = object()


def _type_of(text: bytes) -> str:
    value = msgspec.json.decode(text, type=dict[str, msgspec.Raw]).get("type", msgspec.Raw(b""))
    return bytes(value).decode(errors="replace").strip('"')


def _known_types() -> str:
    return f"; one of {', '.join(EVENT_TYPES)}"


def _cut(text: str, limit: int = _MAX_ECHO) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def _echo(text: str) -> str:
    return repr(_cut(text))
