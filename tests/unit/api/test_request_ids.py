"""What the middleware makes of a request: its id, its line, its place in the metrics."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from prometheus_client.parser import text_string_to_metric_families

from lsec.api.metrics import Metrics
from lsec.api.problems import add_problem_handlers
from lsec.api.request_ids import RequestIds
from lsec.core.logs import REQUEST_ID, note

metrics = Metrics()


@pytest.fixture
def app() -> FastAPI:
    """An app with the middleware."""
    app = FastAPI()
    app.add_middleware(RequestIds, metrics=metrics)
    add_problem_handlers(app)

    @app.get("/users/{user_id}")
    async def get_user(user_id: str) -> dict[str, str]:
        note(key="key_1")
        return {"request_id": REQUEST_ID.get()}

    @app.get("/broken")
    async def get_broken() -> None:
        raise RuntimeError

    @app.post("/bodies")
    async def post_body(request: Request) -> int:
        return len(await request.body())

    return app


@pytest.fixture
def client(app: FastAPI) -> httpx2.AsyncClient:
    """A client of the app, whose errors are answers."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://api")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """The lines of requests so far, by their fields."""
    caplog.set_level(logging.INFO, "lsec.api.requests")
    return lambda: [vars(line) for line in caplog.records if line.name == "lsec.api.requests"]


async def test_the_handler_sees_the_id_that_the_answer_carries(client: httpx2.AsyncClient) -> None:
    given = await client.get("/users/u1", headers={"X-Request-ID": "abc.1-2_3"})
    assert given.headers["x-request-id"] == given.json()["request_id"] == "abc.1-2_3"
    made = await client.get("/users/u1", headers={"X-Request-ID": "not valid!"})
    assert made.headers["x-request-id"] == made.json()["request_id"]
    assert made.headers["x-request-id"] not in ("not valid!", given.headers["x-request-id"])


async def test_an_unexpected_error_is_answered_with_its_id_too(
    client: httpx2.AsyncClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    answer = await client.get("/broken", headers={"X-Request-ID": "broken-1"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "broken-1"
    (line,) = lines()
    assert line["status"] == 500


async def test_a_client_that_goes_while_it_sends_is_no_error(
    app: FastAPI, lines: Callable[[], list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    messages: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(_: Any) -> None:
        return

    scope = {"type": "http", "method": "POST", "path": "/bodies", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    (line,) = lines()
    assert line["status"] == 499
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_line_says_what_was_noted_and_names_nobody(
    client: httpx2.AsyncClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    await client.get("/users/somebody?name=somebody")
    await client.get("/somebody")
    said = [{name: line.get(name) for name in ("path", "status", "key")} for line in lines()]
    assert said == [
        {"path": "/users/{user_id}", "status": 200, "key": "key_1"},
        {"path": "(none)", "status": 404, "key": None},
    ]
    assert all("somebody" not in str(line) for line in lines())


async def test_methods_that_nobody_knows_share_a_label(client: httpx2.AsyncClient) -> None:
    for method in ("BREW", "TEA"):
        await client.request(method, "/users/u1")
    families = text_string_to_metric_families(metrics.text([]).decode())
    counted = [
        sample for family in families for sample in family.samples if sample.name.endswith("requests_total")
    ]
    others = [sample.value for sample in counted if sample.labels["method"] == "other"]
    assert others == [2]
    assert not {"BREW", "TEA"} & {sample.labels["method"] for sample in counted}
