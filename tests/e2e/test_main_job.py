"""The main job as its users do it: import, train, publish, evaluate, recommend, ask."""

import itertools
from pathlib import Path
from typing import Any

import httpx2
import neo4j
import pytest

from lsec.core.settings import Settings
from tests.e2e.conftest import BUYS_PER_USER, NUM_PRODUCTS, NUM_USERS, Lsec
from tests.integration.api_server import wait_until
from workers.graph import open_driver


def graph_of(settings: Settings) -> list[tuple[Any, ...]]:
    """Every relationship with its ends and properties, sorted."""
    with open_driver(settings) as driver:
        records, _, _ = driver.execute_query(
            "MATCH (a)-[r:BOUGHT|FOLLOWS|SELLS|WATCHED|VIEWED]->(b) "
            "RETURN a.id, type(r), b.id, properties(r) AS p",
            routing_=neo4j.RoutingControl.READ,
        )
    return sorted((r[0], r[1], r[2], repr(sorted(r[3].items()))) for r in records)


@pytest.fixture(scope="module")
def release_id(lsec: Lsec, full_stack: Settings, paper_layout: Path) -> str:
    """The release of a market that was imported twice and trained over HTTP."""
    lsec.run("import-lsec", str(paper_layout))
    imported = graph_of(full_stack)
    assert len(imported) == NUM_USERS * BUYS_PER_USER + NUM_PRODUCTS
    lsec.run("import-lsec", str(paper_layout))
    assert graph_of(full_stack) == imported
    training = lsec.json("train", "--seed", "1", "--override-gate", "a market too small to judge by")
    assert training["status"] == "succeeded"
    return str(training["release_id"])


def test_the_active_release_is_the_trained_one(lsec: Lsec, release_id: str) -> None:
    assert lsec.json("releases", "list")["active"] == release_id


def test_held_out_purchases_rank_high(lsec: Lsec, release_id: str, paper_layout: Path) -> None:
    lists = str(paper_layout / "test" / "user-item-buy.tsv")
    [result] = lsec.json("evaluate", "--release", release_id, "--lists", lists)["results"]
    assert result["num_lists"] == NUM_USERS
    # Half of the products are of the user's taste: a model that has learnt it puts them first.
    assert result["metrics"]["auc"] > 0.7


def test_a_user_gets_products_that_were_not_bought(lsec: Lsec, full_stack: Settings, release_id: str) -> None:
    answer = lsec.json("recommend", "u5", "-k", "5")
    assert answer["release_id"] == release_id
    assert answer["source"] in ("slate", "folded_in")
    assert len(answer["products"]) == 5
    bought = {row[2] for row in graph_of(full_stack) if row[:2] == ("u5", "BOUGHT")}
    assert not bought & {product["product_id"] for product in answer["products"]}
    assert all(product["reason"]["text"] for product in answer["products"])


def test_an_unknown_user_gets_popular_products(lsec: Lsec, release_id: str) -> None:
    answer = lsec.json("recommend", "nobody")
    assert answer["source"] == "popular"
    assert answer["release_id"] == release_id


def test_a_purchase_leaves_the_next_answer(lsec: Lsec, release_id: str, tmp_path: Path) -> None:
    before = lsec.json("recommend", "u7", "-k", "1")
    first = before["products"][0]["product_id"]
    event = tmp_path / "one.ndjson"
    event.write_text(
        '{"type": "user.bought", "event_id": "late-1", "at": "2026-01-01T00:00:00Z", '
        f'"user_id": "u7", "product_id": "{first}"}}\n'
    )
    lsec.run("ingest", str(event))

    def shown() -> set[str]:
        return {product["product_id"] for product in lsec.json("recommend", "u7", "-k", "5")["products"]}

    wait_until(lambda: first not in shown())


def test_slates_come_line_by_line(lsec: Lsec, release_id: str) -> None:
    lines = lsec.run("releases", "slates", release_id).splitlines()
    assert len(lines) == NUM_USERS


def test_the_three_influence_queries_answer(lsec: Lsec, release_id: str) -> None:
    assert lsec.json("influence", "leaderboard")["rows"] is not None
    [row] = lsec.json("influence", "product-streamers", "p4")["rows"]
    assert row["streamer_id"] == "s0"
    assert lsec.json("influence", "paths", "u0", "p4")["rows"]


def test_progress_is_streamed_to_its_end(lsec: Lsec, full_stack: Settings, release_id: str) -> None:
    key = {"Authorization": f"Bearer {lsec.environment['LSEC_API_KEY']}"}
    base = f"http://127.0.0.1:{full_stack.api_port}"
    with httpx2.Client(base_url=base, headers=key, timeout=120) as client:
        started = client.post("/v1/trainings", json={"seed": 2, "publish": False})
        assert started.status_code == 202
        with client.stream("GET", started.headers["Location"] + "/progress") as answer:
            names = [line for line in answer.iter_lines() if line.startswith("event:")]
        assert names[-1] == "event: done"
        assert [name for name, _ in itertools.groupby(names)] == ["event: progress", "event: done"]
        assert client.get(started.headers["Location"]).json()["status"] == "succeeded"
    # It was not to be published.
    assert lsec.json("releases", "list")["active"] == release_id


def test_a_training_can_be_cancelled(lsec: Lsec, release_id: str) -> None:
    training_id = lsec.json("train", "--no-wait", "--seed", "3")["id"]
    lsec.run("train", "--cancel", training_id)
    assert "cancelled" in lsec.run("train", "--follow", training_id, code=1)
