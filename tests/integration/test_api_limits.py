"""What the API refuses because it is too much, or in a form that it does not read."""

import asyncio
import contextlib
import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
import redis
import zstandard
from pydantic import SecretStr

from lsec.api.rate_limits import PAUSE_S, RateLimits, open_rate_limits
from lsec.api.stores.keys import Caller, KeyStore
from lsec.api.stores.ledger import open_ledger
from lsec.client import Client
from lsec.core.errors import RateLimited
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from tests.integration.api_server import run_api
from tests.integration.conftest import bearer

COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}


def viewed(number: int) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {"type": "user.viewed", "event_id": f"e{number}", "at": at, "user_id": "u", "product_id": "p"}


@contextlib.contextmanager
def clients(settings: Settings, *secrets: str) -> Iterator[list[httpx2.Client]]:
    """A client for each key, of an API of its own."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(run_api(settings))
        yield [
            stack.enter_context(httpx2.Client(base_url=url, headers=bearer(secret), timeout=30))
            for secret in secrets
        ]


def test_a_body_past_the_limit_is_refused_with_and_without_its_length(
    api_client: httpx2.Client, stack_settings: Settings
) -> None:
    size = stack_settings.max_body_bytes + 1
    declared = api_client.post("/v1/events", content=b" " * size)

    def chunks() -> Iterator[bytes]:
        for _ in range(0, size, 65_536):
            yield b" " * 65_536

    undeclared = api_client.post("/v1/events", content=chunks())
    for answer in (declared, undeclared):
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:lsec:problem:body-too-large")


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_compressed_body_is_taken(api_client: httpx2.Client, encoding: str) -> None:
    lines = [json.dumps(viewed(number)).encode() + b"\n" for number in range(2)]
    body = b"".join(COMPRESS[encoding](line) for line in lines)
    headers = {"Content-Encoding": encoding, "Content-Type": "application/x-ndjson"}
    answer = api_client.post("/v1/events", content=body, headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_a_small_body_that_is_a_large_one_inside_is_refused(
    api_client: httpx2.Client, stack_settings: Settings, encoding: str
) -> None:
    body = COMPRESS[encoding](b" " * (stack_settings.max_body_bytes + 1))
    answer = api_client.post("/v1/events", content=body, headers={"Content-Encoding": encoding})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:lsec:problem:body-too-large")
    assert "when decompressed" in answer.json()["detail"]
    assert "Split it" in answer.json()["remedy"]


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("fault", ["cut", "no such data"])
def test_a_body_that_is_not_in_its_encoding_is_refused(
    api_client: httpx2.Client, encoding: str, fault: str
) -> None:
    body = COMPRESS[encoding](json.dumps(viewed(1)).encode())
    body = body[:-5] if fault == "cut" else b"[1, 2]"
    answer = api_client.post("/v1/events", content=body, headers={"Content-Encoding": encoding})
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert encoding in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["br", "gzip, zstd", "x" * 5000])
def test_another_encoding_is_refused_with_those_that_are_read(
    api_client: httpx2.Client, encoding: str
) -> None:
    answer = api_client.post("/v1/events", json=viewed(1), headers={"Content-Encoding": encoding})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, zstd")
    assert len(answer.content) < 1000


def test_another_content_type_is_refused_with_those_that_are_read(api_client: httpx2.Client) -> None:
    answer = api_client.post("/v1/events", content="<e/>", headers={"Content-Type": "text/xml"})
    assert answer.status_code == 415
    assert answer.json()["type"] == "urn:lsec:problem:unsupported-media-type"
    assert "application/cloudevents-batch+json" in answer.json()["remedy"]
    assert "accept-encoding" not in answer.headers


def test_a_training_s_body_has_the_same_rules(api_client: httpx2.Client) -> None:
    bad = gzip.compress(b'{"seed": -1}')
    answer = api_client.post("/v1/trainings", content=bad, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["field"]) == (422, "seed")
    bomb = gzip.compress(bytes(10_000_000))
    answer = api_client.post("/v1/trainings", content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413


def test_apis_share_the_limit_of_a_key(stack_settings: Settings, keys: dict[Scope, str]) -> None:
    limited = stack_settings.model_copy(update={"rate_limit_ingest": "10/hour"})
    secret = keys[Scope.INGEST]
    with clients(limited, secret, keys[Scope.ADMIN]) as (one, admin), clients(limited, secret) as (other,):
        answers = [client.post("/v1/events", json=viewed(1)) for _ in range(6) for client in (one, other)]
        assert [answer.status_code for answer in answers] == [202] * 10 + [429] * 2
        assert admin.post("/v1/events", json=viewed(1)).status_code == 202
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    assert 3590 <= int(refused.headers["retry-after"]) <= 3600
    problem = refused.json()
    assert (problem["type"], problem["limit"]) == ("urn:lsec:problem:rate-limited", "10/hour")
    assert "10 requests per hour" in problem["detail"]


def test_keys_of_one_scope_do_not_share_a_limit(stack_settings: Settings, keys: dict[Scope, str]) -> None:
    async def another() -> str:
        async with open_ledger(stack_settings) as ledger:
            return (await KeyStore(ledger).create("another", Scope.INGEST))[1]

    limited = stack_settings.model_copy(update={"rate_limit_ingest": "2/hour"})
    with clients(limited, keys[Scope.INGEST], asyncio.run(another())) as (one, other):
        assert [one.get("/v1/events/lag").status_code for _ in range(3)] == [200, 200, 429]
        assert other.get("/v1/events/lag").status_code == 200


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the server may be late: then requests would pass uncounted."""
    monkeypatch.setattr("lsec.api.rate_limits.TIMEOUT_S", 30.0)


async def num_passed(limits: Sequence[RateLimits], num_requests: int) -> int:
    """How many pass of the requests of one key that come at once, in turn to each process."""
    caller = Caller("key", Scope.INGEST)
    checks = [limits[number % len(limits)].check(caller) for number in range(num_requests)]
    outcomes = await asyncio.gather(*checks, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, RateLimited) for outcome in outcomes)
    return outcomes.count(None)


@pytest.mark.parametrize(("rate", "fewest", "most"), [(10, 10, 10), (199, 199, 199), (1000, 980, 1000)])
async def test_what_is_counted_ahead_keeps_the_limit(
    stack_settings: Settings, clean_stack: None, patient: None, rate: int, fewest: int, most: int
) -> None:
    settings = stack_settings.model_copy(update={"rate_limit_ingest": f"{rate}/hour"})
    async with open_rate_limits(settings) as one, open_rate_limits(settings) as other:
        assert fewest <= await num_passed([one, other], 2 * rate) <= most
        assert await num_passed([one, other], 10) == 0


async def test_a_server_that_answers_again_counts_again(
    stack_settings: Settings, clean_stack: None, log_client: redis.Redis
) -> None:
    settings = stack_settings.model_copy(update={"rate_limit_ingest": "2/hour"})
    async with open_rate_limits(settings) as limits:
        assert await num_passed([limits], 2) == 2
        log_client.client_pause(400)
        assert await num_passed([limits], 10) == 10
        await asyncio.sleep(PAUSE_S + 0.1)
        assert await num_passed([limits], 3) == 0


async def test_a_refused_key_is_refused_again_without_asking(
    stack_settings: Settings, clean_stack: None, patient: None, log_client: redis.Redis
) -> None:
    settings = stack_settings.model_copy(update={"rate_limit_ingest": "2/hour"})

    def num_counted() -> int:
        client: Any = log_client
        return sum(int(client.get(key)) for key in client.keys("lsec:rate*"))

    async with open_rate_limits(settings) as limits:
        assert await num_passed([limits], 30) == 2
        # The first of those that wait for their turn hears it for all.
        assert num_counted() == 3
        assert await num_passed([limits], 30) == 0
        assert num_counted() == 3


def test_each_process_allows_its_share_of_the_reads(
    stack_settings: Settings, keys: dict[Scope, str], log_client: redis.Redis
) -> None:
    limited = stack_settings.model_copy(update={"rate_limit_read": "5/hour", "api_processes": 2})
    secret = keys[Scope.READ]
    with clients(limited, secret) as (one,), clients(limited, secret) as (other,):
        assert [one.get("/v1/events/lag").status_code for _ in range(4)] == [200, 200, 200, 429]
        assert other.get("/v1/events/lag").status_code == 200
    assert log_client.keys("lsec:rate*") == []


def test_without_a_limit_nothing_is_counted(
    stack_settings: Settings, keys: dict[Scope, str], log_client: redis.Redis
) -> None:
    free = stack_settings.model_copy(update={"rate_limit_ingest": ""})
    with clients(free, keys[Scope.INGEST]) as (client,):
        assert {client.get("/v1/events/lag").status_code for _ in range(20)} == {200}
    assert log_client.keys("lsec:rate*") == []


def test_a_refused_key_may_come_back_when_it_was_told_to(
    stack_settings: Settings, keys: dict[Scope, str]
) -> None:
    limited = stack_settings.model_copy(update={"rate_limit_analyst": "2/second"})
    with clients(limited, keys[Scope.ANALYST]) as (client,):
        answers = [client.get("/v1/releases") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[-1].headers["retry-after"] == "1"
        time.sleep(1.05)
        assert client.get("/v1/releases").status_code == 200


def test_the_client_waits_for_its_turn(stack_settings: Settings, keys: dict[Scope, str]) -> None:
    limited = stack_settings.model_copy(update={"rate_limit_ingest": "3/second"})
    lines = [json.dumps(viewed(number)).encode() for number in range(7)]
    with run_api(limited) as url, Client(url, keys[Scope.INGEST]) as client:
        totals = client.send_events(lines, batch=1)
    assert (totals.accepted, totals.duplicates) == (7, 0)
    assert totals.retries > 0


@pytest.mark.parametrize("fault", ["gone", "silent"])
def test_reads_go_on_without_the_log_s_server(
    stack_settings: Settings, keys: dict[Scope, str], fault: str
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if fault == "silent":
            listener.listen()
        lost = SecretStr(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        settings = stack_settings.model_copy(update={"log_url": lost, "rate_limit_analyst": "1/hour"})
        with clients(settings, keys[Scope.ANALYST], keys[Scope.INGEST]) as (analyst, producer):
            begun = time.monotonic()
            assert {analyst.get("/v1/releases").status_code for _ in range(5)} == {200}
            assert time.monotonic() - begun < 2
            if fault == "gone":
                assert producer.post("/v1/events", json=viewed(1)).status_code == 503


def test_who_may_not_call_learns_that_first(api_client: httpx2.Client, keys: dict[Scope, str]) -> None:
    asked = "/v1/releases?nope=1"
    assert httpx2.get(api_client.base_url.join(asked)).status_code == 401
    assert api_client.get(asked, headers=bearer(keys[Scope.INGEST])).status_code == 403
    refused = api_client.get(asked)
    assert (refused.status_code, refused.json()["field"]) == (422, "nope")
