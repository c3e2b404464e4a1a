"""Products like one: against brute force, by the index and without it."""

import shutil
from dataclasses import replace
from typing import Any

import neo4j
import pytest

from lsec.api.similar import MIN_FETCHED
from lsec.core.settings import Settings
from tests.integration.api_server import wait_until
from tests.integration.vector_market import (
    RELEASE,
    SIZES,
    VectorMarket,
    by_score,
    cosines,
    ids,
)
from tests.integration.vector_release import Sizes, seller_of, write_release
from workers.graph import read_rows
from workers.publish import publish

MANY = Sizes(users=20, products=3000, streamers=300, dimensions=64)


def test_similar_products_are_those_of_the_nearest_vectors(market: VectorMarket) -> None:
    found = market.get("/v1/products/p3/similar", k=20)
    true = cosines(market.artifact, 3)
    assert (found["product_id"], found["release_id"], found["source"]) == ("p3", RELEASE, "similar")
    assert ids(found, "product") == by_score(true)[:20]
    for product in found["products"]:
        assert product["score"] == pytest.approx(true[product["product_id"]], abs=1e-3)


def test_the_filters_leave_the_nearest_of_what_they_let_through(market: VectorMarket) -> None:
    true = by_score(cosines(market.artifact, 3))
    market.change("MATCH (p:Product {id: $id}) SET p.hidden = true", ("product", true[0]), id=true[0])
    market.change("MATCH (p:Product {id: $id}) SET p.in_stock = false", ("product", true[1]), id=true[1])
    wait_until(lambda: ids(market.get("/v1/products/p3/similar", k=2), "product") == true[2:4])

    def similar(**params: Any) -> list[str]:
        return ids(market.get("/v1/products/p3/similar", k=40, **params), "product")

    assert similar(in_stock=False) == true[1:]
    assert similar(category="c1") == [id_ for id_ in true[2:] if int(id_[1:]) % 3 == 1]
    assert similar(streamer_id="s2") == [id_ for id_ in true[2:] if seller_of(int(id_[1:]), SIZES) == "s2"]
    assert similar(exclude=true[2:5]) == true[5:]
    assert similar(category="c1", streamer_id="s2", exclude=true) == []
    assert similar(category="nothing") == similar(streamer_id="nobody") == []
    empty = market.get("/v1/products/p3/similar", category="nothing")
    assert (empty["source"], empty["products"]) == ("none", [])


def test_a_product_newer_than_the_release_is_like_what_its_sellers_sell_then_like_its_categories(
    market: VectorMarket,
) -> None:
    market.change(
        """MATCH (s:Streamer {id: 's2'}), (c:Category {id: 'c0'})
        CREATE (p:Product {id: 'new', index: 40}), (s)-[:SELLS {count: 1}]->(p), (p)-[:IN]->(c)""",
        ("product", "new"),
    )
    wait_until(lambda: market.client.get("/v1/products/new/similar").status_code == 200)
    found = market.get("/v1/products/new/similar", k=40)
    sources = [(int(product["product_id"][1:]), product["source"]) for product in found["products"]]
    sold = [row for row, source in sources if source == "same_seller"]
    assert found["source"] == "same_seller"
    assert sorted(sold) == [row for row in range(40) if row % 5 == 2]
    assert sorted(row for row, source in sources if source == "same_category") == [
        row for row in range(40) if row % 3 == 0 and row % 5 != 2
    ]
    num_buyers = market.artifact.degrees
    assert [int(num_buyers[row]) for row in sold] == sorted(
        (int(num_buyers[row]) for row in sold), reverse=True
    )


def test_the_index_finds_19_of_20_among_thousands_of_vectors_and_those_of_one_release_alone(
    stack_settings: Settings, neo4j_driver: neo4j.Driver, clean_stack: None
) -> None:
    releases = [
        write_release(stack_settings.artifacts_path / f"rel_{seed}", replace(MANY, seed=seed))
        for seed in (0, 1)
    ]
    for artifact in releases:
        publish(neo4j_driver, artifact)
    shutil.rmtree(stack_settings.artifacts_path)
    num_found = 0
    for row in range(0, MANY.products, 100):
        [found] = read_rows(
            neo4j_driver,
            "serving/similar",
            release_id="rel_0",
            product_id=f"p{row}",
            limit=MIN_FETCHED,
        )
        assert len(found["product_ids"]) == MIN_FETCHED
        true = cosines(releases[0], row)
        assert found["scores"][5] == pytest.approx((1 + true[found["product_ids"][5]]) / 2, abs=1e-3)
        nearest = [id_ for id_ in found["product_ids"] if id_ != f"p{row}"][:20]
        num_found += len(set(nearest) & set(by_score(true)[:20]))
    assert num_found >= 0.95 * 20 * MANY.products / 100
