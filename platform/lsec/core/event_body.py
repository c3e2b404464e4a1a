"""Reading the body of an event request: the good events, and why each other one is bad.

A body is one JSON object, a JSON array, NDJSON, or the same in CloudEvents. The index of an event is its
place in the array, or its line in NDJSON; both count from 0, and blank lines of NDJSON are counted but
skipped.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from graph_schema.events import (
    EARLIEST_AT,
    MAX_CLOCK_AHEAD,
    Event,
    ProductUpserted,
    StreamerUpserted,
    UserBought,
    UserErased,
    UserUpserted,
    field_of_bad_id,
)
from lsec.core import cloud_events
from lsec.core.errors import InvalidInput, UnsupportedMediaType
from lsec.core.event_faults import Fault, echo, malformed_fault, validation_fault
from lsec.core.json_elements import check_value, split_array, too_many

JSON_TYPES = ("application/json",)
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson")
CLOUD_TYPES = (cloud_events.STRUCTURED_TYPE, cloud_events.BATCH_TYPE)
LATEST_EXPIRY = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
"""With an offset a time can be written that lies past it, in a year that UTC times cannot have."""
ERASED_BY_OTHERS = (
    "only a key of scope admin may send it; use DELETE /v1/users/{id}, which also clears what is outside of "
    "the graph, and tells when that is done"
)
_ALWAYS_KEPT = UserErased | ProductUpserted | UserUpserted | StreamerUpserted
"""Events that retention leaves alone, however old they are."""

_EVENT: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_EVENTS = msgspec.json.Decoder(list[Event])


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


_Read = tuple[list[tuple[int, Event]], list[Rejection]]


def parse_body(
    body: bytes,
    content_type: str,
    *,
    now: datetime,
    currency: str,
    max_events: int,
    retention_days: int = 0,
    may_erase: bool = True,
) -> ParsedBody:
    """The events of a request body, each checked by itself; whoever may not erase has `user.erased` rejected.

    InvalidInput if the body as a whole cannot be read (empty, a broken array), UnsupportedMediaType for
    another content type, BodyTooLarge past `max_events`.
    """
    text = body.removeprefix(b"\xef\xbb\xbf")
    media_type = content_type.partition(";")[0].strip().lower()
    is_cloud = media_type in CLOUD_TYPES
    if not text.strip():
        raise InvalidInput("The body is empty.", remedy="Send a JSON event, an array of them, or NDJSON.")
    if _is_ndjson(text, media_type):
        indexed, rejected = _read_lines(text, max_events)
    elif is_cloud:
        indexed, rejected = _read_cloud_events(text, max_events)
    elif text.lstrip()[:1] == b"[":
        indexed, rejected = _read_array(text, max_events)
    else:
        indexed, rejected = _read_object(text)
    latest_at = now + MAX_CLOCK_AHEAD
    earliest_at = _earliest_kept(now, retention_days) if retention_days else EARLIEST_AT
    good: list[tuple[int, Event]] = []
    for index, event in indexed:
        fault = _content_fault(event, earliest_at=earliest_at, latest_at=latest_at, currency=currency)
        if isinstance(event, UserErased) and not may_erase:
            fault = "type", ERASED_BY_OTHERS
        if fault is None:
            good.append((index, event))
        else:
            rejected.append(_named_in_cloud(index, *fault) if is_cloud else Rejection(index, *fault))
    rejected.sort(key=lambda rejection: rejection.index)
    return ParsedBody(good, rejected)


def _is_ndjson(text: bytes, media_type: str) -> bool:
    if media_type in NDJSON_TYPES:
        return True
    if media_type in JSON_TYPES + CLOUD_TYPES:
        return False
    if media_type:
        raise UnsupportedMediaType(
            f"The content type {echo(media_type)} is not known.",
            remedy=f"Send one of {', '.join(JSON_TYPES + NDJSON_TYPES + CLOUD_TYPES)}.",
        )
    if text.lstrip()[:1] == b"[":
        return False
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return b"\n" in text.strip()
    return False


def _read_object(text: bytes) -> _Read:
    try:
        return [(0, _EVENT.decode(text))], []
    except (ValueError, RecursionError):
        check_value(text)
    return _read_each([(0, text)], _read_one)


def _read_array(text: bytes, max_events: int) -> _Read:
    try:
        events = _EVENTS.decode(text)
    except (ValueError, RecursionError):
        return _read_each(enumerate(split_array(text, max_elements=max_events)), _read_one)
    _check_count(len(events), max_events)
    return list(enumerate(events)), []


def _read_cloud_events(text: bytes, max_events: int) -> _Read:
    if text.lstrip()[:1] != b"[":
        check_value(text)
        return _read_each([(0, text)], _read_cloud_event)
    elements = split_array(text, max_elements=max_events)
    _check_count(len(elements), max_events)
    return _read_each(enumerate(elements), _read_cloud_event)


def _read_lines(text: bytes, max_events: int) -> _Read:
    lines: list[tuple[int, bytes]] = []
    for index, line in enumerate(io.BytesIO(text)):
        if not line.isspace():
            lines.append((index, line))
            # At once: millions of short lines would take much more memory than their text.
            if len(lines) > max_events:
                break
    _check_count(len(lines), max_events)
    try:
        events = _EVENT.decode_lines(text)
    except (ValueError, RecursionError):
        return _read_each(lines, _read_one)
    if len(events) != len(lines):
        return _read_each(lines, _read_one)
    return [(index, event) for (index, _), event in zip(lines, events, strict=True)], []


def _check_count(num_events: int, max_events: int) -> None:
    if num_events == 0:
        raise InvalidInput("The array is empty.", remedy="Send at least one event.")
    if num_events > max_events:
        raise too_many(max_events)


def _read_each(texts: Iterable[tuple[int, bytes]], read: Callable[[int, bytes], Event | Rejection]) -> _Read:
    events: list[tuple[int, Event]] = []
    rejected: list[Rejection] = []
    for index, text in texts:
        outcome = read(index, text)
        if isinstance(outcome, Rejection):
            rejected.append(outcome)
        else:
            events.append((index, outcome))
    return events, rejected


def _read_one(index: int, text: bytes) -> Event | Rejection:
    try:
        return _EVENT.decode(text)
    except msgspec.ValidationError as error:
        return Rejection(index, *validation_fault(text, str(error)))
    except (ValueError, RecursionError) as error:
        return Rejection(index, *malformed_fault(text, error))


def _read_cloud_event(index: int, text: bytes) -> Event | Rejection:
    try:
        found = cloud_events.event_text(text)
    except (ValueError, RecursionError) as error:
        return Rejection(index, *malformed_fault(text, error))
    if not isinstance(found, bytes):
        return Rejection(index, *found)
    read = _read_one(index, found)
    return _named_in_cloud(index, read.field, read.reason) if isinstance(read, Rejection) else read


def _named_in_cloud(index: int, field: str, reason: str) -> Rejection:
    return Rejection(index, cloud_events.ATTRIBUTES.get(field, field), reason)


def _earliest_kept(now: datetime, retention_days: int) -> datetime:
    """What pruning, which goes by whole days of UTC, leaves."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(EARLIEST_AT, midnight - timedelta(days=retention_days))


def _content_fault(
    event: Event, *, earliest_at: datetime, latest_at: datetime, currency: str
) -> Fault | None:
    if (field := field_of_bad_id(event)) is not None:
        return field, "an id has no white space and no control characters"
    if event.at < EARLIEST_AT:
        return "at", f"before {EARLIEST_AT.year}; check the producer's clock and its unit"
    if event.at < earliest_at and not isinstance(event, _ALWAYS_KEPT):
        day = earliest_at.date().isoformat()
        return "at", f"before {day}: retention would prune it at once; leave it out"
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
