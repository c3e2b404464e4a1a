"""Values of Cypher as JSON: nodes, relationships, paths, times and places as objects with a `$type`."""

import math
from typing import Any

from neo4j.graph import Node, Path, Relationship
from neo4j.spatial import Point
from neo4j.time import Date, DateTime, Duration, Time


def json_value(value: Any) -> Any:
    """The value for JSON; what JSON has not is an object with a `$type`."""
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            return value if math.isfinite(value) else {"$type": "float", "value": _float_name(value)}
        case list() | tuple() if not isinstance(value, Point | Duration):
            return [json_value(each) for each in value]
        case dict():
            return {str(name): json_value(each) for name, each in value.items()}
        case Node():
            labels = sorted(value.labels)
            return {
                "$type": "node",
                "element_id": value.element_id,
                "labels": labels,
                "properties": _properties(value),
            }
        case Relationship():
            return {
                "$type": "relationship",
                "element_id": value.element_id,
                "type": value.type,
                "start": None if value.start_node is None else value.start_node.element_id,
                "end": None if value.end_node is None else value.end_node.element_id,
                "properties": _properties(value),
            }
        case Path():
            return {
                "$type": "path",
                "nodes": [json_value(node) for node in value.nodes],
                "relationships": [json_value(each) for each in value.relationships],
            }
        case _:
            return _scalar(value)


def _scalar(value: Any) -> Any:
    match value:
        case DateTime():
            kind = "localdatetime" if value.tzinfo is None else "datetime"
            return {"$type": kind, "value": value.iso_format()}
        case Date():
            return {"$type": "date", "value": value.iso_format()}
        case Time():
            kind = "localtime" if value.tzinfo is None else "time"
            return {"$type": kind, "value": value.iso_format()}
        case Duration():
            return {"$type": "duration", "value": value.iso_format()}
        case Point():
            return {"$type": "point", "srid": value.srid, "coordinates": list(value)}
        case bytes() | bytearray():
            return {"$type": "bytes", "value": value.hex()}
        case _:
            # Such as vectors, which list their numbers.
            return {"$type": type(value).__name__.lower(), "value": str(value)}


def _properties(entity: Node | Relationship) -> dict[str, Any]:
    return {name: json_value(each) for name, each in entity.items()}


def _float_name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
