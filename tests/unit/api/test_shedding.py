"""More requests than can be answered: some are refused at once, so that the others do not wait for ever."""

import asyncio
import time
from http import HTTPStatus

import httpx2
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from bench.read_load import Latencies, get_request, open_loop
from lsec.api.shedding import BEHIND_S, RETRY_AFTER_S, Shedding
from tests.in_thread import running

ANSWER_S = 0.02
CAPACITY = 1 / ANSWER_S
"""A second: so few that refusing what is too much costs little, on a busy machine too."""
CONNECTIONS = 400
"""Enough that no request waits for one at the client."""
REQUESTS = [get_request("/v1/users/u1/recommendations", "lsec_key")]


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer that holds up the event loop."""
    time.sleep(ANSWER_S)  # noqa: ASYNC251 - that is the point
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def asked(app: ASGIApp, *, seconds: float, per_second: float) -> Latencies:
    """What became of requests to a server of the app."""
    # The load takes a connection that is closed while it waits its turn for a fault.
    # Not uvloop: it accepts one connection a turn, so that many which come at once wait outside of the app.
    config = uvicorn.Config(
        app, port=0, log_level="warning", lifespan="off", timeout_keep_alive=60, loop="asyncio"
    )
    with running(uvicorn.Server(config)) as url:
        port = int(url.rpartition(":")[2])
        return open_loop(port, REQUESTS, seconds=seconds, per_second=per_second, connections=CONNECTIONS)


def overloaded(app: ASGIApp) -> Latencies:
    return asked(app, seconds=2.0, per_second=3 * CAPACITY)


def test_nothing_is_refused_while_all_can_be_answered() -> None:
    found = asked(Shedding(answer), seconds=1.0, per_second=CAPACITY / 8)
    assert found.num_refused == 0


def test_what_is_answered_under_overload_comes_sooner_than_without_refusals() -> None:
    without, found = overloaded(answer), overloaded(Shedding(answer))
    assert without.num_refused == 0
    assert found.num_refused > 0
    assert len(found.seconds) > 0
    assert found.ms(99) < without.ms(99) / 3


async def test_a_late_loop_refuses_until_it_has_caught_up_but_tells_how_it_is() -> None:
    transport = httpx2.ASGITransport(app=Shedding(answer))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
        before = await client.get("/v1/x")
        time.sleep(2 * BEHIND_S)  # noqa: ASYNC251 - that is the point
        refused, health = await client.get("/v1/x"), await client.get("/healthz")
        await asyncio.sleep(2 * BEHIND_S)
        after = await client.get("/v1/x")
    assert refused.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert refused.headers["retry-after"] == str(RETRY_AFTER_S)
    assert refused.headers["content-type"] == "application/problem+json"
    assert b"More requests came" in refused.content
    assert before.status_code == health.status_code == after.status_code == HTTPStatus.OK
