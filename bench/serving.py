"""Recommendation latency and requests per second beside a bare FastAPI route, on a stack of its own.

Fills a graph, trains and publishes a release, then asks for random users' recommendations over kept-alive
connections. The load shares this machine's cores with the server, so compare the ratios.
"""

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import neo4j
import numpy as np
from fastapi import FastAPI, Response
from sqlalchemy.orm import Session

from bench.report import parser, report
from bench.stack import make_key
from lsec.core.jobs import DEFAULT_MODEL, new_id
from lsec.core.ledger import Scope, Training, TrainingStatus
from lsec.core.settings import Settings
from lsec.local import running_stack
from workers import ledger
from workers.graph import open_driver
from workers.trainings import run_training

CONCURRENCY = 16
PURCHASES_PER_USER = 25
FOLLOWS_PER_USER = 10
PRODUCTS_PER_STREAMER = 40
ROWS_PER_WRITE = 20_000

NODES = """
UNWIND range(0, $num - 1) AS i
CALL (i) { CREATE (n:$($label) {id: $prefix + i, index: i}) }
"""
BOUGHT = """
UNWIND $rows AS row
MATCH (u:User {index: row[0]}), (p:Product {index: row[1]})
CREATE (u)-[:BOUGHT {event_id: randomUUID(), at: datetime('2026-01-01T00:00:00Z'), quantity: 1, amount: 100,
                     streamer_id: '', stream_id: '', seq: 1, shard: 0}]->(p)
"""
FOLLOWS = """
UNWIND $rows AS row
MATCH (u:User {index: row[0]}), (s:Streamer {index: row[1]}) MERGE (u)-[:FOLLOWS {at: datetime()}]->(s)
"""
SELLS = """
UNWIND $rows AS row
MATCH (s:Streamer {index: row[0]}), (p:Product {index: row[1]}) MERGE (s)-[:SELLS {count: 1}]->(p)
"""


@dataclass(frozen=True, slots=True)
class Market:
    """Sizes of the graph."""

    users: int
    products: int
    streamers: int


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of request: alone for its latency, then CONCURRENCY at a time for its rate."""

    name: str
    p50_ms: float
    p99_ms: float
    requests_per_s: float
    requests_per_s_of_bare: float = 1.0


def bare_app() -> FastAPI:
    """The least that FastAPI can do: one route without parameters."""
    app = FastAPI()

    @app.get("/")
    async def answer() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    return app


def fill(driver: neo4j.Driver, market: Market, rng: np.random.Generator) -> None:
    """A market with long-tailed products, whose users buy mostly within one of ten tastes."""
    for label, prefix, num in (
        ("User", "u", market.users),
        ("Product", "p", market.products),
        ("Streamer", "s", market.streamers),
    ):
        driver.execute_query(NODES, num=num, label=label, prefix=prefix)
        driver.execute_query("CREATE (:IndexCounter {label: $label, next: $num})", label=label, num=num)
    driver.execute_query(
        "CREATE (:IngestOffset {shard: 0, epoch: 'e', position: '1-0', seq: 1, num_events: 1})"
    )
    buyers = np.repeat(np.arange(market.users), PURCHASES_PER_USER)
    ranks = (market.products // 10 * rng.random(len(buyers)) ** 2).astype(int)
    _write(driver, BOUGHT, np.unique(np.stack([buyers, ranks * 10 + buyers % 10], 1), axis=0))
    followers = np.repeat(np.arange(market.users), FOLLOWS_PER_USER)
    _write(driver, FOLLOWS, np.stack([followers, rng.integers(0, market.streamers, len(followers))], 1))
    sellers = np.repeat(np.arange(market.streamers), PRODUCTS_PER_STREAMER)
    _write(driver, SELLS, np.stack([sellers, rng.integers(0, market.products, len(sellers))], 1))


def _write(driver: neo4j.Driver, statement: str, rows: np.ndarray) -> None:
    for start in range(0, len(rows), ROWS_PER_WRITE):
        chunk = rows[start : start + ROWS_PER_WRITE].tolist()
        driver.execute_query(statement, rows=chunk)


def train(settings: Settings) -> float:
    """Seconds that a real training and publication took."""
    training_id = new_id("trn")
    engine = ledger.open_ledger(settings)
    request = {"model": DEFAULT_MODEL, "seed": 0, "publish": True, "min_purchases": 1}
    with Session(engine) as session, session.begin():
        session.add(
            Training(id=training_id, status=TrainingStatus.QUEUED, request=request, requested_by="bench")
        )
    engine.dispose()
    started = time.monotonic()
    status = run_training(settings, training_id)
    if status != TrainingStatus.SUCCEEDED:
        raise SystemExit(f"The training ended as {status}; see {settings.runs_path / training_id}.")
    return time.monotonic() - started


async def load(
    port: int, path: Callable[[], str], secret: str, *, concurrency: int, seconds: float
) -> list[float]:
    """Seconds that each request took, of `concurrency` connections that ask again and again."""
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def ask_on() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started := time.perf_counter()) < until:
            writer.write(
                f"GET {path()} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {secret}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"unexpected answer: {head.decode()}")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - started)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(ask_on() for _ in range(concurrency)))
    return took


def measure(name: str, port: int, path: Callable[[], str], secret: str, seconds: float) -> Measure:
    """The figures of one kind of request, after as long a time for Neo4j's JVM to warm up."""
    asyncio.run(load(port, path, secret, concurrency=CONCURRENCY, seconds=seconds))
    alone = asyncio.run(load(port, path, secret, concurrency=1, seconds=seconds))
    many = asyncio.run(load(port, path, secret, concurrency=CONCURRENCY, seconds=seconds))
    p50, p99 = np.percentile(alone, [50, 99]) * 1000
    return Measure(name, round(float(p50), 2), round(float(p99), 2), round(len(many) / seconds, 1))


@contextlib.contextmanager
def bare_server() -> Iterator[int]:
    """The port of a process that serves `bare_app`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "bench.serving:bare_app", "--port", str(port)]
    process = subprocess.Popen([*command, "--log-level", "warning", "--no-access-log"])
    try:
        wait_for(lambda: _status(f"http://127.0.0.1:{port}/") == 200)
        yield port
    finally:
        process.terminate()
        process.wait()


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 30) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("A server did not become ready in time.")
        time.sleep(0.1)


def _status(url: str, secret: str = "") -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {secret}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def _is_served(port: int, secret: str) -> bool:
    url = f"http://127.0.0.1:{port}/v1/users/u0/recommendations"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {secret}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bool(json.load(answer)["source"] == "slate")


def run(market: Market, seconds: float, data_dir: Path) -> list[Measure]:
    """All figures, with the bare route's rate as 1."""
    settings = Settings(data_dir=data_dir, bolt_port=0, valkey_port=0, api_port=0)
    with running_stack(settings, services=("valkey", "neo4j", "api")) as stack, bare_server() as bare_port:
        with open_driver(stack.settings) as driver:
            fill(driver, market, np.random.default_rng(0))
        train(stack.settings)
        secret = make_key(stack.settings, Scope.READ)
        port = stack.settings.api_port
        wait_for(lambda: _is_served(port, secret))
        users = random.Random(0)

        def for_user(prefix: str, query: str) -> Callable[[], str]:
            return lambda: f"/v1/users/{prefix}{users.randrange(market.users)}/recommendations?k=10{query}"

        measures = [
            measure("bare FastAPI route", bare_port, lambda: "/", secret, seconds),
            measure("health", port, lambda: "/healthz", secret, seconds),
            measure("with reasons", port, for_user("u", ""), secret, seconds),
            measure("without reasons", port, for_user("u", "&explain=false"), secret, seconds),
            measure("unknown user", port, for_user("new", ""), secret, seconds),
        ]
    bare = measures[0].requests_per_s
    return [
        Measure(m.name, m.p50_ms, m.p99_ms, m.requests_per_s, round(m.requests_per_s / bare, 3))
        for m in measures
    ]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    market = Market(400, 200, 20) if options.quick else Market(5000, 5000, 200)
    with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
        measures = run(market, 1.0 if options.quick else 8.0, Path(folder))
    figures = {m.name: {k: v for k, v in asdict(m).items() if k != "name"} for m in measures}
    report(f"{market.users:,} users, {CONCURRENCY} connections", figures, options.json)


if __name__ == "__main__":
    main()
