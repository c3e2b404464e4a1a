"""A market of ten products with a release that is served, and how an ingester tells that it has changed."""

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import neo4j
import redis

from lsec.core.artifact import open_artifact
from lsec.core.event_log import LogKeys, encode_changes
from tests.integration.api_server import wait_until
from tests.integration.small_release import write_artifact
from workers.graph import write_rows
from workers.publish import publish

RELEASE = "rel_first"
PRODUCTS = [f"p{number}" for number in range(10)]

BOUGHT = {"u1": ["p0"], "u2": ["p0", "p2"]}

# u1 bought p0 as u2 and u3 did; u2 bought p2, too. u1 follows s1, who sells p1. The release knows all of it,
# but not u3.
MARKET = """
UNWIND range(0, 9) AS i CREATE (:Product {id: 'p' + i, index: i})
WITH count(*) AS _
UNWIND [['u1', 0], ['u2', 1], ['u3', 2], ['team/u4', 3]] AS user CREATE (:User {id: user[0], index: user[1]})
WITH count(*) AS _
CREATE (:Streamer {id: 's1', name: 'Ann'}), (:Streamer {id: 's2'})
WITH 1 AS _
UNWIND [['u1', 'p0'], ['u2', 'p0'], ['u3', 'p0'], ['u2', 'p2']] AS pair
MATCH (u:User {id: pair[0]}), (p:Product {id: pair[1]})
CREATE (u)-[:BOUGHT {event_id: pair[0] + pair[1], at: datetime('2025-12-01T00:00:00Z'), quantity: 1,
                     amount: 5, streamer_id: '', stream_id: ''}]->(p)
WITH count(*) AS _
MATCH (u:User {id: 'u1'}), (ann:Streamer {id: 's1'}), (other:Streamer {id: 's2'}), (p:Product {id: 'p1'})
CREATE (u)-[:FOLLOWS {at: datetime('2025-12-01T00:00:00Z')}]->(ann), (ann)-[:SELLS {count: 2}]->(p),
       (other)-[:SELLS {count: 9}]->(p)
"""


@dataclass(frozen=True)
class Market:
    """A graph, and how an ingester tells that it has changed."""

    driver: neo4j.Driver
    log: redis.Redis

    def change(self, statement: str, *changed: tuple[str, str], **parameters: Any) -> None:
        """Change the graph, and say who or what has changed: (kind, id)."""
        self.driver.execute_query(statement, **parameters)
        self.tell(*changed)

    def tell(self, *changed: tuple[str, str]) -> None:
        if changed:
            self.log.xadd(LogKeys(0).changes, {"p": "1-0", "c": encode_changes(list(changed))})

    def buy(self, user_id: str, product_id: str, **properties: Any) -> None:
        self.change(
            """MATCH (u:User {id: $user_id}), (p:Product {id: $product_id})
            CREATE (u)-[b:BOUGHT {event_id: randomUUID(), at: datetime(), streamer_id: '', amount: 1}]->(p)
            SET b += $properties""",
            ("user", user_id),
            user_id=user_id,
            product_id=product_id,
            properties=properties,
        )

    def erase(self, user_id: str, *, until: date) -> None:
        """What the ingester does with an erasure, in its order."""
        user_hash = hashlib.sha256(user_id.encode()).hexdigest()
        rows = [{"user_id": user_id, "user_hash": user_hash, "until": until}]
        for name in ("set_tombstones", "erase_relationships", "erase_refunds", "erase_slates", "erase_users"):
            write_rows(self.driver, f"ingest/{name}", batch={"rows": rows})
        self.tell(("user", user_id))


def open_market(driver: neo4j.Driver, log: redis.Redis, artifacts: Path) -> Market:
    """The market in an empty graph, with an active release."""
    driver.execute_query(MARKET)
    slates = {"u1": ["p1", "p2", "p3", "p4"], "team/u4": ["p5"], "gone": ["p6", "p0"], "u2": []}
    popular = ["p0", "p9", "p8", "p7"]
    write_artifact(artifacts / RELEASE, slates, products=PRODUCTS, popular=popular, bought=BOUGHT)
    publish(driver, open_artifact(artifacts / RELEASE))
    return Market(driver, log)


def fetch(client: httpx2.Client, user_id: str, **params: Any) -> dict[str, Any]:
    """The recommendations of a user whose id may hold anything."""
    quoted = user_id.replace("/", "%2F")
    answer = client.get(f"/v1/users/{quoted}/recommendations", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def shown(client: httpx2.Client, user_id: str, **params: Any) -> list[str]:
    return [product["product_id"] for product in fetch(client, user_id, **params)["products"]]


def becomes(client: httpx2.Client, user_id: str, expected: list[str], **params: Any) -> None:
    """Wait until the user is shown just these: a change must be seen within a second or so."""
    wait_until(lambda: shown(client, user_id, k=len(expected), **params) == expected, timeout_s=5)
