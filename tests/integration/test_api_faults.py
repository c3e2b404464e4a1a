"""What becomes of a query that runs too long, and of a process whose background loops end."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import neo4j
import pytest
import redis
from fastapi import FastAPI
from neo4j.exceptions import ClientError
from pydantic import SecretStr

from lsec.api.app import EXIT_LOOP_ENDED
from lsec.api.problems import add_problem_handlers
from lsec.api.stores.graph import open_graph
from lsec.core.event_log import LogKeys
from lsec.core.settings import Settings
from lsec.local.services import environment
from tests.integration.api_server import wait_until
from tests.whole_loops import LOOP_ENDED

LONG_QUERY = "UNWIND range(1, 2000000000) AS number RETURN sum(number) AS total"


def app_of(settings: Settings, query: str) -> FastAPI:
    """An app with the API's handling of errors, and one route that runs a query with a time limit."""
    app = FastAPI()
    add_problem_handlers(app)

    @app.get("/")
    async def run() -> int:
        async with open_graph(settings) as driver, driver.session() as session:
            result = await session.run(neo4j.Query(query, timeout=0.2))
            return len(await result.data())

    return app


def answer_of(app: FastAPI) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get("/")

    return asyncio.run(ask())


def test_a_query_that_runs_out_of_time_is_a_503(stack_settings: Settings, neo4j_driver: neo4j.Driver) -> None:
    with neo4j_driver.session() as session, pytest.raises(ClientError) as caught:
        session.run(neo4j.Query(LONG_QUERY, timeout=0.2)).consume()
    assert "TransactionTimedOut" in str(caught.value.code)
    answer = answer_of(app_of(stack_settings, LONG_QUERY))
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:lsec:problem:unavailable")
    assert "took too long" in answer.json()["detail"]
    assert answer.headers["retry-after"] == "5"


def test_any_other_error_of_a_query_is_a_500(stack_settings: Settings) -> None:
    answer = answer_of(app_of(stack_settings, "RETURN 1 / 0"))
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:lsec:problem:internal-error")


@contextlib.contextmanager
def api_process(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the API that answers, with its output in `log`."""
    command = [sys.executable, "-m", "uvicorn", "--factory", "lsec.api.app:create_app", "--port", "0"]
    variables = {**environment(settings), "PYTHONPATH": os.pathsep.join(sys.path)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | variables, stdout=output, stderr=output)
    try:
        wait_until(lambda: "running on" in log.read_text(), timeout_s=60)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_process_ends_with_a_loop_that_ends(
    stack_settings: Settings, clean_stack: None, tmp_path: Path
) -> None:
    # A log of its own: the session's API follows the other one, in this very process.
    log_url = urlsplit(stack_settings.log_url.get_secret_value())._replace(path="/5").geturl()
    settings = stack_settings.model_copy(update={"log_url": SecretStr(log_url)})
    log = tmp_path / "api.log"
    with redis.Redis.from_url(log_url) as log_client, api_process(settings, log) as process:
        log_client.hset(LogKeys(0).committed, "total", "many")
        assert process.wait(timeout=30) == EXIT_LOOP_ENDED
        log_client.flushdb()
    assert LOOP_ENDED in log.read_text()
    assert "invalid literal" in log.read_text()


def test_a_process_that_is_told_to_stop_ends_its_loops_in_order(
    stack_settings: Settings, clean_stack: None, tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    with api_process(stack_settings, log) as process:
        process.terminate()
        assert process.wait(timeout=30) in (0, -signal.SIGTERM)
    assert "Application shutdown complete" in log.read_text()
    assert "has ended" not in log.read_text()
