"""What users are shown after each change: theirs, a product's, a stream's; and for a choice of products."""

import httpx2
import pytest

from lsec.core.event_log import LogKeys
from tests.integration.api_server import wait_until
from tests.integration.served_market import RELEASE, Market, becomes, fetch, shown


def test_a_purchase_drops_the_product_and_its_refund_brings_it_back(
    live_api: httpx2.Client, live_market: Market
) -> None:
    live_market.buy("u1", "p1")
    becomes(live_api, "u1", ["p2", "p3"])
    assert fetch(live_api, "u1")["source"] == "folded_in"
    live_market.change(
        "MATCH (:User {id: 'u1'})-[b:BOUGHT]->(:Product {id: 'p1'}) SET b.refunded_at = datetime()",
        ("user", "u1"),
    )
    becomes(live_api, "u1", ["p1", "p2"])


@pytest.mark.parametrize(
    "change",
    [
        "SET p.hidden = true",
        "SET p.in_stock = false",
        "SET p.expires_at = datetime() - duration('PT1S')",
        "DETACH DELETE p",
    ],
)
def test_what_may_not_be_shown_is_left_out(live_api: httpx2.Client, live_market: Market, change: str) -> None:
    assert shown(live_api, "u1", k=2) == ["p1", "p2"]
    live_market.change("MATCH (p:Product {id: 'p1'}) " + change, ("product", "p1"))
    becomes(live_api, "u1", ["p2", "p3"])
    if "in_stock" in change:
        assert shown(live_api, "u1", k=2, in_stock=False) == ["p1", "p2"]


def test_a_product_that_expires_while_it_is_served_goes_by_itself(
    live_api: httpx2.Client, live_market: Market
) -> None:
    live_market.change(
        "MATCH (p:Product {id: 'p1'}) SET p.expires_at = datetime() + duration('PT2S')", ("product", "p1")
    )
    becomes(live_api, "u1", ["p1", "p2"])
    becomes(live_api, "u1", ["p2", "p3"])


def test_what_is_dismissed_or_shown_too_often_goes_without_a_new_ranking(
    live_api: httpx2.Client, live_market: Market
) -> None:
    live_market.change(
        """MATCH (p:Product {id: 'p1'}), (tired:Product {id: 'p2'}), (u:User {id: 'u1'})
        CREATE (u)-[:DISMISSED {at: datetime()}]->(p),
               (u)-[:IMPRESSED {release_id: $release_id, day: date(), count: 9, min_position: 1,
                                first_at: datetime(), last_at: datetime()}]->(tired)""",
        ("shown", "u1"),
        release_id=RELEASE,
    )
    becomes(live_api, "u1", ["p3", "p4", "p2"])
    assert fetch(live_api, "u1")["source"] == "slate"


def test_a_new_user_is_shown_their_own_ranking_after_one_event(
    live_api: httpx2.Client, live_market: Market
) -> None:
    assert fetch(live_api, "u9")["source"] == "popular"
    live_market.change(
        """MATCH (p:Product {id: 'p3'})
        CREATE (:User {id: 'u9', index: 9})-[:VIEWED {stream_id: '', streamer_id: '', day: date(), count: 1,
                                                      first_at: datetime(), last_at: datetime()}]->(p)""",
        ("user", "u9"),
    )
    wait_until(lambda: fetch(live_api, "u9")["source"] == "folded_in", timeout_s=5)


def test_a_new_product_is_shown_after_its_first_showcase(
    live_api: httpx2.Client, live_market: Market
) -> None:
    assert shown(live_api, "u3", k=10, streamer_id="s1") == ["p1"]
    live_market.change(
        """MATCH (s:Streamer {id: 's1'}) CREATE (s)-[:SELLS {count: 1}]->(p:Product {id: 'fresh', index: 99}),
        (s)-[:HOSTED]->(:Stream {id: 'live1'})-[:SHOWCASED {count: 1, last_at: datetime()}]->(p)""",
        ("product", "fresh"),
        ("streamer", "s1"),
        ("stream", "live1"),
    )
    wait_until(lambda: "fresh" in shown(live_api, "u3", streamer_id="s1"), timeout_s=5)
    assert shown(live_api, "u3", stream_id="live1") == ["fresh"]
    live_market.tell(("user", "u3"))
    wait_until(lambda: "fresh" in shown(live_api, "u3"), timeout_s=5)


def test_a_stream_category_or_streamer_narrows_the_choice(
    live_api: httpx2.Client, live_market: Market
) -> None:
    live_market.change(
        """MATCH (toy:Product) WHERE toy.id IN ['p1', 'p8']
        MERGE (toys:Category {id: 'toys'})
        MERGE (toy)-[:IN]->(toys)
        WITH DISTINCT 1 AS _
        CREATE (s:Stream {id: 'live2'})
        WITH s
        MATCH (p:Product) WHERE p.id IN ['p3', 'p8']
        CREATE (s)-[:SHOWCASED {count: 1, last_at: datetime()}]->(p)""",
        ("product", "p1"),
        ("product", "p8"),
        ("stream", "live2"),
    )
    wait_until(lambda: set(shown(live_api, "u1", category="toys")) == {"p1", "p8"}, timeout_s=5)
    assert shown(live_api, "u1", stream_id="live2") == ["p3", "p8"]
    assert shown(live_api, "u1", stream_id="live2", category="toys") == ["p8"]
    assert shown(live_api, "u1", streamer_id="s2") == ["p1"]
    assert shown(live_api, "u1", streamer_id="s2", exclude=["p1"]) == []
    assert fetch(live_api, "u1", streamer_id="nobody")["source"] == "none"
    answer = live_api.get("/v1/users/u1/recommendations", params={"stream_id": "never"})
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no stream never.")


def test_many_users_are_answered_at_once_as_each_alone(live_api: httpx2.Client, live_market: Market) -> None:
    users = ["u1", "team/u4", "nobody"]
    answer = live_api.post("/v1/recommendations:batch", json={"user_ids": users, "k": 2})
    assert answer.status_code == 200
    assert answer.json()["recommendations"] == [fetch(live_api, user, k=2) for user in users]
    answer = live_api.post("/v1/recommendations:batch", json={"user_ids": [], "kk": 1})
    assert answer.status_code == 422


def test_a_visitor_is_ranked_for_by_what_they_did_and_nothing_is_kept(
    live_api: httpx2.Client, live_market: Market
) -> None:
    events = [{"type": "user.viewed", "product_id": "p2"}, {"type": "user.bought", "product_id": "p1"}]
    found = live_api.post("/v1/sessions/recommendations", json={"k": 3, "events": events}).json()
    assert (found["source"], found["user_id"]) == ("folded_in", "")
    assert [product["product_id"] for product in found["products"]] == ["p0", "p2", "p3"]
    assert live_api.post("/v1/sessions/recommendations", json={}).json()["source"] == "popular"
    assert live_market.driver.execute_query("MATCH (u:User) RETURN count(u) AS n").records[0]["n"] == 4


def test_a_log_made_anew_has_all_read_anew(live_api: httpx2.Client, live_market: Market) -> None:
    live_market.driver.execute_query("MATCH (p:Product {id: 'p1'}) SET p.hidden = true")
    assert shown(live_api, "u1", k=1) == ["p1"]
    live_market.log.set(LogKeys(0).epoch, "another")
    becomes(live_api, "u1", ["p2"])
