"""The baseline: the same events by the plain driver, hand-tuned.

UNWIND batches of 5,000 in one transaction, a statement a type, no aggregation, no duplicate check and no
position. Times travel as integers, which the driver packs fastest. `SAME_GRAPH` writes what the platform
makes of the events, but for who joined in which minute; `LEAN` leaves out streams, what they showcased and
their minutes.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import neo4j

from graph_schema import events as ev
from workers.ingest.aggregate import MINUTE_MS

PER_TRANSACTION = 5000
Statements = Mapping[type, str]

_STREAMER = "MERGE (u:User {id: row.user_id}) MERGE (s:Streamer {id: row.streamer_id}) "
_PRODUCT = "MERGE (u:User {id: row.user_id}) MERGE (p:Product {id: row.product_id}) "
_SELLER = "MERGE (s:Streamer {id: row.streamer_id}) MERGE (p:Product {id: row.product_id}) "
_AT = "WITH *, datetime({epochMillis: row.at}) AS at "
_DAY = "stream_id: row.stream_id, day: row.day"
_BOUGHT = (
    f"UNWIND $rows AS row {_PRODUCT} CREATE (u)-[:BOUGHT {{event_id: row.event_id, "
    "at: datetime({epochMillis: row.at}), quantity: 1, amount: row.amount, streamer_id: row.streamer_id, "
    "stream_id: row.stream_id}]->(p)"
)
_STREAM = " MERGE (t:Stream {id: row.stream_id}) "


def _counter(pattern: str, name: str, value: str) -> str:
    return (
        f"MERGE {pattern} ON CREATE SET r.{name} = {value}, r.first_at = at, r.last_at = at "
        f"ON MATCH SET r.{name} = r.{name} + {value}, "
        "r.first_at = CASE WHEN r.first_at <= at THEN r.first_at ELSE at END, "
        "r.last_at = CASE WHEN r.last_at >= at THEN r.last_at ELSE at END"
    )


def _counted(nodes: str, pattern: str, name: str, value: str) -> str:
    return f"UNWIND $rows AS row {nodes} {_AT} {_counter(pattern, name, value)}"


def _minute(name: str) -> str:
    return (
        f"{_STREAM} MERGE (m:Minute {{stream_id: row.stream_id, at: datetime({{epochMillis: row.minute}})}}) "
        f"ON CREATE SET m.{name} = 1 ON MATCH SET m.{name} = coalesce(m.{name}, 0) + 1 "
        "MERGE (t)-[:HAS_MINUTE]->(m)"
    )


LEAN: Statements = {
    ev.UserWatched: _counted(_STREAMER, f"(u)-[r:WATCHED {{{_DAY}}}]->(s)", "seconds", "row.seconds"),
    ev.UserEngaged: _counted(_STREAMER, f"(u)-[r:ENGAGED {{{_DAY}}}]->(s)", "likes", "row.likes"),
    ev.UserViewed: _counted(_PRODUCT, f"(u)-[r:VIEWED {{{_DAY}}}]->(p)", "count", "1"),
    ev.UserCarted: _counted(_PRODUCT, f"(u)-[r:CARTED {{{_DAY}}}]->(p)", "count", "1"),
    ev.UserBought: _BOUGHT,
    ev.UserFollowed: f"UNWIND $rows AS row {_STREAMER} MERGE (u)-[r:FOLLOWS]->(s) "
    "SET r.at = datetime({epochMillis: row.at})",
    ev.ProductShowcased: _counted(_SELLER, "(s)-[r:SELLS]->(p)", "count", "1"),
}
SAME_GRAPH: Statements = {
    ev.UserWatched: LEAN[ev.UserWatched] + _STREAM,
    ev.UserEngaged: LEAN[ev.UserEngaged] + _STREAM,
    ev.UserViewed: LEAN[ev.UserViewed] + _minute("num_views"),
    ev.UserCarted: LEAN[ev.UserCarted] + _minute("num_carts"),
    ev.UserBought: _BOUGHT + " WITH row" + _minute("num_purchases"),
    ev.UserFollowed: LEAN[ev.UserFollowed] + _STREAM,
    ev.ProductShowcased: LEAN[ev.ProductShowcased]
    + f" WITH row, p, at {_STREAM}"
    + _counter("(t)-[r:SHOWCASED]->(p)", "count", "1"),
}
_COMMON = ("user_id", "streamer_id", "product_id", "stream_id", "seconds", "likes", "amount")
_FIELDS = {
    kind: tuple(name for name in _COMMON if name in kind.__struct_fields__)  # type: ignore[attr-defined]  # all are structs
    for kind in LEAN
}


def write_plainly(
    driver: neo4j.Driver, events: Sequence[ev.Event], *, statements: Statements = SAME_GRAPH
) -> float:
    """Seconds that the driver takes for the events."""
    started = time.perf_counter()
    with driver.session() as session:
        for first in range(0, len(events), PER_TRANSACTION):
            rows: dict[type, list[dict[str, Any]]] = defaultdict(list)
            for event in events[first : first + PER_TRANSACTION]:
                rows[type(event)].append(_row(event))
            with session.begin_transaction() as tx:
                for kind, of_kind in rows.items():
                    tx.run(statements[kind], rows=of_kind).consume()
                tx.commit()
    return time.perf_counter() - started


def _row(event: ev.Event) -> dict[str, Any]:
    kind = type(event)
    row = {name: getattr(event, name) for name in _FIELDS[kind]}
    row["at"] = event.at_ms
    row["minute"] = row["at"] // MINUTE_MS * MINUTE_MS
    if kind is ev.UserBought:
        row["event_id"] = event.event_id
    else:
        row["day"] = event.at.date()
    return row
