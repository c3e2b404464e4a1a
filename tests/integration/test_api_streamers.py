"""Whom a user is told to follow: by the model, without those followed already, with true reasons."""

import numpy as np
import pytest

from tests.integration.api_server import wait_until
from tests.integration.vector_market import RELEASE, VectorMarket, by_score, ids


def test_streamers_come_by_the_models_score_without_those_followed_already(market: VectorMarket) -> None:
    vectors = market.artifact.streamer_vectors.astype(np.float64)
    scores = vectors @ market.artifact.user_vectors[4].astype(np.float64) / 0.1
    true = by_score({f"s{row}": float(score) for row, score in enumerate(scores)})
    found = market.get("/v1/users/u4/streamers", k=3)
    assert (found["release_id"], found["source"], ids(found, "streamer")) == (RELEASE, "slate", true[:3])
    assert found["streamers"][0]["score"] == pytest.approx(scores.max(), rel=1e-3)
    market.driver.execute_query(
        "MATCH (u:User {id: 'u4'}), (s:Streamer {id: $id}) "
        "CREATE (u)-[:FOLLOWS {at: datetime('2025-12-01T00:00:00Z')}]->(s)",
        id=true[0],
    )
    # Nobody has told the API: it looks. The follow is older than the release, or the user would be folded in.
    assert ids(market.get("/v1/users/u4/streamers", k=5), "streamer") == true[1:]


def test_an_unknown_user_is_named_whom_most_follow(market: VectorMarket) -> None:
    market.driver.execute_query(
        """UNWIND [['u1', 's3'], ['u2', 's3'], ['u3', 's1']] AS pair
        MATCH (u:User {id: pair[0]}), (s:Streamer {id: pair[1]})
        CREATE (u)-[:FOLLOWS {at: datetime()}]->(s)"""
    )
    wait_until(lambda: ids(market.get("/v1/users/nobody/streamers"), "streamer")[:2] == ["s3", "s1"])
    found = market.get("/v1/users/nobody/streamers", k=2, explain=True)
    assert found["source"] == "most_followed"
    assert [(s["num_followers"], s["reason"]["kind"]) for s in found["streamers"]] == [
        (2, "popular"),
        (1, "popular"),
    ]
    # A user without purchases has no slate, and may follow all the same.
    assert market.get("/v1/users/u9/streamers")["source"] == "most_followed"


def test_the_reason_for_a_streamer_is_a_path_in_the_graph(market: VectorMarket) -> None:
    market.driver.execute_query(
        """MATCH (u:User {id: 'u4'}), (s:Streamer {id: 's0'})
        CREATE (u)-[:WATCHED {stream_id: '', day: date(), seconds: 130, last_at: datetime()}]->(s)"""
    )
    found = market.get("/v1/users/u4/streamers", k=5, explain=True)
    reasons = {streamer["streamer_id"]: streamer["reason"] for streamer in found["streamers"]}
    # u4 bought p4, which s4 sells, and p11, which s1 sells.
    assert reasons["s4"] == {
        "kind": "sells_bought",
        "text": "Sells Name of p4, which you bought",
        "products": ["p4"],
        "path": {
            "nodes": [
                {"label": "User", "id": "u4"},
                {"label": "Product", "id": "p4", "name": "Name of p4"},
                {"label": "Streamer", "id": "s4"},
            ],
            "relationships": [
                {"type": "BOUGHT", "from": 0, "to": 1},
                {"type": "SELLS", "from": 2, "to": 1},
            ],
        },
    }
    assert (reasons["s1"]["kind"], reasons["s1"]["products"]) == ("sells_bought", ["p11"])
    assert (reasons["s0"]["kind"], reasons["s0"]["minutes"]) == ("watched", 2)
    assert reasons["s2"] == reasons["s3"] == {"kind": "taste", "text": "Chosen to fit your taste"}
