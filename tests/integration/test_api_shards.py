"""How requests become chunks of shards, and what happens when their number changes."""

import httpx2
import redis

from lsec.core.event_log import SHARDS_KEY, LogKeys
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from tests.integration.api_server import run_api
from tests.integration.conftest import bearer
from tests.integration.test_api_events import bought, commit

KEYS = LogKeys(0)
Log = redis.Redis


def test_a_large_request_becomes_several_chunks(api_client: httpx2.Client, log_client: Log) -> None:
    body = [bought(f"e{number}") for number in range(2500)]
    receipt = api_client.post("/v1/events", json=body).json()
    assert (receipt["accepted"], receipt["duplicates"]) == (2500, 0)
    assert log_client.xlen(KEYS.log) == 3
    again = api_client.post("/v1/events", json=body).json()
    assert (again["accepted"], again["duplicates"]) == (0, 2500)


def test_another_number_of_shards_waits_until_the_graph_holds_the_log(
    api_client: httpx2.Client, stack_settings: Settings, log_client: Log, keys: dict[Scope, str]
) -> None:
    log_client.set(SHARDS_KEY, 1)
    receipt = api_client.post("/v1/events", json=bought("e1")).json()
    with (
        run_api(stack_settings.model_copy(update={"shards": 2})) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.INGEST]), timeout=30) as client,
    ):
        early = client.post("/v1/events", json=bought("e2"))
        assert (early.status_code, "LSEC_SHARDS=1" in early.json()["remedy"]) == (503, True)
        commit(log_client, receipt["positions"]["0"], 1)
        assert client.post("/v1/events", json=bought("e2")).status_code == 202
        assert log_client.get(SHARDS_KEY) == b"2"


def test_an_erasure_that_the_log_does_not_take_yet_is_kept_for_the_upkeep(
    api_client: httpx2.Client, stack_settings: Settings, log_client: Log, keys: dict[Scope, str]
) -> None:
    log_client.set(SHARDS_KEY, 1)
    api_client.post("/v1/events", json=bought("e1"))
    with (
        run_api(stack_settings.model_copy(update={"shards": 2})) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.ADMIN]), timeout=30) as client,
    ):
        answer = client.delete("/v1/users/u1")
    assert (answer.status_code, answer.json()["waiting_for"]) == (202, ["the event log"])
