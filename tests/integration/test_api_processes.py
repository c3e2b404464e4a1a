"""Several processes of the API behind one address: they count, limit and forget together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from lsec.api.app import EXIT_LOOP_ENDED
from lsec.api.server import KILL_AFTER_S
from lsec.core.event_log import LogKeys
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from lsec.local.services import api, environment
from lsec.local.sockets import free_port
from tests.integration.api_server import wait_until
from tests.integration.conftest import bearer
from tests.integration.test_api_keys import with_keys

START_TIMEOUT_S = 90.0
STATEMENT_S = 30.0
"""A statement holds its turn for longer than two others wait for theirs."""
NUM_ASKED = 40
"""Connections after which each of two processes has had some, but for one in 10^12."""


@dataclass(frozen=True, slots=True)
class Api:
    """The API as the stack runs it, with its log and the folder of its counters."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path
    folder: Path

    @property
    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def ask(self, path: str, secret: str = "") -> httpx2.Response:
        """The answer over a connection of its own, from any of the processes."""
        return httpx2.get(f"{self.url}{path}", headers=bearer(secret), timeout=30)

    def statuses(self, path: str, secret: str, num: int = NUM_ASKED) -> list[int]:
        return [self.ask(path, secret).status_code for _ in range(num)]


@contextmanager
def processes(settings: Settings, folder: Path) -> Iterator[Api]:
    """The API in two processes that both answer."""
    settings = settings.model_copy(
        update={"api_port": free_port(), "api_processes": 2, "cypher_timeout_s": STATEMENT_S}
    )
    log = folder / "api.log"
    variables = environment(settings) | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)}
    with log.open("wb") as output:
        command = api(settings).command
        process = subprocess.Popen(command, env=os.environ | variables, stdout=output, stderr=output)
    try:
        wait_until(lambda: num_started(log) == 2, timeout_s=START_TIMEOUT_S)
        yield Api(f"http://127.0.0.1:{settings.api_port}", process, log, folder)
    finally:
        process.terminate()
        process.wait()


def num_started(log: Path) -> int:
    return log.read_text().count("Application startup complete")


@pytest.fixture(scope="module")
def running(stack_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API in two processes, for the tests that leave them as they are."""
    with processes(stack_settings, tmp_path_factory.mktemp("api")) as running:
        yield running


def num_requests(running: Api, secret: str, route: str) -> float:
    """What a scrape tells of the requests of a route."""
    families = text_string_to_metric_families(running.ask("/metrics", secret).text)
    counted = [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "lsec_http_requests_total" and sample.labels["route"] == route
    ]
    return sum(counted)


def test_a_scrape_sums_all_processes_up_and_no_count_falls(running: Api, keys: dict[Scope, str]) -> None:
    secret = keys[Scope.READ]
    before = num_requests(running, secret, "/v1/events/lag")
    assert running.statuses("/v1/events/lag", secret) == [200] * NUM_ASKED
    counts = [num_requests(running, secret, "/v1/events/lag") for _ in range(10)]
    assert counts == [before + NUM_ASKED] * 10


def test_both_processes_answer(running: Api, keys: dict[Scope, str]) -> None:
    before = cpu_times(running.children)
    running.statuses("/v1/events/lag", keys[Scope.READ])
    assert all(now > then for now, then in zip(cpu_times(running.children), before, strict=True))


def cpu_times(children: Sequence[psutil.Process]) -> list[float]:
    return [child.cpu_times().user + child.cpu_times().system for child in children]


def test_open_feeds_are_counted_over_all_processes(running: Api, keys: dict[Scope, str]) -> None:
    def listeners() -> list[str]:
        text = running.ask("/metrics", keys[Scope.READ]).text
        return [line.split()[1] for line in text.splitlines() if line.startswith("lsec_live_listeners ")]

    headers = bearer(keys[Scope.ANALYST])
    with (
        httpx2.stream("GET", f"{running.url}/v1/events/live", headers=headers, timeout=30),
        httpx2.stream("GET", f"{running.url}/v1/events/live", headers=headers, timeout=30),
    ):
        wait_until(lambda: {tuple(listeners()) for _ in range(5)} == {("2.0",)})
    wait_until(lambda: listeners() == ["0.0"])


def test_a_revoked_key_is_refused_by_both(running: Api, stack_settings: Settings, clean_stack: None) -> None:
    key, secret = with_keys(stack_settings, lambda store: store.create("shop", Scope.READ))
    assert set(running.statuses("/v1/events/lag", secret)) == {200}
    with_keys(stack_settings, lambda store: store.revoke(key.id))
    time.sleep(0.6)
    assert set(running.statuses("/v1/events/lag", secret)) == {401}


def test_a_statement_has_its_turn_in_all_processes(running: Api, keys: dict[Scope, str]) -> None:
    headers = bearer(keys[Scope.ANALYST])
    long = {"statement": "UNWIND range(1, 2000000000) AS n RETURN sum(n) AS total"}
    with httpx2.stream("POST", f"{running.url}/v1/cypher", json=long, headers=headers, timeout=30):
        answers = [
            httpx2.post(
                f"{running.url}/v1/cypher", json={"statement": "RETURN 1"}, headers=headers, timeout=30
            )
            for _ in range(2)
        ]
    assert [answer.status_code for answer in answers] == [503, 503]


def test_bad_bodies_are_refused_as_by_one_process(running: Api, keys: dict[Scope, str]) -> None:
    headers = bearer(keys[Scope.INGEST]) | {"Content-Type": "application/json"}
    too_large = b" " * (Settings().max_body_bytes + 1)
    sent = {b"[{": 400, b"\xff": 400, too_large: 413}
    for body, status in sent.items():
        answer = httpx2.post(f"{running.url}/v1/events", content=body, headers=headers, timeout=30)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_processes_share_the_limit_of_a_key(
    stack_settings: Settings, keys: dict[Scope, str], tmp_path: Path
) -> None:
    limited = stack_settings.model_copy(update={"rate_limit_read": "11/hour"})
    with processes(limited, tmp_path) as running:
        statuses = running.statuses("/v1/events/lag", keys[Scope.READ], num=2 * NUM_ASKED)
    # Six each: a share is rounded up.
    assert (statuses.count(200), statuses.count(429)) == (12, 2 * NUM_ASKED - 12)


def test_a_killed_process_is_replaced_and_what_it_counted_stays(
    stack_settings: Settings, keys: dict[Scope, str], tmp_path: Path
) -> None:
    secret = keys[Scope.READ]
    with processes(stack_settings, tmp_path) as running:
        running.statuses("/v1/events/lag", secret)
        counted = num_requests(running, secret, "/v1/events/lag")
        killed, other = running.children
        killed.kill()
        wait_until(lambda: num_started(running.log) == 3, timeout_s=START_TIMEOUT_S)
        assert other in running.children
        assert len(running.children) == 2
        assert {num_requests(running, secret, "/v1/events/lag") for _ in range(10)} == {counted}
        assert set(running.statuses("/v1/events/lag", secret)) == {200}


def test_a_process_whose_loop_ends_is_replaced(
    stack_settings: Settings, keys: dict[Scope, str], tmp_path: Path
) -> None:
    # A log of its own: the session's API follows the other one.
    log_url = urlsplit(stack_settings.log_url.get_secret_value())._replace(path="/6").geturl()
    settings = stack_settings.model_copy(update={"log_url": SecretStr(log_url)})
    with redis.Redis.from_url(log_url) as log_client, processes(settings, tmp_path) as running:
        log_client.hset(LogKeys(0).committed, "total", "many")
        wait_until(lambda: f"ended with exit code {EXIT_LOOP_ENDED}" in running.log.read_text(), timeout_s=30)
        log_client.flushdb()

        def is_well() -> bool:
            try:
                return set(running.statuses("/v1/events/lag", keys[Scope.READ])) == {200}
            except httpx2.TransportError:
                return False

        wait_until(is_well, timeout_s=START_TIMEOUT_S)
        assert running.process.poll() is None
        assert len(running.children) == 2


def left_of(running: Api, end: Callable[[], None]) -> list[psutil.Process]:
    """The processes that are still there after the parent was ended, with a feed open."""
    children = running.children
    end()
    running.process.wait(timeout=KILL_AFTER_S + 20)
    return psutil.wait_procs(children, timeout=5)[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_parent_ends(
    stack_settings: Settings, keys: dict[Scope, str], tmp_path: Path, number: signal.Signals
) -> None:
    headers = bearer(keys[Scope.ANALYST])
    with (
        processes(stack_settings, tmp_path) as running,
        httpx2.stream("GET", f"{running.url}/v1/events/live", headers=headers, timeout=30),
    ):
        assert left_of(running, lambda: running.process.send_signal(number)) == []
        if number == signal.SIGTERM:
            assert running.process.returncode == 0
            assert not list(tmp_path.glob("lsec-api-*"))
            assert running.log.read_text().count("Application shutdown complete") == 2
