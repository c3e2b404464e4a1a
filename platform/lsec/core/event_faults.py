"""Why the text of an event cannot be read, in words for who sent it: the field, and the reason."""

import difflib
import functools
import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from graph_schema.events import EVENT_TYPES
from graph_schema.vocabulary import MAX_ID_LENGTH

Fault = tuple[str, str]
"""The field, '' where no one field is to blame, and the reason with the remedy."""
_MAX_ECHO = 60
"""Characters of what was sent that an answer repeats."""
_FIELD = re.compile(r" - at `\$\.([A-Za-z_]+)")
_NAMED_FIELD = re.compile(r"(?:required|unknown) field `(.*)`", re.DOTALL)
_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")
_NOT_A_NUMBER = object()
_TYPES = "; GET /v1/events/schema lists the types"


def validation_fault(text: bytes, message: str) -> Fault:
    """The field and the reason, with the remedy, that msgspec's message stands for."""
    what, _, _ = message.partition(" - at `")
    found = _FIELD.search(message)
    field = found[1] if found else ""
    if named := _NAMED_FIELD.search(what):
        field = cut(named[1])
        if "unknown field" in what:
            return field, "unknown field; leave it out or see GET /v1/events/schema"
        return field, "missing; it is required" + (_TYPES if field == "type" else "")
    if field == "type":
        return field, _unknown_type(_type_of(text))
    if "matching regex" in what:
        return field, "a currency is three capital letters"
    if f"length <= {MAX_ID_LENGTH}" in what:
        return field, f"too long; an id has at most {MAX_ID_LENGTH} characters"
    if "timezone component" in what or "RFC3339" in what:
        return field, "must be an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z"
    return field, cut(what.replace("`", "")[:1].lower() + what.replace("`", "")[1:], 200)


def malformed_fault(text: bytes, error: Exception) -> Fault:
    """What is wrong with text that is no JSON, or not in the strict sense."""
    if isinstance(error, RecursionError):
        return "", "nested too deeply; an event is a flat object"
    if isinstance(error, UnicodeDecodeError):
        return "", "not UTF-8; send the body as UTF-8"
    try:
        found = _odd_value(json.loads(text, parse_constant=lambda _: _NOT_A_NUMBER))
    except (ValueError, RecursionError):
        found = None
    return found or ("", f"broken JSON: {str(error).removeprefix('JSON is malformed: ')}")


def _odd_value(value: Any, name: str = "") -> Fault | None:
    """The innermost field that holds what Python and others write but JSON does not know, and what it is."""
    if value is _NOT_A_NUMBER:
        return name, "NaN and Infinity are no JSON; send a number or leave it out"
    if isinstance(value, str) and _HALF_OF_A_PAIR.search(value):
        return name, "half of a surrogate pair is no character; send the text as UTF-8 or leave it out"
    faults: Iterable[Fault | None] = ()
    if isinstance(value, dict):
        faults = (_odd_value(key) or _odd_value(child, cut(key)) for key, child in value.items())
    elif isinstance(value, list):
        faults = (_odd_value(child, name) for child in value)
    return next(filter(None, faults), None)


def _type_of(text: bytes) -> str:
    try:
        value = msgspec.json.decode(text, type=dict[str, msgspec.Raw]).get("type", msgspec.Raw(b""))
    except (ValueError, RecursionError):
        # The type was refused before the rest was read, and the rest is broken.
        return ""
    return cut(bytes(value).decode(errors="replace").strip('"'))


@functools.lru_cache(maxsize=1000)
def _unknown_type(sent: str) -> str:
    """In few words, for one request may hold thousands of them."""
    close = difflib.get_close_matches(sent, EVENT_TYPES, n=1)
    meant = f"; did you mean {close[0]}?" if close else _TYPES
    return f"unknown event type {sent!r}{meant}"


def cut(text: str, limit: int = _MAX_ECHO) -> str:
    """The beginning of the text."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def echo(text: str) -> str:
    """The beginning of the text, quoted."""
    return repr(cut(text))
