"""The graph in Neo4j in the form of `expected_graph`, to compare with."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import neo4j
import neo4j.time

from graph_schema.events import epoch_ms
from tests.unit.ingest.expected_graph import Graph

_KEYS = {
    "BOUGHT": ("event_id",),
    "WATCHED": ("stream_id", "day"),
    "ENGAGED": ("stream_id", "day"),
    "VIEWED": ("streamer_id", "stream_id", "day"),
    "CARTED": ("streamer_id", "stream_id", "day"),
    "IMPRESSED": ("release_id", "day"),
}
"""What of a relationship's properties is part of its key, beside its ends."""


def dump_graph(driver: neo4j.Driver) -> Graph:
    """All that events make, without what depends on their order: dense indexes and `seq`."""
    graph: Graph = {}
    for key, found in graph_records(driver):
        assert key not in graph, f"two records of {key}"
        graph[key] = found
    return graph


def graph_records(driver: neo4j.Driver) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The same, record by record, also where two have the same key."""
    nodes, _, _ = driver.execute_query(
        "MATCH (n:User|Streamer|Product|Stream|Refund|Minute) "
        "RETURN labels(n)[0] AS label, properties(n) AS p"
    )
    for record in nodes:
        label, found = record["label"], _plain(record["p"])
        found.pop("index", None)
        match label:
            case "Refund":
                yield (label, found.pop("purchase_event_id")), found
            case "Minute":
                yield (label, found.pop("stream_id"), found.pop("at")), found
            case _:
                yield (label, found.pop("id")), found
    edges, _, _ = driver.execute_query(
        "MATCH (a:User|Streamer|Product|Stream)-[r]->(b:User|Streamer|Product|Stream|Category) "
        "RETURN type(r) AS name, a.id AS start, b.id AS end, properties(r) AS p"
    )
    for record in edges:
        name, found = record["name"], _plain(record["p"])
        found.pop("seq", None), found.pop("shard", None)
        yield (
            (name, record["start"], record["end"], *(found.pop(part) for part in _KEYS.get(name, ()))),
            found,
        )
    minutes, _, _ = driver.execute_query(
        "MATCH (t:Stream)-[r:HAS_MINUTE]->(m:Minute) "
        "RETURN t.id AS start, m.stream_id AS end, m.at AS at, properties(r) AS p"
    )
    for record in minutes:
        at = _plain_value(record["at"])
        yield ("HAS_MINUTE", record["start"], record["end"], at), _plain(record["p"])


def _plain(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in properties.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, neo4j.time.DateTime | neo4j.time.Date):
        value = value.to_native()
    return epoch_ms(value) if isinstance(value, datetime) else value
