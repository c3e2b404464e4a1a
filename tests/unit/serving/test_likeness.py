"""The nearest, the audience and the streamers are those of brute force, and nobody else."""

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lsec.core.artifact import Artifact
from lsec.serving.catalog import Catalog
from lsec.serving.folding import of_slate
from lsec.serving.likeness import best_places, cosines, nearest
from lsec.serving.product_audience import appeal_of, ranked_users
from lsec.serving.shelf import Shelf
from lsec.serving.whom_to_follow import knows_streamers, liked_streamers, sellers_of_ranking
from tests.unit.serving.market import NOW_MS, artifact, product

PRODUCTS = [f"p{number}" for number in range(30)]
BOUGHT = {f"u{number}": [number % 30, (number + 3) % 30] for number in range(50)}
SLATES = {user: [(rows[0] + 1) % 30, (rows[0] + 2) % 30] for user, rows in BOUGHT.items() if user != "u7"}


def release(**changes: Any) -> Artifact:
    made = artifact(PRODUCTS, bought=BOUGHT, slates=SLATES, streamers=["s0", "s1", "s2"])
    return dataclasses.replace(made, **changes)


def shelf(made: Artifact) -> Shelf:
    catalog = Catalog(made.products)
    states = [product(id_, sellers=[f"s{row % 3}"]) for row, id_ in enumerate(PRODUCTS)]
    catalog.fill([*states, product("new", sellers=["s1"]), product("alone")], now_ms=NOW_MS)
    return Shelf(made, catalog)


@given(
    scores=arrays(np.float32, st.integers(0, 20), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0])),
    k=st.integers(0, 25),
)
def test_the_best_places_are_the_first_of_a_stable_sort(scores: Any, k: int) -> None:
    assert best_places(scores, k).tolist() == np.argsort(-scores, kind="stable")[:k].tolist()


@given(row=st.integers(0, 29), rows=st.sets(st.integers(0, 31)), k=st.integers(1, 40))
def test_the_nearest_are_those_of_brute_force(row: int, rows: set[int], k: int) -> None:
    made = release()
    vectors = made.product_vectors.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    known = sorted(other for other in rows if other < 30)
    true = sorted(known, key=lambda other: -(vectors[other] @ vectors[row]))[:k]
    found, found_cosines = nearest(shelf(made), row, np.array(sorted(rows), np.int64), k=k)
    assert found.tolist() == true
    assert found_cosines == pytest.approx([vectors[other] @ vectors[row] for other in true], abs=1e-3)


def test_a_vector_of_zeros_is_like_nothing() -> None:
    vectors = np.array([[0, 0], [3, 4], [-3, -4]], np.float16)
    assert cosines(vectors, np.array([3, 4], np.float32)).tolist() == pytest.approx([0, 1, -1])
    assert cosines(vectors, np.zeros(2, np.float32)).tolist() == [0, 0, 0]


def test_an_audience_is_everybody_by_score_but_buyers_the_unknown_the_hidden_and_the_erased() -> None:
    made = release()
    ids = made.users.ids.copy()
    ids[4] = b""
    made = dataclasses.replace(made, users=dataclasses.replace(made.users, ids=ids))
    appeal = appeal_of(shelf(made), 5)
    assert appeal is not None
    assert appeal.source == "release"
    rows, scores = ranked_users(made, appeal, k=100, bought_row=5, hidden={"u11", "somebody"})
    brute = made.user_vectors.astype(np.float64) @ made.product_vectors[5].astype(np.float64)
    buyers = {row for row, (first, second) in enumerate(BOUGHT.values()) if 5 in (first, second)}
    may = [row for row in range(50) if row not in buyers | {4, 7, 11}]
    assert rows.tolist() == sorted(may, key=lambda row: -brute[row])
    assert np.all(np.diff(scores) <= 0)
    assert ranked_users(made, appeal, k=3, bought_row=None, hidden=())[0].tolist() != []


def test_a_new_product_appeals_as_what_its_sellers_sell() -> None:
    made = release()
    on_shelf = shelf(made)
    appeal = appeal_of(on_shelf, 30)
    assert appeal is not None
    assert appeal.source == "sellers_products"
    assert appeal.vector == pytest.approx(
        made.product_vectors[1::3].astype(np.float64).mean(axis=0), abs=1e-6
    )
    assert appeal_of(on_shelf, 31) is None
    assert appeal_of(Shelf(None, on_shelf.catalog), 3) is None


def test_streamers_come_by_their_vectors_if_the_release_was_trained_on_follows() -> None:
    made = release()
    assert not knows_streamers(made)
    counts, how = made.manifest.counts | {"follows": 9}, {"follow_weight": 0.2}
    trained = dataclasses.replace(
        made, manifest=msgspec.structs.replace(made.manifest, counts=counts, hyperparameters=how)
    )
    assert knows_streamers(trained)
    ranking = of_slate("u1", shelf(trained))
    assert ranking is not None
    rows, scores = liked_streamers(trained, ranking, 2)
    brute = made.streamer_vectors.astype(np.float64) @ made.user_vectors[1].astype(np.float64)
    assert rows.tolist() == np.argsort(-brute)[:2].tolist()
    assert scores == pytest.approx(brute[rows] / made.manifest.temperature, rel=1e-3)


def test_who_sells_the_first_of_a_ranking_comes_first() -> None:
    on_shelf = shelf(release())
    # u1 is shown p2, of s2, then p3, of s0.
    ranking = of_slate("u1", on_shelf)
    assert ranking is not None
    assert sellers_of_ranking(on_shelf, ranking, 5) == ["s2", "s0"]
    assert sellers_of_ranking(on_shelf, ranking, 1) == ["s2"]
