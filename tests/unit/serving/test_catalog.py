"""The catalog knows what is on offer now, in the order of any release."""

import numpy as np

from lsec.serving.catalog import Catalog
from tests.unit.serving.market import NOW_MS, index, product


def offered(catalog: Catalog, *, in_stock: bool = True) -> set[str]:
    rows = np.arange(len(catalog))
    return set(catalog.product_ids(rows[catalog.is_offered(rows, in_stock=in_stock)]))


def test_all_of_a_release_is_on_offer_until_the_graph_was_read() -> None:
    catalog = Catalog(index(["p1", "p2"]))
    assert offered(catalog) == {"p1", "p2"}
    catalog.fill([product("p2")], now_ms=NOW_MS)
    assert offered(catalog) == {"p2"}


def test_hidden_absent_and_expired_products_are_not_on_offer_and_others_out_of_stock_only_on_demand() -> None:
    catalog = Catalog(index(["p1", "p2", "p3", "p4", "p5"]))
    states = [
        product("p1", is_hidden=True),
        product("p2", in_stock=False),
        product("p3", expires_ms=NOW_MS + 5),
        product("p5", expires_ms=NOW_MS),
        product("new"),
    ]
    catalog.fill(states, now_ms=NOW_MS)
    assert offered(catalog) == {"p3", "new"}
    assert offered(catalog, in_stock=False) == {"p2", "p3", "new"}
    catalog.expire(NOW_MS + 5)
    assert offered(catalog) == {"new"}
    catalog.put([product("p3"), product("p1"), product("newer")], now_ms=NOW_MS)
    assert offered(catalog) == {"p1", "p3", "new", "newer"}
    catalog.drop(["p1", "never seen"])
    assert offered(catalog) == {"p3", "new", "newer"}


def test_another_release_has_the_same_products_in_its_own_order() -> None:
    catalog = Catalog(index(["p1", "p2", "p3"]))
    catalog.fill(
        [
            product("p1", categories=["toys"]),
            product("p2", in_stock=False, sellers=["s1"]),
            product("new", categories=["toys", "food"], sellers=["s2"]),
            product("newer", expires_ms=NOW_MS + 1),
        ],
        now_ms=NOW_MS,
    )
    other = catalog.aligned(index(["new", "p2", "unknown", "p1"]))
    assert [other.product_id(row) for row in range(len(other))] == ["new", "p2", "unknown", "p1", "newer"]
    assert offered(other) == {"new", "p1", "newer"}
    assert offered(other, in_stock=False) == {"new", "p1", "p2", "newer"}
    assert other.categories.rows_with(["toys"]).tolist() == [0, 3]
    assert other.sellers.rows_with(["s1", "s2"]).tolist() == [0, 1]
    other.expire(NOW_MS + 1)
    assert offered(other) == {"new", "p1"}
    assert other.new_rows().tolist() == [4]


def test_many_new_products_find_room() -> None:
    catalog = Catalog()
    catalog.fill([], now_ms=NOW_MS)
    catalog.put([product(f"p{number}") for number in range(5_000)], now_ms=NOW_MS)
    assert len(offered(catalog)) == catalog.num_in_graph == 5_000
    assert catalog.row("p4999") == 4999
