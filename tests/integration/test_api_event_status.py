"""What became of an event, over HTTP; a dead-lettered one is in the tests of dead letters."""

from typing import Any
from urllib.parse import quote

import httpx2

from graph_schema.events import UserBought, UserViewed
from lsec.core.event_log import encode_chunk, shard_of
from lsec.core.ledger import Scope
from tests.integration.api_server import run_api
from tests.integration.conftest import bearer
from tests.integration.ingest_stack import AT, KEYS, IngestStack, views
from workers.ingest.entries import LoggedEvent
from workers.ingest.letters import dead_letter, store_dead_letters


def status_of(client: httpx2.Client, event_id: str) -> dict[str, Any]:
    answer = client.get(f"/v1/events/{quote(event_id, safe='')}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_event_is_accepted_then_committed_and_unknown_ones_are_a_404(
    api_client: httpx2.Client, stack: IngestStack, keys: dict[Scope, str]
) -> None:
    event = {
        "type": "user.viewed",
        "event_id": "shop/orders/1#ü",
        "at": AT.isoformat(),
        "user_id": "u",
        "product_id": "p",
    }
    api_client.post("/v1/events", json=event)
    told = {"event_id": event["event_id"], "shard": 0, "number": 1, "dead_letter_id": None}
    assert status_of(api_client, event["event_id"]) == told | {"status": "accepted"}
    stack.drain()
    assert status_of(api_client, event["event_id"]) == told | {"status": "committed"}
    unknown = api_client.get("/v1/events/nothing", headers=bearer(keys[Scope.INGEST]))
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:lsec:problem:not-found")
    assert "Send it" in unknown.json()["remedy"]
    assert api_client.get("/v1/events/a%20b").json()["field"] == "event_id"
    assert "shards" in api_client.get("/v1/events/lag").json()
    assert "oneOf" in api_client.get("/v1/events/schema").json()


def test_a_purchase_is_known_longer_than_the_window(api_client: httpx2.Client, stack: IngestStack) -> None:
    stack.append([UserBought(event_id="b", at=AT, user_id="u", product_id="p"), *views(1)])
    stack.drain()
    stack.client.delete(KEYS.id_prefix + "b", KEYS.id_prefix + "v0")
    told = {"event_id": "b", "status": "committed", "shard": 0, "number": None, "dead_letter_id": None}
    assert status_of(api_client, "b") == told
    assert api_client.get("/v1/events/v0").status_code == 404


def test_an_event_whose_correction_moved_it_to_another_shard_is_found_there(
    stack: IngestStack, keys: dict[Scope, str]
) -> None:
    users = {
        shard_of(UserViewed(event_id="e", at=AT, user_id=f"u{i}", product_id="p"), 2): f"u{i}"
        for i in range(20)
    }
    wrong = UserViewed(event_id="e", at=AT, user_id=users[0], product_id="p")
    sharded = stack.settings.model_copy(update={"shards": 2})
    with (
        run_api(sharded) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.ADMIN]), timeout=30) as client,
    ):
        stack.append([wrong])
        stack.drain()
        logged = LoggedEvent("0-1", 0, encode_chunk([wrong]), wrong)
        letter = dead_letter(logged, "wrong user", epoch=stack.client.get(KEYS.epoch).decode(), shard=0)
        path = f"/v1/dead-letters/{letter.id}"
        store_dead_letters(stack.engine, [letter])
        assert status_of(client, "e")["status"] == "dead_lettered"
        event = client.get(path).json()["event"] | {"user_id": users[1]}
        assert client.put(f"{path}/event", json=event).status_code == 200
        assert client.post(f"{path}/replay").status_code == 200
        told = {"event_id": "e", "shard": 1, "number": 1, "dead_letter_id": None}
        assert status_of(client, "e") == told | {"status": "accepted"}
