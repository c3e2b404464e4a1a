"""Reasons are true: each names a path that the graph has at that moment; none is where there is no path."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import neo4j
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph_schema import events as ev
from graph_schema.queries import load_query
from lsec.api.reasons import Explainer, Reason
from lsec.api.stores.graph import Graph, open_graph
from lsec.core.settings import Settings
from tests.integration.ingest_stack import AT, IngestStack
from tests.unit.ingest.event_lists import replace_id
from tests.unit.ingest.expected_graph import Graph as ExpectedGraph
from tests.unit.ingest.expected_graph import expected_graph

USERS, STREAMERS, PRODUCTS = ("u1", "u2", "u3", "u4"), ("s1", "s2", "s3", "s4"), ("p1", "p2", "p3", "p4")
Pairs = set[tuple[str, str]]


# The laws, against the graph that the events stand for.


def _drawn(cls: type[Any], **fields: Sequence[str]) -> st.SearchStrategy[ev.Event]:
    """One event of a class, whose id is given later; half of the refunds and unfollows come too early."""
    ids = {name: st.sampled_from(values) for name, values in fields.items()}
    if cls is ev.UserWatched:
        return st.builds(cls, event_id=st.just(""), at=_MOMENTS, seconds=st.integers(1, 400), **ids)
    return st.builds(cls, event_id=st.just(""), at=_MOMENTS, **ids)


_MOMENTS = st.integers(0, 9).map(lambda minutes: AT + timedelta(minutes=minutes))
_EVENTS = st.one_of(
    _drawn(ev.UserFollowed, user_id=USERS, streamer_id=STREAMERS),
    _drawn(ev.UserUnfollowed, user_id=USERS, streamer_id=STREAMERS),
    _drawn(ev.UserWatched, user_id=USERS, streamer_id=STREAMERS, stream_id=("", "t1")),
    _drawn(ev.ProductShowcased, streamer_id=STREAMERS, product_id=PRODUCTS, stream_id=("", "t1")),
    _drawn(ev.UserBought, user_id=USERS, product_id=PRODUCTS),
    _drawn(ev.UserRefunded, user_id=USERS, purchase_event_id=[f"e{number}" for number in range(30)]),
    _drawn(ev.ProductUpserted, product_id=PRODUCTS, name=("", "Blue mug")),
    _drawn(ev.StreamerUpserted, streamer_id=STREAMERS, name=("", "Ann")),
)


@settings(
    max_examples=12,
    deadline=None,
    # `wipe` gives each example a fresh graph and log on the same services.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(_EVENTS, min_size=10, max_size=60), st.integers(0, 60))
def test_each_reason_is_a_path_of_the_graph_and_none_is_missed(
    stack: IngestStack, drawn: list[ev.Event], num_first: int
) -> None:
    events = [replace_id(event, f"e{number}") for number, event in enumerate(drawn)]
    stack.wipe()
    for part in (events[:num_first], events):
        if part:
            stack.append(part)
            stack.drain()
        graph = expected_graph(part)
        for user_id, reasons in reasons_of(stack.settings, USERS, PRODUCTS).items():
            for product_id in PRODUCTS:
                check(graph, user_id, product_id, reasons.get(product_id))


def check(graph: ExpectedGraph, user_id: str, product_id: str, reason: dict[str, Any] | None) -> None:
    """The reason is the best there is, and all that it says is in the graph."""
    sellers = {source for source, target in pairs(graph, "SELLS") if target == product_id}
    followed = sellers & {target for source, target in pairs(graph, "FOLLOWS") if source == user_id}
    watched = sellers & {target for source, target in pairs(graph, "WATCHED") if source == user_id}
    alike = users_alike(graph, user_id, product_id)
    if reason is None:
        assert followed | watched | alike == set()
        return
    has_path(graph, reason["path"], user_id, product_id)
    named = set(reason.get("streamers", ()))
    if followed:
        assert (reason["kind"], len(named)) == ("followed_streamers", min(len(followed), 3))
        assert named <= followed
    elif watched:
        seconds = {name: watched_seconds(graph, user_id, name) for name in watched}
        assert (reason["kind"], len(named)) == ("watched_streamers", min(len(watched), 3))
        assert sum(seconds[name] for name in named) == sum(sorted(seconds.values())[-3:])
        assert reason["minutes"] == sum(seconds[name] for name in named) // 60
    else:
        assert (reason["kind"], reason["num_users"]) == ("users_alike", len(alike))


def has_path(graph: ExpectedGraph, path: dict[str, Any], user_id: str, product_id: str) -> None:
    """Every node is as recorded, and with some user in the place of the nameless one every pair is joined."""
    nodes = path["nodes"]
    assert nodes[0] == {"label": "User", "id": user_id}
    assert (nodes[-1]["label"], nodes[-1]["id"]) == ("Product", product_id)
    for node in nodes:
        if "id" in node:
            record = graph[node["label"], node["id"]]
            assert node.get("name", "") == (record.get("name", "") if node["label"] != "User" else "")
    joined = {name: pairs(graph, name) for name in ("FOLLOWS", "WATCHED", "SELLS", "BOUGHT")}
    ends = {place for each in path["relationships"] for place in (each["from"], each["to"])}
    assert ends == set(range(len(nodes)))
    assert any(
        all(
            (nodes[each["from"]].get("id", other), nodes[each["to"]].get("id", other)) in joined[each["type"]]
            for each in path["relationships"]
        )
        for other in set(USERS) - {user_id}
    )


def pairs(graph: ExpectedGraph, name: str) -> Pairs:
    """The ends of the relationships of a name; of purchases those that were kept."""
    return {
        (key[1], key[2]) for key, record in graph.items() if key[0] == name and "refunded_at" not in record
    }


def watched_seconds(graph: ExpectedGraph, user_id: str, streamer_id: str) -> int:
    """How long the user watched the streamer in all."""
    key = ("WATCHED", user_id, streamer_id)
    return sum(record["seconds"] for found, record in graph.items() if found[:3] == key)


def users_alike(graph: ExpectedGraph, user_id: str, product_id: str) -> set[str]:
    """Who bought the product, and another one that the user bought too."""
    bought = pairs(graph, "BOUGHT")
    mine = {product for user, product in bought if user == user_id} - {product_id}
    buyers = {user for user, product in bought if product == product_id} - {user_id}
    return {user for user, product in bought if user in buyers and product in mine}


# What the reasons say.

MARKET = """
CREATE (u:User {id: 'u1'}), (other:User {id: 'u2'}),
       (ann:Streamer {id: 's1', name: 'Ann'}), (bea:Streamer {id: 's2', name: ''}), (s3:Streamer {id: 's3'}),
       (mug:Product {id: 'p1', name: 'Blue mug'}), (p2:Product {id: 'p2'}), (p3:Product {id: 'p3'}),
       (ann)-[:SELLS {count: 2}]->(p2), (bea)-[:SELLS {count: 1}]->(p2), (s3)-[:SELLS {count: 1}]->(p2),
       (u)-[:BOUGHT {event_id: 'b1', at: datetime('2026-01-01T00:00:00Z')}]->(mug),
       (other)-[:BOUGHT {event_id: 'b2', at: datetime('2026-01-01T00:00:00Z')}]->(mug),
       (other)-[:BOUGHT {event_id: 'b3', at: datetime('2026-01-01T00:00:00Z')}]->(p2),
       (u)-[:FOLLOWS {at: datetime()}]->(bea), (u)-[:FOLLOWS {at: datetime()}]->(ann),
       (u)-[:WATCHED {stream_id: 't1', day: date('2026-01-01'), seconds: 100}]->(ann),
       (u)-[:WATCHED {stream_id: 't2', day: date('2026-01-01'), seconds: 30}]->(ann),
       (u)-[:WATCHED {stream_id: 't1', day: date('2026-01-01'), seconds: 40}]->(s3)
"""


@pytest.fixture
def market(clean_stack: None, neo4j_driver: neo4j.Driver) -> neo4j.Driver:
    """u1 follows s1 and s2, watched s1 and s3, who all sell p2; u2 bought p1 as u1 did, and p2."""
    neo4j_driver.execute_query(MARKET)
    return neo4j_driver


def reasons_of(
    stack_settings: Settings, user_ids: Sequence[str], product_ids: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """What users are told of products; all of it as the API's answers say it is."""

    async def explained() -> dict[str, dict[str, dict[str, Any]]]:
        async with open_graph(stack_settings) as driver:
            explainer = Explainer(Graph(driver))
            await explainer.prepare()
            return {user_id: await explainer.explain(user_id, product_ids) for user_id in user_ids}

    found = asyncio.run(explained())
    for reasons in found.values():
        for reason in reasons.values():
            assert Reason.model_validate(reason).model_dump(by_alias=True, exclude_none=True) == reason
    return found


def test_the_best_path_is_told_as_long_as_it_is_there(market: neo4j.Driver, stack_settings: Settings) -> None:
    def told() -> list[Any]:
        reason = reasons_of(stack_settings, ["u1"], ["p2"])["u1"].get("p2")
        return [reason["text"], reason.get("streamers")] if reason else []

    assert told() == ["Sold by Ann and s2, whom you follow", ["s1", "s2"]]
    market.execute_query("MATCH ()-[f:FOLLOWS]->() DELETE f")
    assert told() == ["Sold by Ann and s3, whom you watched for 2 minutes", ["s1", "s3"]]
    market.execute_query("MATCH ()-[w:WATCHED]->() DELETE w")
    assert told() == ["Bought by at least 1 user who bought what you bought, such as Blue mug", None]
    market.execute_query("MATCH (:User {id: 'u1'})-[b:BOUGHT]->() SET b.refunded_at = datetime()")
    assert told() == []


def test_a_user_alike_stays_nameless(market: neo4j.Driver, stack_settings: Settings) -> None:
    market.execute_query("MATCH ()-[r:FOLLOWS|WATCHED]->() DELETE r")
    assert reasons_of(stack_settings, ["u1"], ["p2"])["u1"]["p2"] == {
        "kind": "users_alike",
        "text": "Bought by at least 1 user who bought what you bought, such as Blue mug",
        "num_users": 1,
        "path": {
            "nodes": [
                {"label": "User", "id": "u1"},
                {"label": "Product", "id": "p1", "name": "Blue mug"},
                {"label": "User"},
                {"label": "Product", "id": "p2"},
            ],
            "relationships": [
                {"type": "BOUGHT", "from": 0, "to": 1},
                {"type": "BOUGHT", "from": 2, "to": 1},
                {"type": "BOUGHT", "from": 2, "to": 3},
            ],
        },
    }
    read = load_query("recommendations/paths_to")
    records, _, _ = market.execute_query(read.text, asked={"user_id": "u1", "product_ids": ["p2"]})
    assert "u2" not in str(records)


def test_users_and_products_that_nobody_knows_have_no_reason(
    market: neo4j.Driver, stack_settings: Settings
) -> None:
    asked = reasons_of(stack_settings, ["u1", "u2", "nobody", "' OR 1=1 //"], ["p3", "nothing", "p1"])
    assert asked == {"u1": {}, "u2": {}, "nobody": {}, "' OR 1=1 //": {}}
    assert reasons_of(stack_settings, ["u1"], []) == {"u1": {}}


# How much is read.

CROWD = """
CREATE (u:User {id: 'u'}), (s:Streamer {id: 's'}), (p:Product {id: 'p'}), (q:Product {id: 'q'})
WITH u, s, p, q
UNWIND range(0, 9) AS i
CREATE (hot:Product {id: 'hot' + i}), (s)-[:SELLS {count: 1}]->(hot)
WITH u, s, p, q, collect(hot) AS hots
CREATE (u)-[:FOLLOWS]->(s)
WITH *
UNWIND range(1, $num) AS i
WITH *, hots[i % 10] AS hot
CREATE (star:Streamer {id: 'star' + i}), (strange:Streamer {id: 'strange' + i}),
       (other:User {id: 'other' + i}), (good:Product {id: 'good' + i}),
       (u)-[:FOLLOWS]->(star), (u)-[:WATCHED {seconds: 9}]->(star),
       (u)-[:BOUGHT {event_id: 'u' + i, at: datetime()}]->(hot),
       (other)-[:BOUGHT {event_id: 'h' + i, at: datetime()}]->(hot),
       (other)-[:BOUGHT {event_id: 'p' + i, at: datetime()}]->(p),
       (other)-[:BOUGHT {event_id: 'q' + i, at: datetime()}]->(q),
       (other)-[:FOLLOWS]->(s), (other)-[:WATCHED {seconds: 9}]->(s),
       (strange)-[:SELLS {count: 1}]->(p), (strange)-[:SELLS {count: 1}]->(q), (s)-[:SELLS {count: 1}]->(good)
"""


def num_reads(driver: neo4j.Driver, *, num: int) -> int:
    """What the database reads for a user, two products, a streamer and goods with so many relationships."""
    driver.execute_query("MATCH (n:User|Streamer|Product) DETACH DELETE n")
    driver.execute_query(CROWD, num=num)
    query = load_query("recommendations/paths_to")
    asked = {"user_id": "u", "product_ids": ["p", "q", "hot0"]}
    records, summary, _ = driver.execute_query("PROFILE " + query.text, asked=asked)
    assert {record["product_id"] for record in records} >= {"p", "q"}
    assert summary.profile is not None
    return hits(summary.profile)


def hits(profile: dict[str, Any]) -> int:
    """The reads of a plan and of all below it."""
    return int(profile["dbHits"]) + sum(hits(child) for child in profile.get("children", ()))


def test_a_crowd_is_read_in_part_however_large_it_is(clean_stack: None, neo4j_driver: neo4j.Driver) -> None:
    few, many = num_reads(neo4j_driver, num=1500), num_reads(neo4j_driver, num=3000)
    assert many < 1.1 * few
