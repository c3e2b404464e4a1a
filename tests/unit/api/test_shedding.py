"""More requests than can be answered: some are refused at once, so that the others do not wait for ever."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.read_load import Latencies, get_request, open_loop
from lsec.api.shedding import BEHIND_S, RETRY_AFTER_S, Shedding

ANSWER_S = 0.005
CAPACITY = 1 / ANSWER_S
CONNECTIONS = 400
"""Enough that no request waits for one at the client."""
REQUESTS = [get_request("/v1/users/u1/recommendations", "lsec_key")]


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer that holds up the event loop."""
    time.sleep(ANSWER_S)  # noqa: ASYNC251 - that is the point
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """The port of a server of the app."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def overload(port: int) -> Latencies:
    return open_loop(port, REQUESTS, seconds=2.0, per_second=3 * CAPACITY, connections=CONNECTIONS)


def test_nothing_is_refused_while_all_can_be_answered() -> None:
    with served(Shedding(answer)) as port:
        found = open_loop(port, REQUESTS, seconds=1.0, per_second=CAPACITY / 8)
    assert found.num_refused == 0


def test_what_is_answered_under_overload_comes_sooner_than_without_refusals() -> None:
    with served(answer) as port:
        without = overload(port)
    with served(Shedding(answer)) as port:
        found = overload(port)
    assert without.num_refused == 0
    assert found.num_refused > 0
    assert len(found.seconds) > 0
    assert found.ms(99) < without.ms(99) / 3


async def ask(app: ASGIApp, path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of the app's answer."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


async def test_a_late_loop_refuses_until_it_has_caught_up_but_tells_how_it_is() -> None:
    app = Shedding(answer)
    before = await ask(app, "/v1/x")
    time.sleep(2 * BEHIND_S)  # noqa: ASYNC251 - that is the point
    status, headers, body = await ask(app, "/v1/x")
    health = await ask(app, "/healthz")
    await asyncio.sleep(2 * BEHIND_S)
    after = await ask(app, "/v1/x")
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert headers[b"retry-after"] == b"%d" % RETRY_AFTER_S
    assert headers[b"content-type"] == b"application/problem+json"
    assert b"More requests came" in body
    assert before[0] == health[0] == after[0] == HTTPStatus.OK
