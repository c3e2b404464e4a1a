"""Events over HTTP: what is taken, what is refused and why, waiting, the lag, back-pressure."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import redis

from lsec.core.event_log import LogKeys, decode_chunk
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from tests.integration.api_server import run_api, wait_until
from tests.integration.conftest import bearer

KEYS = LogKeys(0)
Log = redis.Redis


def bought(event_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "user.bought",
        "event_id": event_id,
        "at": datetime.now(UTC).isoformat(),
        "user_id": "u1",
        "product_id": "p1",
        **fields,
    }


def commit(log_client: Log, entry_id: str, total: int) -> None:
    """Mirror a commit as the ingester does."""
    log_client.hset(KEYS.committed, mapping={"position": entry_id, "total": total, "at_ms": 1})
    log_client.xadd(KEYS.changes, {"p": entry_id, "c": b"\x90"})


def kept_ids(log_client: Log) -> list[str]:
    """Ids of the events in the log, in order."""
    ids: list[str] = []
    entries: Any = log_client.xrange(KEYS.log)
    for _, fields in entries:
        ids += [event.event_id for event in decode_chunk(fields[b"c"], int(fields[b"n"]))]
    return ids


def test_good_events_go_in_and_each_bad_one_is_named(api_client: httpx2.Client, log_client: Log) -> None:
    answer = api_client.post("/v1/events", json=[bought("e1"), bought("e2", quantity=-1), bought("e3")])
    assert answer.status_code == 202
    receipt = answer.json()
    assert (receipt["accepted"], receipt["duplicates"], receipt["committed"]) == (2, 0, False)
    assert [(bad["index"], bad["field"]) for bad in receipt["rejected"]] == [(1, "quantity")]
    assert kept_ids(log_client) == ["e1", "e3"]
    assert list(receipt["positions"]) == ["0"]


def test_a_retry_is_recognised_event_by_event(api_client: httpx2.Client, log_client: Log) -> None:
    api_client.post("/v1/events", json=[bought("e1")])
    receipt = api_client.post("/v1/events", json=[bought("e1"), bought("e2")]).json()
    assert (receipt["accepted"], receipt["duplicates"]) == (1, 1)
    again = api_client.post("/v1/events", json=[bought("e1"), bought("e2")])
    assert again.status_code == 202
    assert (again.json()["accepted"], again.json()["duplicates"]) == (0, 2)
    assert kept_ids(log_client) == ["e1", "e2"]


def test_one_event_and_ndjson_are_taken_too(api_client: httpx2.Client, log_client: Log) -> None:
    assert api_client.post("/v1/events", json=bought("e1")).json()["accepted"] == 1
    lines = "\n".join(
        httpx2.Request("POST", "http://x", json=bought(i)).content.decode() for i in ("e2", "e3")
    )
    answer = api_client.post(
        "/v1/events",
        content=lines + '\n{"type": "user.bou\n',
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    assert [bad["index"] for bad in answer.json()["rejected"]] == [2]
    assert kept_ids(log_client) == ["e1", "e2", "e3"]


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({"type": "user.teleported"}, "type"),
        ({"quantity": "two"}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"product_id": "p" * 10_000}, "product_id"),
        ({"at": "9999-01-01T00:00:00Z"}, "at"),
        ({"colour": "red"}, "colour"),
    ],
    ids=["unknown type", "wrong type", "negative", "huge id", "year 9999", "unknown field"],
)
def test_when_none_is_valid_the_problem_names_index_and_field(
    api_client: httpx2.Client, log_client: Log, fault: dict[str, Any], field: str
) -> None:
    answer = api_client.post("/v1/events", json=bought("e1") | fault)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["index"], problem["field"]) == (422, 0, field)
    assert problem["rejected"][0]["reason"]
    assert kept_ids(log_client) == []


def cloud_event(cloud_id: str, **fields: Any) -> dict[str, Any]:
    event = bought("")
    attributes = {"type": event.pop("type"), "time": event.pop("at"), "id": cloud_id, "source": "/shop"}
    del event["event_id"]
    return {"specversion": "1.0", **attributes, "data": event | fields}


def post_as(client: httpx2.Client, content_type: str, body: Any) -> httpx2.Response:
    return client.post("/v1/events", content=json.dumps(body), headers={"Content-Type": content_type})


def test_cloud_events_are_taken_and_each_bad_one_is_named(api_client: httpx2.Client, log_client: Log) -> None:
    one = post_as(api_client, "application/cloudevents+json", cloud_event("1"))
    assert (one.status_code, one.json()["accepted"]) == (202, 1)
    batch = [cloud_event("1"), cloud_event("2", quantity=0), cloud_event("3")]
    receipt = post_as(api_client, "application/cloudevents-batch+json; charset=utf-8", batch).json()
    assert (receipt["accepted"], receipt["duplicates"]) == (1, 1)
    assert [(bad["index"], bad["field"]) for bad in receipt["rejected"]] == [(1, "quantity")]
    none = post_as(api_client, "application/cloudevents+json", cloud_event("4") | {"source": ""})
    assert (none.status_code, none.json()["index"], none.json()["field"]) == (422, 0, "source")
    assert kept_ids(log_client) == ["/shop|1", "/shop|3"]


def test_a_cloud_event_may_come_with_its_attributes_in_headers(
    api_client: httpx2.Client, log_client: Log
) -> None:
    event = cloud_event("caf\u00e9")
    headers = {f"Ce-{name}": quote(value) for name, value in event.items() if name != "data"}
    answer = api_client.post("/v1/events", json=event["data"], headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert kept_ids(log_client) == ["/shop|caf\u00e9"]


@pytest.mark.parametrize("value", ["NaN", '"\\ud800"', '"\x00"'])
def test_a_value_that_is_no_json_loses_only_its_event(
    api_client: httpx2.Client, log_client: Log, value: str
) -> None:
    events = [json.dumps(bought("e1")), json.dumps(bought("e2", amount="?")), json.dumps(bought("e3"))]
    body = f"[{', '.join(events)}]".replace('"?"', value)
    answer = api_client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, [bad["index"] for bad in answer.json()["rejected"]]) == (202, [1])
    assert kept_ids(log_client) == ["e1", "e3"]


def test_an_array_that_breaks_is_refused_with_byte_and_index(api_client: httpx2.Client) -> None:
    body = f"[{json.dumps(bought('e1'))}, {{"
    answer = api_client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert (answer.json()["byte"], answer.json()["index"]) == (len(body), 1)


def test_what_retention_would_prune_is_rejected(
    stack_settings: Settings, keys: dict[Scope, str], log_client: Log
) -> None:
    with (
        run_api(stack_settings.model_copy(update={"retention_days": 30})) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.ADMIN]), timeout=30) as client,
    ):
        old = (datetime.now(UTC) - timedelta(days=31)).isoformat()
        erased = {"event_id": "e3", "type": "user.erased", "at": old, "user_id": "u1"}
        receipt = client.post("/v1/events", json=[bought("e1"), bought("e2", at=old), erased]).json()
    assert [(bad["index"], bad["field"]) for bad in receipt["rejected"]] == [(1, "at")]
    assert kept_ids(log_client) == ["e1", "e3"]


def test_only_an_admin_may_send_an_erasure_and_others_are_told_how_to_ask(
    api_client: httpx2.Client, keys: dict[Scope, str], log_client: Log
) -> None:
    erased = {"event_id": "e2", "type": "user.erased", "at": datetime.now(UTC).isoformat(), "user_id": "u1"}
    events = [bought("e1"), erased]
    receipt = api_client.post("/v1/events", json=events, headers=bearer(keys[Scope.INGEST])).json()
    assert [(bad["index"], bad["field"]) for bad in receipt["rejected"]] == [(1, "type")]
    assert "DELETE /v1/users/{id}" in receipt["rejected"][0]["reason"]
    assert kept_ids(log_client) == ["e1"]
    assert api_client.post("/v1/events", json=events).json()["accepted"] == 1
    assert kept_ids(log_client) == ["e1", "e2"]


@pytest.mark.parametrize("body", ["", "[", '[{"type": 1},', "[]"])
def test_a_body_that_cannot_be_read_is_refused_whole(api_client: httpx2.Client, body: str) -> None:
    answer = api_client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_dry_run_only_validates(api_client: httpx2.Client, log_client: Log) -> None:
    answer = api_client.post(
        "/v1/events", params={"dry_run": True}, json=[bought("e1"), bought("e2", amount=-1)]
    )
    assert answer.status_code == 200
    assert (answer.json()["accepted"], len(answer.json()["rejected"])) == (1, 1)
    assert kept_ids(log_client) == []


def test_waiting_answers_once_the_events_are_committed(api_client: httpx2.Client, log_client: Log) -> None:
    answers: list[httpx2.Response] = []

    def post() -> None:
        answers.append(api_client.post("/v1/events", params={"wait": True}, json=bought("e1")))

    waiting = threading.Thread(target=post)
    waiting.start()
    wait_until(lambda: log_client.xlen(KEYS.log) == 1)
    assert waiting.is_alive()
    entries: Any = log_client.xrange(KEYS.log)
    commit(log_client, entries[0][0].decode(), 1)
    committed_at = time.monotonic()
    waiting.join()
    assert time.monotonic() - committed_at < 0.5
    assert (answers[0].status_code, answers[0].json()["committed"]) == (200, True)
    again = api_client.post("/v1/events", params={"wait": True}, json=bought("e1"))
    assert (again.status_code, again.json()["duplicates"], again.json()["committed"]) == (200, 1, True)


def test_waiting_ends_with_202_when_the_time_is_over(api_client: httpx2.Client) -> None:
    answer = api_client.post("/v1/events", params={"wait": True, "timeout_s": 0.2}, json=bought("e1"))
    assert (answer.status_code, answer.json()["committed"]) == (202, False)


def test_the_lag_counts_what_waits_and_how_long(api_client: httpx2.Client, log_client: Log) -> None:
    empty = api_client.get("/v1/events/lag").json()
    assert (empty["backlog_events"], empty["oldest_uncommitted_age_s"], empty["dead_letters"]) == (0, 0, 0)
    first = api_client.post("/v1/events", json=[bought("e1"), bought("e2")]).json()
    api_client.post("/v1/events", json=bought("e3"))
    time.sleep(0.05)
    lag = api_client.get("/v1/events/lag").json()
    assert lag["backlog_events"] == 3
    assert lag["oldest_uncommitted_age_s"] >= 0.05
    commit(log_client, first["positions"]["0"], 2)
    lag = api_client.get("/v1/events/lag").json()
    assert (lag["backlog_events"], lag["shards"][0]["committed"]) == (1, 2)
    assert lag["shards"][0]["position"] == first["positions"]["0"]


def test_past_the_backlog_limit_producers_are_sent_away_for_a_while(
    stack_settings: Settings, keys: dict[Scope, str], log_client: Log
) -> None:
    tight = stack_settings.model_copy(update={"max_backlog_events": 1})
    with (
        run_api(tight) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.INGEST]), timeout=30) as client,
    ):
        receipt = client.post("/v1/events", json=[bought("e1"), bought("e2")]).json()
        wait_until(lambda: client.post("/v1/events", json=bought("e3")).status_code == 503)
        refused = client.post("/v1/events", json=bought("e4"))
        assert refused.json()["type"] == "urn:lsec:problem:overloaded"
        assert int(refused.headers["retry-after"]) > 0
        commit(log_client, receipt["positions"]["0"], 1000)
        wait_until(lambda: client.post("/v1/events", json=bought("e5")).status_code == 202)


def test_a_full_log_refuses_and_keeps_what_it_has(api_client: httpx2.Client, log_client: Log) -> None:
    api_client.post("/v1/events", json=bought("e1"))
    previous: Any = log_client.config_get("maxmemory")
    log_client.config_set("maxmemory", 1)
    try:
        refused = api_client.post("/v1/events", json=bought("e2"))
    finally:
        log_client.config_set("maxmemory", previous["maxmemory"])
    assert (refused.status_code, refused.json()["title"]) == (503, "Overloaded")
    assert refused.headers["retry-after"]
    assert api_client.post("/v1/events", json=bought("e2")).json()["accepted"] == 1
    assert kept_ids(log_client) == ["e1", "e2"]


def test_each_shard_takes_its_own_users(
    stack_settings: Settings, keys: dict[Scope, str], log_client: Log
) -> None:
    sharded = stack_settings.model_copy(update={"shards": 4})
    with (
        run_api(sharded) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.INGEST]), timeout=30) as client,
    ):
        events = [bought(f"e{number}", user_id=f"u{number}") for number in range(40)]
        receipt = client.post("/v1/events", json=events).json()
        assert receipt["accepted"] == 40
        assert sorted(receipt["positions"]) == ["0", "1", "2", "3"]
        lag = client.get("/v1/events/lag").json()
        assert sum(shard["appended"] for shard in lag["shards"]) == 40


def test_the_schema_knows_every_type_of_event(api_client: httpx2.Client) -> None:
    schema = api_client.get("/v1/events/schema").json()
    tags = {definition["properties"]["type"]["enum"][0] for definition in schema["$defs"].values()}
    assert {"user.bought", "user.erased", "product.upserted"} <= tags
    assert len(schema["oneOf"]) == 17
