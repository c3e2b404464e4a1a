"""Metrics of a real API, and request ids from the caller to the log's entries."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from lsec.core.event_log import LogKeys
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from tests.integration.api_server import announced_address, run_api
from tests.integration.conftest import bearer
from tests.integration.test_api_faults import api_process
from tests.integration.test_api_health import without

OUTCOMES = ("accepted", "duplicates", "rejected")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def client(stack_settings: Settings, keys: dict[Scope, str]) -> Iterator[httpx2.Client]:
    """A client of an API of two shards that has counted nothing yet."""
    settings = stack_settings.model_copy(update={"shards": 2})
    with (
        run_api(settings) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.ADMIN]), timeout=30) as client,
    ):
        yield client


def bought(event_id: str, user_id: str = "u1", **fields: Any) -> dict[str, Any]:
    return {
        "type": "user.bought",
        "event_id": event_id,
        "at": datetime.now(UTC).isoformat(),
        "user_id": user_id,
        "product_id": "p1",
        **fields,
    }


def scrape(client: httpx2.Client) -> Samples:
    """Every sample by its name and labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def logged_request_id(log_client: redis.Redis, shard: str, position: str) -> str:
    """The id that an entry of the log has."""
    entries: Any = log_client.xrange(LogKeys(int(shard)).log, position, position)
    return str(entries[0][1][b"r"], "ascii")


def test_requests_are_counted_by_route_and_events_by_what_became_of_them(client: httpx2.Client) -> None:
    client.post("/v1/events", json=[bought("e1"), bought("e1"), bought("e2", quantity=-1)])
    client.post("/v1/events", json=bought("e1"))
    client.post("/v1/events", json=bought("e3", quantity=0))
    client.get("/v1/users/somebody/recommendations")
    client.get("/somebody")
    samples = scrape(client)
    events = {outcome: value(samples, "lsec_events_total", outcome=outcome) for outcome in OUTCOMES}
    assert events == {"accepted": 1, "duplicates": 2, "rejected": 2}
    posts = {"method": "POST", "route": "/v1/events"}
    assert value(samples, "lsec_http_requests_total", status="202", **posts) == 2
    assert value(samples, "lsec_http_requests_total", status="422", **posts) == 1
    assert value(samples, "lsec_http_request_duration_seconds_count", **posts) == 3
    assert value(samples, "lsec_http_requests_total", method="GET", route="(none)", status="404") == 1
    assert "somebody" not in client.get("/metrics").text


def test_each_shard_tells_what_it_holds_and_what_its_ingester_did(
    client: httpx2.Client, log_client: redis.Redis
) -> None:
    client.post("/v1/events", json=[bought(f"e{number}", f"u{number}") for number in range(40)])
    stats: dict[Any, Any] = {"batches": 3, "events": 17, "retries": 2, "dead_letters": 1, "apply_ms": 1500}
    log_client.hset(LogKeys(1).stats, mapping=stats | {"size_10": 2, "size_100": 1})
    samples = scrape(client)
    appended = [value(samples, "lsec_log_appended_events_total", shard=shard) or 0 for shard in "01"]
    assert sum(appended) == 40
    for shard, num_events in zip("01", appended, strict=True):
        assert num_events > 0
        assert value(samples, "lsec_log_committed_events_total", shard=shard) == 0
        assert value(samples, "lsec_log_backlog_events", shard=shard) == num_events
        assert (value(samples, "lsec_log_lag_seconds", shard=shard) or 0) > 0
        assert value(samples, "lsec_log_committed_position_seconds", shard=shard) == 0
    assert (value(samples, "lsec_log_memory_bytes") or 0) > 100_000
    assert value(samples, "lsec_ingest_events_total", shard="1") == 17
    assert value(samples, "lsec_ingest_retries_total", shard="1") == 2
    assert value(samples, "lsec_ingest_dead_letters_total", shard="1") == 1
    assert value(samples, "lsec_ingest_apply_seconds_total", shard="1") == 1.5
    assert value(samples, "lsec_ingest_batch_events_count", shard="1") == 3
    assert value(samples, "lsec_ingest_batch_events_sum", shard="1") == 17
    sizes = {
        le: value(samples, "lsec_ingest_batch_events_bucket", shard="1", le=le) for le in ("1", "10", "+Inf")
    }
    assert sizes == {"1": 0, "10": 2, "+Inf": 3}
    assert value(samples, "lsec_ingest_events_total", shard="0") == 0
    assert value(samples, "lsec_dead_letters") == 0
    assert value(samples, "lsec_live_listeners") == 0


@pytest.mark.parametrize("service", ["neo4j", "log"])
def test_a_service_that_is_down_takes_only_its_own_metrics_away(
    stack_settings: Settings, keys: dict[Scope, str], service: str
) -> None:
    with (
        run_api(without(stack_settings, service)) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.READ]), timeout=30) as client,
    ):
        samples = scrape(client)
    up = {name: value(samples, "lsec_up", service=name) for name in ("neo4j", "log", "ledger")}
    assert up == {"neo4j": 1, "log": 1, "ledger": 1} | {service: 0}
    assert (value(samples, "lsec_log_memory_bytes") is None) == (service == "log")
    assert value(samples, "lsec_dead_letters") == 0


def test_the_callers_request_id_is_answered_and_lies_in_the_log(
    client: httpx2.Client, log_client: redis.Redis
) -> None:
    answer = client.post("/v1/events", json=bought("e1"), headers={"X-Request-ID": "order-7.A_b"})
    assert answer.headers["x-request-id"] == "order-7.A_b"
    ((shard, position),) = answer.json()["positions"].items()
    assert logged_request_id(log_client, shard, position) == "order-7.A_b"


@pytest.mark.parametrize("bad", [b"", b"a b", b"x" * 65, b"a/b", b"\xc3\xa9"])
def test_an_id_that_is_none_is_replaced(client: httpx2.Client, log_client: redis.Redis, bad: bytes) -> None:
    answer = client.post("/v1/events", json=bought("e1"), headers=[(b"X-Request-ID", bad)])
    request_id = answer.headers["x-request-id"]
    assert request_id.encode() != bad
    assert len(request_id) == 24
    ((shard, position),) = answer.json()["positions"].items()
    assert logged_request_id(log_client, shard, position) == request_id


def test_each_request_has_an_id_and_every_problem_carries_it(client: httpx2.Client) -> None:
    answers = [
        client.get("/v1/events/lag", headers={"Authorization": "Bearer lsec_wrong"}),
        client.get("/nowhere"),
        client.post("/v1/events", json=bought("e1", quantity=-1)),
        client.get("/v1/trainings", params={"limit": 0}),
    ]
    assert [answer.status_code for answer in answers] == [401, 404, 422, 422]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert [answer.json()["request_id"] for answer in answers] == ids
    assert len(set(ids)) == len(ids)


def test_an_event_is_followed_from_the_answer_over_the_line_to_its_place_in_the_log(
    stack_settings: Settings, keys: dict[Scope, str], tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    with (
        api_process(stack_settings, log),
        httpx2.Client(base_url=announced_address(log), headers=bearer(keys[Scope.INGEST])) as client,
    ):
        events = [bought("secret-event", "secret-user"), bought("e2", amount=-1)]
        answer = client.post("/v1/events?wait=false", json=events, headers={"X-Request-ID": "follow-me"})
        client.get("/healthz")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (line,) = [each for each in lines if each.get("request_id") == "follow-me"]
    assert line["logger"] == "lsec.api.requests"
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/events", 202)
    assert (line["accepted"], line["duplicates"], line["rejected"]) == (1, 0, 1)
    assert line["positions"] == answer.json()["positions"]
    assert line["key"].startswith("key_")
    assert line["duration_ms"] > 0
    assert "secret" not in log.read_text()
    assert "/healthz" not in log.read_text()
