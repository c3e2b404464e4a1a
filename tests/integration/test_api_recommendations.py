"""What users are shown: the slate less what the graph knows better, the fillers, and the reasons."""

import hashlib
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2
import neo4j
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from lsec.core.artifact import open_artifact
from lsec.core.ledger import ReleaseRecord, sync_url
from lsec.core.settings import Settings
from tests.integration.api_server import wait_until
from tests.integration.small_release import activate, write_artifact
from workers.graph import write_rows
from workers.publish import publish

RELEASE = "rel_first"
PRODUCTS = [f"p{number}" for number in range(10)]

# u1 bought p0 as u2 and u3 did; u2 bought p2, too. u1 follows s1, who sells p1.
MARKET = """
UNWIND range(0, 9) AS i CREATE (:Product {id: 'p' + i, index: i})
WITH count(*) AS _
UNWIND ['u1', 'u2', 'u3', 'team/u4'] AS id CREATE (:User {id: id})
WITH count(*) AS _
CREATE (:Streamer {id: 's1', name: 'Ann'}), (:Streamer {id: 's2'})
WITH 1 AS _
UNWIND [['u1', 'p0'], ['u2', 'p0'], ['u3', 'p0'], ['u2', 'p2']] AS pair
MATCH (u:User {id: pair[0]}), (p:Product {id: pair[1]})
CREATE (u)-[:BOUGHT {event_id: pair[0] + pair[1], at: datetime('2026-01-01T00:00:00Z'), quantity: 1,
                     amount: 5, streamer_id: '', stream_id: ''}]->(p)
WITH count(*) AS _
MATCH (u:User {id: 'u1'}), (ann:Streamer {id: 's1'}), (other:Streamer {id: 's2'}), (p:Product {id: 'p1'})
CREATE (u)-[:FOLLOWS {at: datetime()}]->(ann), (ann)-[:SELLS {count: 2}]->(p),
       (other)-[:SELLS {count: 9}]->(p)
"""


@pytest.fixture
def market(
    stack_settings: Settings, neo4j_driver: neo4j.Driver, api_client: httpx2.Client
) -> Iterator[neo4j.Driver]:
    """A market of ten products whose first release is served."""
    neo4j_driver.execute_query(MARKET)
    folder = stack_settings.artifacts_path / RELEASE
    slates = {"u1": ["p1", "p2", "p3", "p4"], "team/u4": ["p5"], "gone": ["p6", "p0"], "u2": []}
    write_artifact(folder, slates, products=PRODUCTS, popular=["p0", "p9", "p8", "p7"])
    publish(neo4j_driver, open_artifact(folder), keep=3)
    wait_until(lambda: fetch(api_client, "u1")["release_id"] == RELEASE)
    yield neo4j_driver
    shutil.rmtree(stack_settings.artifacts_path)


def fetch(client: httpx2.Client, user_id: str, **params: Any) -> dict[str, Any]:
    """The recommendations of a user whose id may hold anything."""
    quoted = user_id.replace("/", "%2F")
    answer = client.get(f"/v1/users/{quoted}/recommendations", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def shown(client: httpx2.Client, user_id: str, **params: Any) -> list[str]:
    return [product["product_id"] for product in fetch(client, user_id, **params)["products"]]


def erase(driver: neo4j.Driver, user_id: str, *, until: date) -> None:
    """What the ingester does with an erasure, in its order."""
    user_hash = hashlib.sha256(user_id.encode()).hexdigest()
    rows = [{"user_id": user_id, "user_hash": user_hash, "until": until}]
    for name in ("set_tombstones", "erase_relationships", "erase_refunds", "erase_slates", "erase_users"):
        write_rows(driver, f"ingest/{name}", batch={"rows": rows})


def buy(driver: neo4j.Driver, user_id: str, product_id: str, **properties: Any) -> None:
    driver.execute_query(
        """MATCH (u:User {id: $user_id}), (p:Product {id: $product_id})
        CREATE (u)-[b:BOUGHT {event_id: randomUUID(), at: datetime(), streamer_id: '', amount: 1}]->(p)
        SET b += $properties""",
        user_id=user_id,
        product_id=product_id,
        properties=properties,
    )


def test_the_slate_comes_first_then_popular_products_marked_as_such(
    api_client: httpx2.Client, market: neo4j.Driver
) -> None:
    found = fetch(api_client, "u1", k=6)
    assert (found["user_id"], found["release_id"], found["source"]) == ("u1", RELEASE, "slate")
    assert [(p["product_id"], p["score"]) for p in found["products"]] == [
        ("p1", 10.0),
        ("p2", 9.0),
        ("p3", 8.0),
        ("p4", 7.0),
        ("p9", 0.0),
        ("p8", 0.0),
    ]
    assert [p["reason"]["kind"] for p in found["products"][4:]] == ["popular", "popular"]


def test_the_reasons_are_followed_streamers_then_users_alike_then_taste(
    api_client: httpx2.Client, market: neo4j.Driver
) -> None:
    reasons = [product["reason"] for product in fetch(api_client, "u1", k=3)["products"]]
    assert reasons[0] == {
        "kind": "followed_streamers",
        "text": "Sold by Ann, whom you follow",
        "streamers": ["s1"],
    }
    assert reasons[1] == {
        "kind": "users_alike",
        "text": "Bought by at least 1 user who bought what you bought",
        "num_users": 1,
    }
    assert reasons[2] == {"kind": "taste", "text": "Chosen from what you bought"}


def test_reasons_can_be_left_out(api_client: httpx2.Client, market: neo4j.Driver) -> None:
    products = fetch(api_client, "u1", k=1, explain=False)["products"]
    assert products == [{"product_id": "p1", "score": 10.0}]


def test_a_purchase_drops_the_product_at_once_and_its_refund_brings_it_back(
    api_client: httpx2.Client, market: neo4j.Driver
) -> None:
    buy(market, "u1", "p1")
    assert shown(api_client, "u1", k=2) == ["p2", "p3"]
    market.execute_query("MATCH (:User {id: 'u1'})-[b:BOUGHT]->() SET b.refunded_at = datetime()")
    assert shown(api_client, "u1", k=2) == ["p1", "p2"]


@pytest.mark.parametrize(
    "change",
    [
        "SET p.hidden = true",
        "SET p.in_stock = false",
        "SET p.expires_at = datetime() - duration('PT1S')",
        "WITH p MATCH (u:User {id: 'u1'}) CREATE (u)-[:DISMISSED {at: datetime()}]->(p)",
        "DETACH DELETE p",
    ],
)
def test_what_may_not_be_shown_is_left_out(
    api_client: httpx2.Client, market: neo4j.Driver, change: str
) -> None:
    market.execute_query("MATCH (p:Product {id: 'p1'}) " + change)
    assert shown(api_client, "u1", k=2) == ["p2", "p3"]


def test_bought_goods_come_back_by_score_when_asked_for(
    api_client: httpx2.Client, market: neo4j.Driver
) -> None:
    # p0 scores 1 / 0.1 − 0: as much as the best of the slate, and its id comes first.
    assert shown(api_client, "u1", k=3, include_bought=True) == ["p0", "p1", "p2"]
    assert "p0" not in shown(api_client, "u1", k=10)


@pytest.mark.parametrize("user_id", ["nobody", "u2", "gone", "u3"])
def test_without_a_slate_the_popular_products_are_shown(
    api_client: httpx2.Client, market: neo4j.Driver, user_id: str
) -> None:
    found = fetch(api_client, user_id, k=2)
    assert (found["source"], found["release_id"]) == ("popular", RELEASE)
    expected = ["p0", "p9"] if user_id in ("nobody", "gone") else ["p9", "p8"]
    assert [product["product_id"] for product in found["products"]] == expected


@pytest.mark.parametrize("include_bought", [False, True])
def test_an_erased_user_who_comes_back_is_not_served_what_was_learnt_before(
    api_client: httpx2.Client, market: neo4j.Driver, include_bought: bool
) -> None:
    erase(market, "u1", until=datetime.now(UTC).date())
    market.execute_query("CREATE (:User {id: 'u1'})")
    buy(market, "u1", "p9")
    found = fetch(api_client, "u1", k=2, include_bought=include_bought)
    assert found["source"] == "popular"
    assert [(p["product_id"], p["score"], p["reason"]["kind"]) for p in found["products"]] == [
        ("p0", 0.0, "popular"),
        ("p9" if include_bought else "p8", 0.0, "popular"),
    ]


def test_an_erased_user_who_stays_with_newer_data_is_not_served_the_old_slate(
    api_client: httpx2.Client, market: neo4j.Driver
) -> None:
    buy(market, "u1", "p5")
    erase(market, "u1", until=datetime.now(UTC).date() - timedelta(days=1))
    assert market.execute_query("MATCH (u:User {id: 'u1'})-[:BOUGHT]->(p) RETURN p.id").records[0][0] == "p5"
    assert fetch(api_client, "u1", k=1)["source"] == "popular"


@pytest.mark.parametrize(
    ("until", "source"),
    [
        # The release is of 2026-01-01, its snapshot perhaps of the day before.
        (date(2026, 6, 1), "popular"),
        (date(2026, 1, 1), "popular"),
        (date(2025, 12, 31), "popular"),
        (date(2025, 12, 30), "slate"),
    ],
)
def test_a_publication_brings_no_slate_back_that_is_older_than_the_erasure(
    api_client: httpx2.Client, market: neo4j.Driver, stack_settings: Settings, until: date, source: str
) -> None:
    folder = stack_settings.artifacts_path / "rel_second"
    write_artifact(folder, {"u1": ["p7"], "u2": ["p8"]}, products=PRODUCTS, popular=["p0"])
    erase(market, "u1", until=until)
    market.execute_query("MERGE (:User {id: 'u1'})")
    publish(market, open_artifact(folder), keep=3)
    wait_until(lambda: fetch(api_client, "u1")["release_id"] == "rel_second")
    assert fetch(api_client, "u1", k=1)["source"] == source
    assert shown(api_client, "u2", k=1) == ["p8"]


def test_a_user_of_whose_slate_nothing_is_left_gets_popular_products(
    api_client: httpx2.Client, market: neo4j.Driver
) -> None:
    assert fetch(api_client, "team/u4", k=1)["products"][0]["product_id"] == "p5"
    buy(market, "team/u4", "p5")
    assert fetch(api_client, "team/u4", k=1)["source"] == "popular"


def test_never_more_than_there_are(api_client: httpx2.Client, market: neo4j.Driver) -> None:
    products = shown(api_client, "u1", k=100)
    assert len(products) == len(set(products)) == 7
    for k in (0, 101, "x"):
        answer = api_client.get("/v1/users/u1/recommendations", params={"k": k})
        assert (answer.status_code, answer.json()["field"]) == (422, "k")


def test_before_the_first_release_the_most_bought_are_shown(
    api_client: httpx2.Client, neo4j_driver: neo4j.Driver, market: neo4j.Driver
) -> None:
    market.execute_query("MATCH (:ActivePointer)-[a:ACTIVE]->() DELETE a")
    wait_until(lambda: fetch(api_client, "u1")["release_id"] is None)
    found = fetch(api_client, "nobody", k=2)
    assert (found["source"], [p["product_id"] for p in found["products"]]) == ("popular", ["p0", "p2"])


def test_a_flip_is_followed_and_one_without_its_artifact_is_not_served(
    api_client: httpx2.Client, market: neo4j.Driver, stack_settings: Settings
) -> None:
    activate(market, "rel_lost")
    folder = stack_settings.artifacts_path / "rel_second"
    write_artifact(folder, {"u1": ["p7"]}, products=PRODUCTS, popular=["p0"])
    for _ in range(20):
        assert fetch(api_client, "u1")["release_id"] == RELEASE
    publish(market, open_artifact(folder), keep=3)
    wait_until(lambda: fetch(api_client, "u1")["release_id"] == "rel_second", timeout_s=2)
    assert shown(api_client, "u1", k=1) == ["p7"]


def test_releases_and_their_slates_are_listed(
    api_client: httpx2.Client, market: neo4j.Driver, stack_settings: Settings
) -> None:
    engine = create_engine(sync_url(stack_settings.ledger_url))
    with Session(engine) as session, session.begin():
        for number, release_id in enumerate((RELEASE, "rel_collected")):
            session.add(
                ReleaseRecord(
                    id=release_id,
                    training_id=f"t{number}",
                    model="cosine-gcn",
                    metrics={"auc": 0.9},
                    counts={"users": 4},
                    snapshot_sha256="",
                    created_at=datetime(2026, 1, 1 + number, tzinfo=UTC),
                )
            )
    engine.dispose()
    listed = api_client.get("/v1/releases").json()
    assert listed["active"] == RELEASE
    assert [(r["id"], r["active"]) for r in listed["releases"]] == [("rel_collected", False), (RELEASE, True)]
    one = api_client.get(f"/v1/releases/{RELEASE}").json()
    assert (one["metrics"], one["counts"], one["published_at"]) == ({"auc": 0.9}, {"users": 4}, None)
    slates = api_client.get(f"/v1/releases/{RELEASE}/slates")
    assert slates.headers["content-type"].startswith("application/x-ndjson")
    lines = [httpx2.Response(200, content=line).json() for line in slates.text.splitlines()]
    assert [line["user_id"] for line in lines] == ["u1", "team/u4", "gone", "u2"]
    assert lines[0]["products"][0] == {"product_id": "p1", "score": 10.0}
    assert lines[3]["products"] == []
    for unknown in ("/v1/releases/none", "/v1/releases/none/slates", "/v1/releases/rel_collected/slates"):
        assert api_client.get(unknown).status_code == 404
