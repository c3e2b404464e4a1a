"""The leaderboard's measures, spread, funnel and influencers, of events small enough to count by hand."""

from typing import Any

import httpx2
import pytest

from graph_schema.events import ProductShowcased
from tests.integration.influence_market import ask, ask_table, at, bought, market
from tests.integration.ingest_stack import IngestStack


@pytest.fixture
def events(stack: IngestStack) -> None:
    stack.append(market())
    stack.drain()


def test_the_leaderboard_measures_the_way_from_reach_to_repeated_purchases(
    events: None, api_client: httpx2.Client
) -> None:
    # Bob alone is named by purchases: u1's for 300 of three cups, u2's tea for 100, and one refunded.
    assert ask(api_client, "leaderboard") == [
        {
            "streamer_id": "bob",
            "name": "Bob",
            "reach": 1,
            "watch_seconds": 90,
            "views": 1,
            "click_rate": 1.0,
            "carts": 1,
            "view_to_cart": 1.0,
            "cart_to_buy": 2.0,
            "buyers": 2,
            "purchases": 2,
            "amount": 400,
            "average_order": 200.0,
            "items_per_order": 2.0,
            "new_followers": 1,
            "refunds": 1,
            "refunded_amount": 200,
            "gmv": 600,
            "repeat_rate": 0.0,
            "share_of_buyers_who_follow": 0.0,
        }
    ]


def test_the_leaderboard_counts_within_its_window_and_category(
    events: None, api_client: httpx2.Client
) -> None:
    def measures(**params: Any) -> list[tuple[Any, ...]]:
        names = ("reach", "views", "carts", "purchases", "new_followers", "refunds")
        return [tuple(row[name] for name in names) for row in ask(api_client, "leaderboard", **params)]

    assert measures(until="2026-01-06T00:00:00Z") == [(1, 1, 1, 1, 0, 1)]
    assert measures(since="2026-01-06T00:00:00Z") == [(0, 0, 0, 1, 1, 0)]
    assert measures(since="2026-01-06T01:00:00+01:00") == [(0, 0, 0, 1, 1, 0)]
    # Watching and following are of no category.
    assert measures(category="food") == [(1, 0, 0, 1, 1, 0)]
    assert measures(category="none") == []


def test_the_leaderboards_pages_follow_each_other(stack: IngestStack, api_client: httpx2.Client) -> None:
    stack.driver.execute_query(
        """UNWIND range(0, 6) AS n MERGE (s:Streamer {id: 's' + n}) MERGE (p:Product {id: 'p'})
        WITH n, p UNWIND range(0, n / 2) AS m MERGE (u:User {id: 'u' + m})
        CREATE (u)-[:BOUGHT {event_id: n + '-' + m, at: datetime(), amount: 1, quantity: 1,
                             streamer_id: 's' + n, stream_id: ''}]->(p)"""
    )
    whole = ask_table(api_client, "leaderboard")
    assert [row["streamer_id"] for row in whole["rows"]] == ["s6", "s4", "s5", "s2", "s3", "s0", "s1"]
    assert whole["next"] is None
    rows, cursor = [], None
    for _ in range(3):
        page = ask_table(api_client, "leaderboard", limit=3, **({"cursor": cursor} if cursor else {}))
        rows += page["rows"]
        cursor = page["next"]
    assert (rows, cursor) == (whole["rows"], None)


def test_a_product_spreads_over_streamers_and_days(events: None, api_client: httpx2.Client) -> None:
    rows = ask(api_client, "spread", product_id="cup")
    assert [tuple(row.values()) for row in rows] == [
        ("2026-01-05", "", "", 0, 0, 1, 1, 400, 0, 0),
        ("2026-01-05", "ann", "Ann", 1, 0, 0, 0, 0, 0, 0),
        ("2026-01-05", "bob", "Bob", 1, 1, 1, 1, 300, 1, 200),
    ]
    tea = ask(api_client, "spread", product_id="tea", since="2026-01-06T00:00:00Z")
    assert [(row["day"], row["streamer_id"], row["purchases"]) for row in tea] == [("2026-01-06", "bob", 1)]
    assert ask(api_client, "spread", product_id="cup", limit=1) == rows[:1]


def test_a_stream_is_a_funnel_of_minutes(events: None, api_client: httpx2.Client) -> None:
    rows = ask(api_client, "funnel", stream_id="b1")
    assert [tuple(row.values()) for row in rows] == [
        ("2026-01-05T10:00:00Z", 1, 0, 0, 0),
        ("2026-01-05T10:12:00Z", 0, 1, 0, 0),
        ("2026-01-05T10:18:00Z", 0, 0, 1, 0),
        ("2026-01-05T11:00:00Z", 0, 0, 0, 1),
    ]
    assert ask(api_client, "funnel", stream_id="b1", since="2026-01-05T10:18:00Z") == rows[2:]
    assert ask(api_client, "funnel", stream_id="b1", until="2026-01-05T10:12:00Z") == rows[:1]


def test_a_users_influencers_are_those_of_the_purchases_first(
    events: None, api_client: httpx2.Client
) -> None:
    def influencers(user: str, **params: Any) -> list[tuple[Any, ...]]:
        return [tuple(row.values())[:8] for row in ask(api_client, "influencers", user_id=user, **params)]

    assert influencers("u1") == [
        ("bob", "Bob", False, 90, 1, 1, 300, 0),
        ("ann", "Ann", True, 0, 0, 0, 0, 0),
    ]
    assert influencers("u2") == [
        ("bob", "Bob", False, 0, 0, 1, 100, 1),
        ("ann", "Ann", False, 0, 1, 0, 0, 0),
    ]
    assert influencers("u2", category="ware", since="2026-01-05T10:00:00Z") == [
        ("bob", "Bob", False, 0, 0, 0, 0, 1)
    ]
    assert influencers("u3") == []
    bought = ask(api_client, "influencers", user_id="u1")[0]["last_bought_at"]
    assert bought == "2026-01-05T11:00:00Z"


PAGED: list[tuple[str, dict[str, Any]]] = [
    ("product-streamers", {"product_id": "cup"}),
    ("spread", {"product_id": "cup"}),
    ("funnel", {"stream_id": "b1"}),
    ("influencers", {"user_id": "u1"}),
    ("paths", {"user_id": "u1", "product_id": "cup"}),
]


def test_the_pages_of_every_count_follow_each_other(
    events: None, stack: IngestStack, api_client: httpx2.Client
) -> None:
    stack.append(
        [
            ProductShowcased(event_id=f"s{id_}", at=at(9), streamer_id=id_, product_id="cup")
            for id_ in ("ann", "bob")
        ]
    )
    stack.drain()
    for query, params in PAGED:
        whole = ask_table(api_client, query, **params)
        assert (len(whole["rows"]) > 1, whole["next"]) == (True, None), query
        rows, cursor = [], None
        for _ in whole["rows"]:
            page = ask_table(api_client, query, **params, limit=1, **({"cursor": cursor} if cursor else {}))
            rows += page["rows"]
            cursor = page["next"]
        assert (rows, cursor) == (whole["rows"], None), query
        for wrong in ("bm9uZQ", "WzFd", "W3t9LDEsIngiXQ"):
            answer = api_client.get(f"/v1/influence/{query}", params=params | {"cursor": wrong})
            # [1] is a place in a funnel, and no other's.
            is_place = query == "funnel" and wrong == "WzFd"
            assert answer.status_code == (200 if is_place else 422), (query, wrong)


def test_counts_are_narrowed_to_enough_of_them(events: None, api_client: httpx2.Client) -> None:
    def streamers(query: str, **params: Any) -> list[str]:
        return [row["streamer_id"] for row in ask(api_client, query, **params)]

    assert streamers("product-streamers", product_id="cup", min_buyers=1) == ["bob"]
    assert streamers("product-streamers", product_id="cup", min_buyers=2) == []
    assert streamers("spread", product_id="cup", min_buyers=1) == ["", "bob"]
    assert streamers("influencers", user_id="u1", min_purchases=1) == ["bob"]
    assert streamers("influencers", user_id="u1", min_purchases=2) == []


def test_paths_are_those_of_a_window(events: None, stack: IngestStack, api_client: httpx2.Client) -> None:
    stack.append(
        [
            ProductShowcased(event_id="s1", at=at(9), streamer_id="bob", product_id="cup"),
            bought("b6", at(12), "u1", "tea", 50, ""),
            bought("b7", at(12), "u4", "tea", 50, ""),
        ]
    )
    stack.drain()

    def kinds(**params: Any) -> list[str]:
        return [row["path"] for row in ask(api_client, "paths", user_id="u1", product_id="cup", **params)]

    assert kinds() == ["bought", "watched streamer", "user alike"]
    assert kinds(until=at(11).isoformat()) == ["watched streamer"]
    assert kinds(since=at(10.5).isoformat()) == ["bought", "user alike"]
    assert kinds(min_shared=2) == ["bought", "watched streamer"]


@pytest.mark.parametrize(
    ("query", "field"),
    [("spread", "product_id"), ("funnel", "stream_id"), ("influencers", "user_id")],
)
def test_what_the_graph_does_not_know_is_not_found(api_client: httpx2.Client, query: str, field: str) -> None:
    answer = api_client.get(f"/v1/influence/{query}", params={field: "none"})
    assert (answer.status_code, answer.json()["field"]) == (404, field)


def test_a_user_who_is_to_be_forgotten_has_no_influencers(events: None, api_client: httpx2.Client) -> None:
    # Nothing drains the log: the graph still holds the user.
    assert api_client.delete("/v1/users/u1").status_code == 202
    answer = api_client.get("/v1/influence/influencers", params={"user_id": "u1"})
    assert (answer.status_code, answer.json()["field"]) == (404, "user_id")
