"""API-to-graph events per second beside the plain driver's, on a stack of its own.

`python -m bench.ingest [--quick] [--json FILE]`: the mix of a flash sale through `POST /v1/events`, 500
events a request, against the like by the driver in hand-tuned UNWIND batches of 5,000, a statement a type.
Generator, API, log, ingester and Neo4j share this machine's cores, so compare the ratios. Rounds alternate,
each on new ids; the first of both warms up.
"""

import asyncio
import http.client
import json
import random
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import neo4j

from bench.report import parser, report
from graph_schema import events as ev
from lsec.api.stores.keys import KeyStore
from lsec.api.stores.ledger import open_ledger
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from lsec.local import running_stack
from workers.graph import open_driver

PER_REQUEST = 500
PER_TRANSACTION = 5000
CONNECTIONS = 2
NUM_PRODUCTS, NUM_STREAMERS = 5000, 200

_STREAMER = "MERGE (u:User {id: row.user_id}) MERGE (s:Streamer {id: row.streamer_id}) "
_PRODUCT = "MERGE (u:User {id: row.user_id}) MERGE (p:Product {id: row.product_id}) "
_DAY = "stream_id: row.stream_id, day: row.day"
_TIMES = (
    "r.first_at = CASE WHEN r.first_at <= row.at THEN r.first_at ELSE row.at END, "
    "r.last_at = CASE WHEN r.last_at >= row.at THEN r.last_at ELSE row.at END"
)
_NEW = "r.first_at = row.at, r.last_at = row.at"


def _counted(nodes: str, pattern: str, name: str, value: str) -> str:
    return (
        f"UNWIND $rows AS row {nodes} MERGE {pattern} ON CREATE SET r.{name} = {value}, {_NEW} "
        f"ON MATCH SET r.{name} = r.{name} + {value}, {_TIMES}"
    )


PLAIN: dict[type, str] = {
    ev.UserWatched: _counted(_STREAMER, f"(u)-[r:WATCHED {{{_DAY}}}]->(s)", "seconds", "row.seconds"),
    ev.UserEngaged: _counted(_STREAMER, f"(u)-[r:ENGAGED {{{_DAY}}}]->(s)", "likes", "row.likes"),
    ev.UserViewed: _counted(_PRODUCT, f"(u)-[r:VIEWED {{{_DAY}}}]->(p)", "count", "1"),
    ev.UserCarted: _counted(_PRODUCT, f"(u)-[r:CARTED {{{_DAY}}}]->(p)", "count", "1"),
    ev.UserBought: f"UNWIND $rows AS row {_PRODUCT} CREATE (u)-[:BOUGHT {{event_id: row.event_id, "
    "at: row.at, quantity: 1, amount: row.amount, streamer_id: row.streamer_id, "
    "stream_id: row.stream_id}]->(p)",
    ev.UserFollowed: f"UNWIND $rows AS row {_STREAMER} MERGE (u)-[r:FOLLOWS]->(s) SET r.at = row.at",
    ev.ProductShowcased: _counted(
        "MERGE (s:Streamer {id: row.streamer_id}) MERGE (p:Product {id: row.product_id}) ",
        "(s)-[r:SELLS]->(p)",
        "count",
        "1",
    ),
}
"""Statements of the plain driver; times and days are made where the rows are."""


@dataclass(frozen=True, slots=True)
class Sent:
    """How long a burst took: until all was accepted, until all was in the graph, and what was by then."""

    accepted_s: float
    committed_s: float
    committed_at_acceptance: int


def sale(num_events: int, *, seed: int) -> list[ev.Event]:
    """A flash sale: users act in bursts, products are Zipf, one streamer has half of the audience."""
    draw = random.Random(seed)
    start = datetime.now(UTC) - timedelta(hours=1)
    weights = [1 / (rank + 1) for rank in range(NUM_PRODUCTS)]
    events: list[ev.Event] = []
    while len(events) < num_events:
        user_id = f"{seed}-user-{draw.randrange(max(100, num_events // 5))}"
        place = 0 if draw.random() < 0.5 else draw.randrange(1, NUM_STREAMERS)
        products = draw.choices(range(NUM_PRODUCTS), weights, k=draw.randrange(1, 12))
        for product in products:
            at = start + timedelta(milliseconds=5 * len(events) + draw.randrange(1000))
            names: dict[str, Any] = {
                "user_id": user_id,
                "streamer_id": f"streamer-{place}",
                "product_id": f"product-{product}",
                "stream_id": f"{seed}-stream-{place}",
            }
            events.append(_event(draw.random(), names, at=at, event_id=f"{seed}-{len(events)}"))
    return events[:num_events]


def _event(share: float, names: dict[str, Any], **own: Any) -> ev.Event:
    streamer = {name: names[name] for name in ("user_id", "streamer_id", "stream_id")}
    if share < 0.45:
        return ev.UserWatched(**streamer, **own, seconds=10)
    if share < 0.70:
        return ev.UserViewed(**names, **own)
    if share < 0.85:
        return ev.UserEngaged(**streamer, **own, likes=1)
    if share < 0.91:
        return ev.UserCarted(**names, **own)
    if share < 0.96:
        return ev.UserBought(**names, **own, amount=1999)
    if share < 0.98:
        return ev.UserFollowed(**streamer, **own)
    return ev.ProductShowcased(**{k: v for k, v in names.items() if k != "user_id"}, **own)


def write_plainly(driver: neo4j.Driver, events: Sequence[ev.Event]) -> float:
    """Seconds that the driver takes for the events."""
    started = time.perf_counter()
    with driver.session() as session:
        for first in range(0, len(events), PER_TRANSACTION):
            rows: dict[type, list[dict[str, Any]]] = defaultdict(list)
            for event in events[first : first + PER_TRANSACTION]:
                row = {name: getattr(event, name) for name in event.__struct_fields__}
                rows[type(event)].append(row | {"day": event.at.date()})
            with session.begin_transaction() as tx:
                for kind, of_kind in rows.items():
                    tx.run(PLAIN[kind], rows=of_kind).consume()
                tx.commit()
    return time.perf_counter() - started


class Producer:
    """Posts events with a key, and asks how many are committed."""

    def __init__(self, settings: Settings, secret: str) -> None:
        self._address = (settings.api_host, settings.api_port)
        self._headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}

    def committed(self) -> int:
        """Events in the graph, by the API's word."""
        answer = self._ask(http.client.HTTPConnection(*self._address), "GET", "/v1/events/lag", None)
        return int(answer["shards"][0]["committed"])

    def send(self, events: Sequence[ev.Event]) -> Sent:
        """Post all of the events as fast as they are taken, then wait until they are in the graph."""
        bodies = [
            msgspec.json.encode(events[first : first + PER_REQUEST])
            for first in range(0, len(events), PER_REQUEST)
        ]
        before = self.committed()
        started = time.perf_counter()
        threads = [
            threading.Thread(target=self._post, args=(bodies[number::CONNECTIONS],))
            for number in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        accepted_s = time.perf_counter() - started
        committed = self.committed() - before
        while self.committed() - before < len(events):
            if time.perf_counter() - started > 600:
                raise SystemExit("The events were not committed within ten minutes.")
            time.sleep(0.02)
        return Sent(accepted_s, time.perf_counter() - started, committed)

    def _post(self, bodies: Sequence[bytes]) -> None:
        connection = http.client.HTTPConnection(*self._address)
        for body in bodies:
            answer = self._ask(connection, "POST", "/v1/events", body)
            if answer["rejected"] or answer["duplicates"]:
                raise SystemExit(f"not all was accepted: {answer}")

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> dict[str, Any]:
        connection.request(method, path, body=body, headers=self._headers)
        answer = connection.getresponse()
        found: dict[str, Any] = json.loads(answer.read())
        if answer.status not in (200, 202):
            raise SystemExit(f"{method} {path}: {answer.status} {found}")
        return found


async def make_key(settings: Settings) -> str:
    """The secret of a key that may ingest."""
    async with open_ledger(settings) as ledger:
        return (await KeyStore(ledger).create("bench", Scope.INGEST))[1]


def measure(
    settings: Settings, driver: neo4j.Driver, num_events: int, num_rounds: int
) -> dict[str, dict[str, float]]:
    """The median rates of the rounds after the first, and their ratios to the driver's."""
    producer = Producer(settings, asyncio.run(make_key(settings)))
    rates: dict[str, list[float]] = defaultdict(list)
    for number in range(num_rounds + 1):
        plain_s = write_plainly(driver, sale(num_events, seed=2 * number))
        sent = producer.send(sale(num_events, seed=2 * number + 1))
        if number > 0:
            rates["plain driver"].append(num_events / plain_s)
            rates["API to committed"].append(num_events / sent.committed_s)
            rates["accepted (202)"].append(num_events / sent.accepted_s)
            left = num_events - sent.committed_at_acceptance
            rates["drain after the burst"].append(left / max(1e-9, sent.committed_s - sent.accepted_s))
    medians = {name: sorted(of_name)[len(of_name) // 2] for name, of_name in rates.items()}
    plain = medians["plain driver"]
    return {name: {"events/s": rate, "of plain driver": rate / plain} for name, rate in medians.items()}


def run(num_events: int, num_rounds: int, data_dir: Path) -> dict[str, dict[str, float]]:
    """All figures, on a stack in `data_dir`."""
    settings = Settings(data_dir=data_dir, bolt_port=0, valkey_port=0, api_port=0)
    with (
        running_stack(settings, services=("valkey", "neo4j", "api", "ingester")) as stack,
        open_driver(stack.settings) as driver,
    ):
        return measure(stack.settings, driver, num_events, num_rounds)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    num_events, num_rounds = (5_000, 1) if options.quick else (100_000, 3)
    with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
        figures = run(num_events, num_rounds, Path(folder))
    report(f"Ingestion of {num_events:,} events", figures, options.json)


if __name__ == "__main__":
    main()
