"""What users are shown: the slate, what they have done since, what is popular, and the reasons."""

from datetime import UTC, date, datetime

import httpx2
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from lsec.core.artifact import open_artifact
from lsec.core.ledger import ReleaseRecord, Scope, sync_url
from lsec.core.settings import Settings
from tests.integration.api_server import run_api, wait_until
from tests.integration.conftest import bearer
from tests.integration.served_market import PRODUCTS, RELEASE, Market, fetch, shown
from tests.integration.small_release import activate, write_artifact
from workers.publish import publish


def test_the_slate_comes_first_then_popular_products_marked_as_such(
    live_api: httpx2.Client, live_market: Market
) -> None:
    found = fetch(live_api, "u1", k=6)
    assert (found["user_id"], found["release_id"], found["source"]) == ("u1", RELEASE, "slate")
    assert found["products"] == [
        {"product_id": "p1", "score": 10.0, "source": "slate"},
        {"product_id": "p2", "score": 9.0, "source": "slate"},
        {"product_id": "p3", "score": 8.0, "source": "slate"},
        {"product_id": "p4", "score": 7.0, "source": "slate"},
        {"product_id": "p9", "score": 0.0, "source": "popular"},
        {"product_id": "p8", "score": 0.0, "source": "popular"},
    ]


def test_the_reasons_are_followed_streamers_then_users_alike_then_taste(
    live_api: httpx2.Client, live_market: Market
) -> None:
    reasons = [product["reason"] for product in fetch(live_api, "u1", k=5, explain=True)["products"]]
    assert [reason["kind"] for reason in reasons] == [
        "followed_streamers",
        "users_alike",
        "taste",
        "taste",
        "popular",
    ]
    assert (reasons[0]["text"], reasons[0]["streamers"]) == ("Sold by Ann, whom you follow", ["s1"])
    assert [node["label"] for node in reasons[1]["path"]["nodes"]] == ["User", "Product", "User", "Product"]
    assert reasons[1]["num_users"] == 1


def test_bought_goods_come_back_by_score_when_asked_for(live_api: httpx2.Client, live_market: Market) -> None:
    # p0 scores 1 / 0.1 − 0: as much as the best of the slate.
    assert set(shown(live_api, "u1", k=3, include_bought=True)) == {"p0", "p1", "p2"}
    assert "p0" not in shown(live_api, "u1", k=10)


@pytest.mark.parametrize("user_id", ["nobody", "gone"])
def test_who_is_unknown_to_the_graph_is_shown_what_is_popular(
    live_api: httpx2.Client, live_market: Market, user_id: str
) -> None:
    # While the graph takes longer to tell than a request waits, the slate stands in, and a header says so.
    url = f"/v1/users/{user_id}/recommendations"
    wait_until(lambda: "X-LSEC-Degraded" not in live_api.get(url).headers, timeout_s=5)
    found = fetch(live_api, user_id, k=2)
    assert (found["source"], found["release_id"]) == ("popular", RELEASE)
    assert [product["product_id"] for product in found["products"]] == ["p0", "p9"]


@pytest.mark.parametrize("user_id", ["u2", "u3"])
def test_who_has_purchases_but_no_slate_is_folded_in(
    live_api: httpx2.Client, live_market: Market, user_id: str
) -> None:
    wait_until(lambda: fetch(live_api, user_id)["source"] == "folded_in", timeout_s=5)
    bought = {"u2": {"p0", "p2"}, "u3": {"p0"}}[user_id]
    assert shown(live_api, user_id, k=3) == [each for each in PRODUCTS if each not in bought][:3]


@pytest.mark.parametrize("include_bought", [False, True])
def test_an_erased_user_who_comes_back_is_not_served_what_was_learnt_before(
    live_api: httpx2.Client, live_market: Market, include_bought: bool
) -> None:
    live_market.erase("u1", until=datetime.now(UTC).date())
    wait_until(lambda: fetch(live_api, "u1")["source"] == "popular", timeout_s=5)
    live_market.change("CREATE (:User {id: 'u1', index: 50})", ("user", "u1"))
    live_market.buy("u1", "p9")
    wait_until(lambda: fetch(live_api, "u1")["source"] == "folded_in", timeout_s=5)
    products = shown(live_api, "u1", k=10, include_bought=include_bought)
    assert ("p9" in products) == include_bought
    # Of the erased purchase nothing is known.
    assert "p0" in products


def test_who_was_erased_before_this_process_began_is_not_served_the_old_slate(
    live_market: Market, stack_settings: Settings, keys: dict[Scope, str]
) -> None:
    live_market.erase("u1", until=datetime.now(UTC).date())
    with (
        run_api(stack_settings) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.ADMIN]), timeout=30) as client,
    ):
        wait_until(lambda: fetch(client, "team/u4")["source"] == "slate")
        wait_until(lambda: fetch(client, "u1")["source"] == "popular")
        for _ in range(20):
            assert fetch(client, "u1")["source"] == "popular"


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
    live_api: httpx2.Client, live_market: Market, stack_settings: Settings, until: date, source: str
) -> None:
    folder = stack_settings.artifacts_path / "rel_second"
    write_artifact(folder, {"u1": ["p7"], "team/u4": ["p8"]}, products=PRODUCTS, popular=["p0"])
    live_market.erase("u1", until=until)
    live_market.change("MERGE (u:User {id: 'u1'}) SET u.index = coalesce(u.index, 50)", ("user", "u1"))
    publish(live_market.driver, open_artifact(folder))
    wait_until(lambda: fetch(live_api, "team/u4")["release_id"] == "rel_second")
    wait_until(lambda: fetch(live_api, "u1", k=1)["source"] == source, timeout_s=5)
    assert shown(live_api, "team/u4", k=1) == ["p8"]


def test_never_more_than_there_are(live_api: httpx2.Client, live_market: Market) -> None:
    products = shown(live_api, "u1", k=100)
    assert len(products) == len(set(products)) == 7
    for name, value in {"k": (0, 101, 10**6, "x"), "diversity": (-1, 2, "nan")}.items():
        for each in value:
            answer = live_api.get("/v1/users/u1/recommendations", params={name: each})
            assert (answer.status_code, answer.json()["field"]) == (422, name)


def test_before_the_first_release_the_most_bought_are_shown(
    live_api: httpx2.Client, live_market: Market
) -> None:
    live_market.driver.execute_query("MATCH (:ActivePointer)-[a:ACTIVE]->() DELETE a")
    wait_until(lambda: fetch(live_api, "u1")["release_id"] is None)
    found = fetch(live_api, "nobody", k=2)
    assert (found["source"], [p["product_id"] for p in found["products"]]) == ("popular", ["p0", "p2"])
    wait_until(lambda: shown(live_api, "u1", k=1) == ["p1"], timeout_s=5)
    assert fetch(live_api, "u1", k=1)["source"] == "followed"


def test_a_flip_is_followed_and_one_without_its_artifact_is_not_served(
    live_api: httpx2.Client, live_market: Market, stack_settings: Settings
) -> None:
    activate(live_market.driver, "rel_lost")
    folder = stack_settings.artifacts_path / "rel_second"
    slates = {"u1": ["p7"]}
    write_artifact(folder, slates, products=PRODUCTS[::-1], popular=["p0"], bought={"u1": ["p0"]})
    for _ in range(20):
        assert fetch(live_api, "u1")["release_id"] == RELEASE
    publish(live_market.driver, open_artifact(folder))
    wait_until(lambda: fetch(live_api, "u1")["release_id"] == "rel_second", timeout_s=2)
    assert shown(live_api, "u1", k=1) == ["p7"]


def test_releases_and_their_slates_are_listed(
    live_api: httpx2.Client, live_market: Market, stack_settings: Settings
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
    listed = live_api.get("/v1/releases").json()
    assert listed["active"] == RELEASE
    assert [(r["id"], r["active"]) for r in listed["releases"]] == [("rel_collected", False), (RELEASE, True)]
    one = live_api.get(f"/v1/releases/{RELEASE}").json()
    assert (one["metrics"], one["counts"], one["published_at"]) == ({"auc": 0.9}, {"users": 4}, None)
    slates = live_api.get(f"/v1/releases/{RELEASE}/slates")
    assert slates.headers["content-type"].startswith("application/x-ndjson")
    lines = [httpx2.Response(200, content=line).json() for line in slates.text.splitlines()]
    assert [line["user_id"] for line in lines] == ["u1", "team/u4", "gone", "u2"]
    assert lines[0]["products"][0] == {"product_id": "p1", "score": 10.0}
    assert lines[3]["products"] == []
    for unknown in ("/v1/releases/none", "/v1/releases/none/slates", "/v1/releases/rel_collected/slates"):
        assert live_api.get(unknown).status_code == 404
