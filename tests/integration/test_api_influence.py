"""The named influence queries, on a graph small enough to count by hand."""

from typing import Any

import httpx2
import neo4j
import pytest

# s1: u1 (follows, two purchases of p1 and p2), u2 (p1); s2: u3 (p1, in February); u2's of s2 was refunded.
MARKET = """
UNWIND ['u1', 'u2', 'u3', 'u4'] AS id CREATE (:User {id: id})
WITH count(*) AS _
UNWIND ['p1', 'p2', 'p3'] AS id CREATE (:Product {id: id})
WITH count(*) AS _
UNWIND [['s1', 'Ann'], ['s2', 'Bob'], ['s3', null]] AS s CREATE (:Streamer {id: s[0], name: s[1]})
WITH count(*) AS _
CREATE (:Category {id: 'tea'})
WITH 1 AS _
UNWIND [['u1', 'p1', 's1', 100, '2026-01-05', false], ['u1', 'p2', 's1', 50, '2026-01-06', false],
        ['u2', 'p1', 's1', 100, '2026-01-07', false], ['u3', 'p1', 's2', 100, '2026-02-01', false],
        ['u2', 'p1', 's2', 100, '2026-01-08', true], ['u4', 'p2', '', 50, '2026-01-08', false]] AS b
MATCH (u:User {id: b[0]}), (p:Product {id: b[1]})
CREATE (u)-[r:BOUGHT {event_id: b[0] + b[1] + b[2], at: datetime(b[4] + 'T00:00:00Z'), quantity: 1,
                      amount: b[3], streamer_id: b[2], stream_id: ''}]->(p)
SET r.refunded_at = CASE WHEN b[5] THEN datetime('2026-03-01T00:00:00Z') END
WITH count(*) AS _
MATCH (u:User {id: 'u1'}), (u4:User {id: 'u4'}), (ann:Streamer {id: 's1'}), (third:Streamer {id: 's3'}),
      (p1:Product {id: 'p1'}), (p2:Product {id: 'p2'}), (tea:Category {id: 'tea'})
CREATE (u)-[:FOLLOWS {at: datetime()}]->(ann), (u4)-[:FOLLOWS {at: datetime()}]->(ann),
       (ann)-[:SELLS {count: 3}]->(p1), (third)-[:SELLS {count: 1}]->(p1), (p2)-[:IN]->(tea),
       (u4)-[:WATCHED {stream_id: 'l1', day: date('2026-01-01'), seconds: 30,
                        first_at: datetime('2026-01-01')}]->(third),
       (u4)-[:WATCHED {stream_id: 'l2', day: date('2026-01-02'), seconds: 12,
                        first_at: datetime('2026-01-02')}]->(third)
"""


@pytest.fixture
def market(neo4j_driver: neo4j.Driver, clean_stack: None) -> None:
    neo4j_driver.execute_query(MARKET)


def ask(client: httpx2.Client, query: str, **params: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/influence/{query}", params=params)
    assert answer.status_code == 200, answer.text
    table = answer.json()
    assert table["query"] == query
    for row in table["rows"]:
        assert list(row) == table["columns"]
    rows: list[dict[str, Any]] = table["rows"]
    return rows


def test_the_leaderboard_counts_buyers_purchases_amount_and_followers(
    market: None, api_client: httpx2.Client
) -> None:
    columns = ("streamer_id", "name", "buyers", "purchases", "amount", "share_of_buyers_who_follow")
    rows = [tuple(row[name] for name in columns) for row in ask(api_client, "leaderboard")]
    assert rows == [("s1", "Ann", 2, 3, 250, 0.5), ("s2", "Bob", 1, 1, 100, 0.0)]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"min_buyers": 2}, [("s1", 3)]),
        ({"limit": 1}, [("s1", 3)]),
        ({"since": "2026-01-06T00:00:00Z", "until": "2026-02-01T00:00:00Z"}, [("s1", 2)]),
        ({"since": "2026-01-06T00:00:00Z"}, [("s1", 2), ("s2", 1)]),
        ({"category": "tea"}, [("s1", 1)]),
        ({"category": "coffee"}, []),
    ],
)
def test_the_leaderboard_is_narrowed(
    market: None, api_client: httpx2.Client, params: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    assert [(r["streamer_id"], r["purchases"]) for r in ask(api_client, "leaderboard", **params)] == expected


def test_behind_a_product_stand_its_sellers_and_those_it_was_bought_through(
    market: None, api_client: httpx2.Client
) -> None:
    rows = ask(api_client, "product-streamers", product_id="p1")
    assert [tuple(row.values()) for row in rows] == [
        ("s1", "Ann", True, 3, 2, 2, 200, 0.5),
        ("s2", "Bob", False, 0, 1, 1, 100, 0.0),
        ("s3", "", True, 1, 0, 0, 0, 0.0),
    ]
    assert ask(api_client, "product-streamers", product_id="p3") == []


def test_paths_lead_over_purchases_streamers_and_users_alike(market: None, api_client: httpx2.Client) -> None:
    own = ask(api_client, "paths", user_id="u1", product_id="p1")
    assert own[0] == {
        "path": "bought",
        "nodes": ["u1", "s1", "p1"],
        "relationships": ["bought once through", "sold"],
        "strength": 1,
    }
    to_be = ask(api_client, "paths", user_id="u4", product_id="p1")
    assert [(row["path"], row["nodes"], row["strength"]) for row in to_be] == [
        ("followed streamer", ["u4", "s1", "p1"], 3),
        ("watched streamer", ["u4", "s3", "p1"], 42),
        ("user alike", ["u4", "p2", "u1", "p1"], 1),
    ]
    assert [row["relationships"] for row in to_be] == [
        ["follows", "showcased it 3 times"],
        ["watched for 42 s", "showcased it once"],
        ["bought it", "bought by", "bought"],
    ]
    assert ask(api_client, "paths", user_id="u4", product_id="p1", limit=1) == to_be[:1]
    assert ask(api_client, "paths", user_id="u3", product_id="p3") == []


def test_no_path_shows_a_user_who_is_to_be_forgotten(
    market: None, neo4j_driver: neo4j.Driver, api_client: httpx2.Client
) -> None:
    neo4j_driver.execute_query(
        "MATCH (p:Product) WHERE p.id IN ['p1', 'p2'] MERGE (u:User {id: 'leaving'}) "
        "CREATE (u)-[:BOUGHT {event_id: p.id, at: datetime(), streamer_id: ''}]->(p)"
    )

    def alike() -> list[str]:
        rows = ask(api_client, "paths", user_id="u4", product_id="p1")
        return [row["nodes"][2] for row in rows if row["path"] == "user alike"]

    assert alike() == ["leaving", "u1"]
    # Nothing drains the log: the graph still holds the user.
    assert api_client.delete("/v1/users/leaving").status_code == 202
    own = api_client.get("/v1/influence/paths", params={"user_id": "leaving", "product_id": "p1"})
    assert (own.status_code, own.json()["field"]) == (404, "user_id")
    assert alike() == ["u1"]


@pytest.mark.parametrize(
    ("query", "params", "field"),
    [
        ("product-streamers", {"product_id": "none"}, "product_id"),
        ("paths", {"user_id": "u1", "product_id": "none"}, "product_id"),
        ("paths", {"user_id": "none", "product_id": "p1"}, "user_id"),
    ],
)
def test_an_unknown_user_or_product_is_not_found(
    market: None, api_client: httpx2.Client, query: str, params: dict[str, str], field: str
) -> None:
    answer = api_client.get(f"/v1/influence/{query}", params=params)
    assert (answer.status_code, answer.json()["field"]) == (404, field)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
        ({"since": "yesterday"}, "since"),
        ({"limit": 0}, "limit"),
        ({"min_buyers": "many"}, "min_buyers"),
        ({"min_buyer": 2}, "min_buyer"),
        ({"category": "green tea"}, "category"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(
    market: None, api_client: httpx2.Client, params: dict[str, Any], field: str
) -> None:
    answer = api_client.get("/v1/influence/leaderboard", params=params)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_what_is_wrong_is_said_in_words_for_each_parameter(market: None, api_client: httpx2.Client) -> None:
    answer = api_client.get(
        "/v1/influence/leaderboard?since=2026-01-01T00:00:00+01:00&category=green%20tea&limit=0"
    )
    problem = answer.json()
    assert {error["field"]: error["reason"] for error in problem["errors"]} == {
        "since": "a + in a query means a space: write + as %2B, or use Z",
        "category": "an id has at least one character, and neither white space nor control characters",
        "limit": "Input should be greater than or equal to 1",
    }
    assert (answer.status_code, problem["field"]) == (422, "since")
    assert problem["detail"] == "since: " + problem["errors"][0]["reason"]
