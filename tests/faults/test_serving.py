"""Recommendations while what they come from is killed: never an error, and never what may not be shown."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from lsec.api.wishes import DEGRADED_HEADER
from lsec.core.artifact import open_artifact
from tests.faults.faulty_stack import FaultyStack, wait_until
from tests.integration.small_release import write_artifact
from workers.graph import open_driver
from workers.publish import publish

pytestmark = pytest.mark.slow

PRODUCTS = [f"srv-p{number}" for number in range(8)]
BUYER, CHANGED, UNKNOWN = "srv-u1", "srv-u2", "srv-nobody"
RELEASE = "rel_served"
LONG_AGO = "2025-12-01T00:00:00Z"


@dataclass(slots=True)
class Shop:
    """A front end: what it was answered."""

    client: httpx2.Client
    statuses: set[int] = field(default_factory=set)
    away: set[str] = field(default_factory=set)

    def ask(self, user_id: str, **params: Any) -> list[str]:
        """The products for a user; a connection that a killed process broke is tried again."""
        path = f"/v1/users/{user_id}/recommendations"
        try:
            answer = self.client.get(path, params=params)
        except httpx2.TransportError:
            answer = self.client.get(path, params=params)
        self.statuses.add(answer.status_code)
        self.away |= set(filter(None, answer.headers.get(DEGRADED_HEADER, "").split(",")))
        assert answer.status_code == 200, answer.text
        assert answer.json()["release_id"] == RELEASE
        return [product["product_id"] for product in answer.json()["products"]]

    def is_whole(self) -> bool:
        """Whether the API follows all that it needs."""
        self.away.clear()
        for _ in range(8):
            for user_id in (BUYER, CHANGED):
                self.ask(user_id, explain=True)
        return not self.away

    def send(self, *events: dict[str, Any]) -> None:
        lines = "\n".join(json.dumps(event) for event in events)
        answer = self.client.post(
            "/v1/events",
            content=lines,
            headers={"Content-Type": "application/x-ndjson"},
            params={"wait": True},
        )
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def shop(faulty: FaultyStack) -> Iterator[Shop]:
    """A small release, a user who is as it knows them, and one who has changed since."""
    folder = faulty.settings.artifacts_path / RELEASE
    write_artifact(
        folder,
        {BUYER: PRODUCTS[1:5], CHANGED: PRODUCTS[3:7]},
        products=PRODUCTS,
        popular=PRODUCTS,
        bought={BUYER: [PRODUCTS[0]]},
        positions=[{"shard": 0, "seq": 10**9, "position": "1767225600000-0"}],
    )
    headers = {"Authorization": f"Bearer {faulty.secret}"}
    with httpx2.Client(base_url=faulty.url, headers=headers, timeout=30) as client:
        shop = Shop(client)
        upserts = [
            {"type": "product.upserted", "event_id": f"srv-{each}", "at": LONG_AGO, "product_id": each}
            for each in PRODUCTS
        ]
        bought = {"type": "user.bought", "at": LONG_AGO, "product_id": PRODUCTS[0]}
        shop.send(*upserts, *({**bought, "event_id": f"srv-{u}", "user_id": u} for u in (BUYER, CHANGED)))
        with open_driver(faulty.settings) as driver:
            publish(driver, open_artifact(folder))
        wait_until(
            lambda: client.get(f"/v1/users/{BUYER}/recommendations").json().get("release_id") == RELEASE
        )
        shop.send(
            {
                "type": "user.viewed",
                "event_id": "srv-view",
                "at": datetime.now(UTC).isoformat(),
                "user_id": CHANGED,
                "product_id": PRODUCTS[7],
            }
        )
        wait_until(shop.is_whole)
        yield shop


@pytest.mark.parametrize(("part", "names"), [("neo4j", {"graph", "user"}), ("valkey", {"log"})])
def test_answers_go_on_while_a_service_is_killed_and_follow_again_once_it_is_back(
    faulty: FaultyStack, shop: Shop, part: str, names: set[str]
) -> None:
    before = shop.ask(BUYER, k=3)
    hidden = {"type": "product.upserted", "at": datetime.now(UTC).isoformat(), "hidden": True}
    shop.send({**hidden, "event_id": f"srv-hide-{part}", "product_id": before[0]})
    wait_until(lambda: shop.ask(BUYER, k=2) == before[1:])
    killed = faulty.signal(part, signal.SIGKILL)
    num_asked = 0

    def is_back() -> bool:
        nonlocal num_asked
        for user_id in (BUYER, CHANGED, UNKNOWN):
            assert before[0] not in shop.ask(user_id, k=8, explain=num_asked % 2 == 0)
            num_asked += 1
        assert shop.ask(BUYER, k=2) == before[1:]
        return faulty.child(part) is not killed and faulty.child(part).is_ready

    wait_until(is_back)
    assert num_asked > 10
    assert shop.away & names
    assert shop.statuses == {200}
    wait_until(shop.is_whole)
    shown = datetime.now(UTC).isoformat()
    again = {"type": "product.upserted", "event_id": f"srv-show-{part}", "at": shown, "product_id": before[0]}
    shop.send(again)
    wait_until(lambda: shop.ask(BUYER, k=3) == before)


def test_an_api_that_starts_while_the_graph_is_away_serves_what_it_served_last(
    faulty: FaultyStack, shop: Shop
) -> None:
    before = shop.ask(BUYER, k=3)
    faulty.signal("neo4j", signal.SIGSTOP)
    try:
        killed = faulty.signal("api", signal.SIGKILL)
        faulty.restarted("api", killed)
        shop.away.clear()
        wait_until(lambda: shop.client.get(f"/v1/users/{BUYER}/recommendations").status_code == 200)
        wait_until(
            lambda: shop.client.get(f"/v1/users/{BUYER}/recommendations").json().get("release_id") == RELEASE
        )
        assert shop.ask(BUYER, k=3) == before
        assert "graph" in shop.away
    finally:
        faulty.signal("neo4j", signal.SIGCONT)
    wait_until(shop.is_whole)


def test_a_release_that_is_not_what_its_checksums_say_is_not_served(faulty: FaultyStack, shop: Shop) -> None:
    before = shop.ask(BUYER, k=3)
    folder = faulty.settings.artifacts_path / "rel_corrupt"
    write_artifact(folder, {BUYER: PRODUCTS[5:7]}, products=PRODUCTS, popular=PRODUCTS)
    artifact = open_artifact(folder)
    path = folder / "slates.safetensors"
    # Another file: the one that is open here is published from.
    damaged = folder / "damaged"
    damaged.write_bytes(path.read_bytes()[:-3] + b"\0\1\2")
    damaged.replace(path)
    with open_driver(faulty.settings) as driver:
        publish(driver, artifact)
        complained = "release rel_corrupt is active, but cannot be served"
        wait_until(lambda: faulty.num_lines("api", complained) > 0)
        assert shop.ask(BUYER, k=3) == before
        assert shop.statuses == {200}
        served = open_artifact(faulty.settings.artifacts_path / RELEASE)
        publish(driver, served, replaces="rel_corrupt")
    wait_until(shop.is_whole)
