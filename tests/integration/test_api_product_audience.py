"""Whom to tell of a product: exactly those whom the model says, without those who may not be told."""

import numpy as np
import pytest

from lsec.core.ledger import Scope
from tests.integration.api_server import wait_until
from tests.integration.conftest import bearer
from tests.integration.vector_market import RELEASE, VectorMarket, by_score, ids


def test_an_audience_is_all_users_by_their_score_without_buyers(market: VectorMarket) -> None:
    scores = market.scores()[:, 3]
    # Users without purchases are unknown to the model; u3 and u36 and u43 bought it.
    may = [u for u in range(60) if u % 10 != 9 and u not in (3, 36, 43)]
    true = by_score({f"u{user}": float(scores[user]) for user in may})
    found = market.get("/v1/products/p3/audience", k=1000)
    assert (found["release_id"], found["source"]) == (RELEASE, "release")
    assert ids(found, "user") == true
    assert found["users"][0]["score"] == pytest.approx(scores[int(true[0][1:])], rel=1e-3)
    assert ids(market.get("/v1/products/p3/audience", k=7), "user") == true[:7]
    # Bought, dismissed, erased: of none of them has the API been told.
    market.driver.execute_query(
        """MATCH (a:User {id: $a}), (b:User {id: $b}), (c:Slate {user_id: $c}), (p:Product {id: 'p3'})
        CREATE (a)-[:BOUGHT {event_id: 'x', at: datetime()}]->(p), (b)-[:DISMISSED {at: datetime()}]->(p)
        DETACH DELETE c""",
        a=true[0],
        b=true[1],
        c=true[2],
    )
    assert ids(market.get("/v1/products/p3/audience", k=4), "user") == true[3:7]


def test_nobody_whose_erasure_was_asked_for_is_in_an_audience(market: VectorMarket) -> None:
    best = ids(market.get("/v1/products/p3/audience", k=2), "user")
    assert market.client.delete(f"/v1/users/{best[0]}").status_code == 202
    assert ids(market.get("/v1/products/p3/audience", k=1), "user") == best[1:]


def test_a_product_newer_than_the_release_has_the_audience_of_what_its_sellers_sell(
    market: VectorMarket,
) -> None:
    market.change(
        """MATCH (s:Streamer {id: 's2'}), (u:User {id: 'u8'})
        CREATE (p:Product {id: 'new', index: 40}), (s)-[:SELLS {count: 1}]->(p),
          (q:Product {id: 'alone', index: 41}), (t:Streamer {id: 'fresh'})-[:SELLS {count: 1}]->(q),
          (u)-[:FOLLOWS {at: datetime()}]->(t)""",
        ("product", "new"),
        ("product", "alone"),
    )
    wait_until(lambda: market.client.get("/v1/products/alone/audience").status_code == 200)
    vectors = market.artifact.user_vectors.astype(np.float64)
    mean = market.artifact.product_vectors[2::5].astype(np.float64).mean(axis=0)
    true = by_score({f"u{u}": float(vectors[u] @ mean) for u in range(60) if u % 10 != 9})
    found = market.get("/v1/products/new/audience", k=5)
    assert (found["source"], ids(found, "user")) == ("sellers_products", true[:5])
    alone = market.get("/v1/products/alone/audience", k=5)
    assert (alone["source"], alone["users"]) == ("followers", [{"user_id": "u8", "score": 0.0}])


def test_users_are_listed_to_analysts_alone(market: VectorMarket, keys: dict[Scope, str]) -> None:
    for scope, status in ((Scope.ANALYST, 200), (Scope.READ, 403), (Scope.INGEST, 403)):
        answer = market.client.get("/v1/products/p3/audience", headers=bearer(keys[scope]))
        assert answer.status_code == status
    for path in ("/v1/products/p3/similar", "/v1/users/u1/streamers"):
        assert market.client.get(path, headers=bearer(keys[Scope.READ])).status_code == 200
        assert market.client.get(path, headers={"Authorization": ""}).status_code == 401
