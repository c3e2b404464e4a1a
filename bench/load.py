"""Load on `POST /v1/events`: bursts, a paced stream, and an open loop of single events."""

import asyncio
import http.client
import itertools
import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
import neo4j

from graph_schema import events as ev
from lsec.core.event_log import position_key
from lsec.core.settings import Settings

PER_REQUEST = 500
CONNECTIONS = 2
POLL_S = 0.01
COMMIT_POLL_S = 0.05
"""The API and the log answer it too, on the cores that are measured."""
COMMIT_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Sent:
    """How long a burst took: until all was accepted, and until all was in the graph."""

    accepted_s: float
    committed_s: float


@dataclass(slots=True)
class Target:
    """The API under load, and a key."""

    settings: Settings
    secret: str
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"}

    def connection(self) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection(self.settings.api_host, self.settings.api_port)

    def ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None) -> Any:
        """The answer's JSON; ends the benchmark if it is none of success."""
        connection.request(method, path, body=body, headers=self.headers)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        if answer.status not in (200, 202):
            raise SystemExit(f"{method} {path}: {answer.status} {str(found)[:500]}")
        return found

    def num_committed(self) -> int:
        """Events in the graph, by the API's word."""
        lag = self.ask(self.connection(), "GET", "/v1/events/lag", None)
        return sum(shard["committed"] for shard in lag["shards"])

    def backlog(self) -> int:
        """Events that wait for the graph."""
        return int(self.ask(self.connection(), "GET", "/v1/events/lag", None)["backlog_events"])

    def post(self, connection: http.client.HTTPConnection, body: bytes) -> dict[str, str]:
        """Send a request of new events; the positions that the log gave it, by shard."""
        answer = self.ask(connection, "POST", "/v1/events", body)
        if answer["rejected"] or answer["duplicates"]:
            raise SystemExit(f"not all was accepted: {answer}")
        positions: dict[str, str] = answer["positions"]
        return positions


def bodies(events: Sequence[ev.Event], *, size: int = PER_REQUEST) -> list[bytes]:
    """The events as bodies of requests."""
    return [msgspec.json.encode(events[first : first + size]) for first in range(0, len(events), size)]


def burst(target: Target, events: Sequence[ev.Event]) -> Sent:
    """Post all of the events as fast as they are taken, then wait until they are in the graph."""
    requests = bodies(events)
    before = target.num_committed()
    started = time.perf_counter()

    def post(own: Sequence[bytes]) -> None:
        connection = target.connection()
        for body in own:
            target.post(connection, body)

    _in_threads(post, requests)
    accepted_s = time.perf_counter() - started
    while target.num_committed() - before < len(events):
        if time.perf_counter() - started > COMMIT_TIMEOUT_S:
            raise SystemExit(f"The events were not committed within {COMMIT_TIMEOUT_S:.0f} s.")
        time.sleep(COMMIT_POLL_S)
    return Sent(accepted_s, time.perf_counter() - started)


def takes(target: Target, body: bytes) -> bool:
    """Whether the API takes a request now."""
    connection = target.connection()
    connection.request("POST", "/v1/events", body=body, headers=target.headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status == HTTPStatus.ACCEPTED


def _in_threads(post: Callable[[Sequence[bytes]], None], requests: Sequence[bytes]) -> None:
    """Post over CONNECTIONS at once; what ends one of them ends the benchmark."""
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        for done in [threads.submit(post, requests[number::CONNECTIONS]) for number in range(CONNECTIONS)]:
            done.result()


def fill(target: Target, requests: Sequence[bytes]) -> tuple[int, float]:
    """Post until the API says 503 and when to try again: the requests taken by then, and the seconds."""
    taken = itertools.count()
    started = time.perf_counter()
    ends: list[float] = []

    def post(own: Sequence[bytes]) -> None:
        connection = target.connection()
        for body in own:
            connection.request("POST", "/v1/events", body=body, headers=target.headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status == HTTPStatus.SERVICE_UNAVAILABLE and answer.headers["Retry-After"]:
                ends.append(time.perf_counter())
                return
            if answer.status != HTTPStatus.ACCEPTED:
                raise SystemExit(f"{answer.status} {said.decode()[:500]}")
            next(taken)

    _in_threads(post, requests)
    if not ends:
        raise SystemExit("The limit was never reached.")
    return next(taken), ends[0] - started


def paced_lags(
    target: Target, driver: neo4j.Driver, events: Sequence[ev.Event], *, per_second: float
) -> list[float]:
    """Seconds from each request's 202 until Cypher sees it, at a steady rate; of one shard.

    Asked of Neo4j every POLL_S by the position that moves in the transaction of the events.
    """
    answered: list[tuple[float, tuple[int, int]]] = []
    seen: list[tuple[float, tuple[int, int]]] = []
    done = threading.Event()

    def watch() -> None:
        with driver.session() as session:
            while not done.wait(POLL_S):
                record = session.run("MATCH (o:IngestOffset {shard: 0}) RETURN o.position AS p").single()
                if record is not None:
                    seen.append((time.perf_counter(), position_key(record["p"])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    connection = target.connection()
    started = time.perf_counter()
    for number, body in enumerate(bodies(events)):
        time.sleep(max(0.0, started + number * PER_REQUEST / per_second - time.perf_counter()))
        position = target.post(connection, body)["0"]
        answered.append((time.perf_counter(), position_key(position)))
    deadline = time.perf_counter() + COMMIT_TIMEOUT_S
    while (not seen or seen[-1][1] < answered[-1][1]) and time.perf_counter() < deadline:
        time.sleep(POLL_S)
    done.set()
    watcher.join()
    lags, place = [], 0
    for moment, position_of in answered:
        while seen[place][1] < position_of:
            place += 1
        lags.append(max(0.0, seen[place][0] - moment))
    return lags


def single_latencies(target: Target, events: Sequence[ev.Event], *, per_second: float) -> list[float]:
    """Seconds from when each single event was due until its 202: an open loop over 32 connections.

    In a process of its own. An event that has to wait for a connection has waited from when it was due.
    """
    singles = [msgspec.json.encode(event) for event in events]
    settings = target.settings
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_open_loop,
        args=(sender, settings.api_host, settings.api_port, target.headers, singles, per_second),
    )
    process.start()
    sender.close()
    latencies: list[float] = receiver.recv()
    process.join()
    return latencies


def _open_loop(
    sender: Any, host: str, port: int, headers: dict[str, str], singles: list[bytes], per_second: float
) -> None:
    sender.send(asyncio.run(_send_singles(host, port, headers, singles, per_second)))


async def _send_singles(
    host: str, port: int, headers: dict[str, str], singles: list[bytes], per_second: float
) -> list[float]:
    head = f"POST /v1/events HTTP/1.1\r\nHost: {host}:{port}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(32):
        idle.put_nowait(await asyncio.open_connection(host, port))
    latencies: list[float] = []

    async def send(body: bytes, due: float) -> None:
        reader, writer = await idle.get()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 202 " not in answer.split(b"\r\n", 1)[0]:
            raise SystemExit(answer.decode())
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        latencies.append(time.perf_counter() - due)
        idle.put_nowait((reader, writer))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number, body in enumerate(singles):
            due = started + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(send(body, due))
    return latencies
