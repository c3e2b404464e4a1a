"""CloudEvents 1.0 as events: the attributes are the envelope, `data` holds the event's other fields.

| event | CloudEvent |
| --- | --- |
| `event_id` | `source` and `id`, joined by `|` |
| `type` | `type` |
| `at` | `time`, which is required |
| the other fields | `data`, an object |

A URI reference, which a source is, holds no `|`: so the first one ends the source, and two pairs never
give one `event_id`. What is too long for an id, or has white space, is refused: an id that could not be
told from its pair could not be named in a refund or looked up. Other attributes are left alone, but for
those that are fields of events and would be lost: they belong into `data`.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from graph_schema.events import EVENT_CLASSES
from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.core.event_faults import Fault, cut
from lsec.core.json_elements import check_value

STRUCTURED_TYPE = "application/cloudevents+json"
BATCH_TYPE = "application/cloudevents-batch+json"
SEPARATOR = "|"
ATTRIBUTES = {"event_id": "id", "at": "time"}
"""What a CloudEvent calls fields of the envelope."""
_HEADER_PREFIX = "ce-"
_BINARY_MARK = "ce-specversion"

_ENVELOPE = {"event_id": "made of source and id", "at": "the attribute time", "type": "an attribute"}
_NAME = re.compile(r"[a-z0-9]+")
_EVENT_FIELDS = frozenset(name for each in EVENT_CLASSES for name in each.__struct_fields__)
_NOT_IN_SOURCE = re.compile(r"[\s|]")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_data: msgspec.json.Decoder[dict[str, msgspec.Raw] | None] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | None
)
_value = msgspec.json.Decoder()


def event_id_of(source: str, cloud_id: str) -> str:
    """The `event_id` of a CloudEvent."""
    return f"{source}{SEPARATOR}{cloud_id}"


def event_text(text: bytes) -> bytes | Fault:
    """The JSON of the event that a CloudEvent in JSON stands for; ValueError if it is no JSON."""
    try:
        raw = _object.decode(text)
    except msgspec.ValidationError:
        return "", "a CloudEvent is an object"
    data = raw.pop("data", b"null")
    values = {name: _value.decode(value) for name, value in raw.items()}
    # A null attribute is one that is not there.
    attributes = {name: value for name, value in values.items() if value is not None}
    fault = _attribute_fault(attributes)
    if fault is not None:
        return fault
    try:
        fields = _data.decode(data) or {}
    except msgspec.ValidationError:
        return "data", "must be an object with the event's other fields, such as user_id"
    for name, where in _ENVELOPE.items():
        if name in fields:
            return "data", f"holds {name}, which is {where}; leave it out"
    envelope = {
        "event_id": event_id_of(attributes["source"], attributes["id"]),
        "type": attributes["type"],
        "at": attributes.get("time"),
    }
    return msgspec.json.encode(
        {name: value for name, value in envelope.items() if value is not None} | fields
    )


def as_structured(headers: Mapping[str, str], body: bytes) -> tuple[bytes, str]:
    """The body and its content type; an event in binary mode, whose attributes are headers, in JSON.

    InvalidInput if the body, which is its data, is no JSON.
    """
    content_type = headers.get("content-type", "")
    if _BINARY_MARK not in headers or content_type.startswith("application/cloudevents"):
        return body, content_type
    data = body.strip() or b"null"
    check_value(data)
    start = len(_HEADER_PREFIX)
    attributes = {
        name[start:]: unquote(value) for name, value in headers.items() if name.startswith(_HEADER_PREFIX)
    }
    if content_type:
        attributes["datacontenttype"] = content_type
    return msgspec.json.encode(attributes | {"data": msgspec.Raw(data)}), STRUCTURED_TYPE


def _attribute_fault(attributes: Mapping[str, Any]) -> Fault | None:
    for name in ("specversion", "id", "source", "type"):
        if name not in attributes:
            return name, "missing; CloudEvents require it"
        if not isinstance(attributes[name], str) or not attributes[name]:
            return name, "must be a string that is not empty"
    if attributes["specversion"] != "1.0":
        return "specversion", "must be 1.0"
    if _NOT_IN_SOURCE.search(attributes["source"]):
        return "source", f"must be a URI reference: no white space and no {SEPARATOR}"
    if len(event_id_of(attributes["source"], attributes["id"])) > MAX_ID_LENGTH:
        most = MAX_ID_LENGTH - len(SEPARATOR)
        return "id", f"too long; source and id have at most {most} characters together"
    if "data_base64" in attributes:
        return "data_base64", "not read; send the fields as an object in data"
    for name in attributes:
        if name in _EVENT_FIELDS or not _NAME.fullmatch(name):
            where = _ENVELOPE.get(name, "a field of data, where it is one of the event's")
            return cut(name), f"no attribute of a CloudEvent; it is {where}"
    if not _is_json(str(attributes.get("datacontenttype", "application/json"))):
        return "datacontenttype", "must be application/json; data is an object"
    return None


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")
