"""The chain of sources, and what is never in an answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsec.core.fold_in import FoldIn
from lsec.serving.answer import Ranking, answer
from lsec.serving.folding import folded_in, of_slate
from lsec.serving.shelf import Shelf
from lsec.serving.shopper import Shopper
from lsec.serving.tags import Rows
from lsec.serving.wish import Pick, Wish
from tests.unit.serving.market import artifact, product, shelf

PRODUCTS = [f"p{number}" for number in range(12)]
RELEASED = artifact(
    PRODUCTS,
    bought={"u1": [0, 1], "u2": [0, 2, 3], "u3": [0, 3], "u4": [11]},
    slates={"u1": [4, 5, 6, 7], "u2": [8]},
)
STATES = [
    product(
        product_id,
        categories=["even" if number % 2 == 0 else "odd"],
        sellers=["s1"] if number < 6 else ["s2"],
    )
    for number, product_id in enumerate(PRODUCTS)
]
SHELF = shelf(RELEASED, STATES)


def asked(
    user_id: str,
    shelf: Shelf = SHELF,
    *,
    shopper: Shopper | None = None,
    is_folded: bool = False,
    **wish: Any,
) -> list[Pick]:
    row = shelf.user_row(user_id)
    assert shelf.artifact is not None
    bought: Rows = np.empty(0, np.int64) if row is None else shelf.artifact.bought(row)
    if shopper is not None:
        bought = shelf.catalog.rows(shopper.bought)
    ranking: Ranking | None = of_slate(user_id, shelf)
    if is_folded and shopper is not None:
        ranking = folded_in(shopper, shelf, FoldIn.of(shelf.artifact))
    return answer(
        Wish(**wish),
        shelf,
        ranking=ranking,
        shopper=shopper,
        popular=shelf.artifact.popular,
        bought=bought,
    )


def rows_of(*product_ids: str, shelf: Shelf = SHELF) -> Rows:
    return shelf.catalog.rows(product_ids)


def ids(picks: Sequence[Pick]) -> list[str]:
    return [pick["product_id"] for pick in picks]


def test_the_slate_comes_first_then_what_is_popular() -> None:
    picks = asked("u1", k=7)
    assert ids(picks) == ["p4", "p5", "p6", "p7", "p3", "p2", "p11"]
    assert [pick["source"] for pick in picks] == ["slate"] * 4 + ["popular"] * 3
    assert [pick["score"] for pick in picks[:5]] == [10, 9, 8, 7, 0]


def test_an_unknown_user_gets_what_is_popular() -> None:
    assert ids(asked("nobody", k=3)) == ["p0", "p3", "p1"]


def test_what_is_not_on_offer_is_passed_over() -> None:
    states = [replace(state, in_stock=state.product_id != "p4") for state in STATES]
    states = [replace(state, is_hidden=state.product_id == "p5") for state in states]
    assert ids(asked("u1", shelf(RELEASED, states), k=2)) == ["p6", "p7"]
    assert ids(asked("u1", shelf(RELEASED, states), k=2, in_stock=False)) == ["p4", "p6"]


def test_the_live_state_goes_before_what_the_release_knew() -> None:
    shopper = Shopper(bought=["p4"], dismissed=frozenset({"p5"}), has_slate=True)
    assert ids(asked("u1", shopper=shopper, k=2)) == ["p6", "p7"]
    # p0 and p1 were given back.
    assert "p0" in ids(asked("u1", shopper=shopper, k=12))
    assert "p4" not in ids(asked("u1", shopper=shopper, k=12))


def test_bought_goods_come_back_when_asked_for() -> None:
    assert {"p0", "p1"} <= set(ids(asked("u1", k=12, include_bought=True)))


def test_followed_streamers_then_the_users_categories_fill_up() -> None:
    shopper = Shopper(bought=["p9"], followed=["s2"], watched={"s1": 30})
    picks = asked("new", shopper=shopper, k=12)
    assert picks[0]["source"] == "followed"
    followed = [pick["product_id"] for pick in picks if pick["source"] == "followed"]
    assert followed == ["p0", "p3", "p1", "p2", "p11", "p4", "p5", "p6", "p7", "p8", "p10"]
    shopper = Shopper(viewed={"p9": 1})
    picks = asked("new", shopper=shopper, k=7)
    assert ids(picks) == ["p3", "p1", "p11", "p5", "p7", "p9", "p0"]
    assert [pick["source"] for pick in picks] == ["popular_in_category"] * 6 + ["popular"]


@pytest.mark.parametrize("user_id", ["u1", "new"])
def test_narrow_wishes_are_met_by_these_products_alone(user_id: str) -> None:
    assert set(
        ids(asked(user_id, k=12, only=rows_of("p9", "p4", "p1", "gone"), exclude=frozenset({"p9"})))
    ) <= {
        "p4",
        "p1",
    }
    assert set(ids(asked(user_id, k=12, category="odd", streamer_id="s2"))) == {"p7", "p9", "p11"}
    assert ids(asked(user_id, k=12, category="nothing")) == []
    assert ids(asked(user_id, k=12, only=rows_of("p1"), category="even")) == []


def test_a_narrow_wish_is_ranked_by_the_users_vector() -> None:
    picks = asked("u1", k=12, streamer_id="s2")
    row = RELEASED.user_row("u1")
    assert row is not None
    scores = RELEASED.scores(row, ids(picks))
    assert [pick["score"] for pick in picks] == pytest.approx([scores[each] for each in ids(picks)], abs=1e-3)
    assert [pick["score"] for pick in picks] == sorted((pick["score"] for pick in picks), reverse=True)


def test_what_was_shown_again_and_again_without_a_click_sinks() -> None:
    shopper = Shopper(bought=["p0", "p1"], impressed={"p4": 2, "p5": 9}, has_slate=True)
    assert ids(asked("u1", shopper=shopper, k=4)) == ["p4", "p6", "p7", "p5"]


def test_diversity_takes_turns_between_categories_and_streamers() -> None:
    assert ids(asked("u1", k=2)) == ["p4", "p5"]
    # p4 is even and of s1; p7 is odd and of s2.
    assert ids(asked("u1", k=2, diversity=0.9)) == ["p4", "p7"]
    assert sorted(ids(asked("u1", k=12, diversity=1.0))) == sorted(ids(asked("u1", k=12)))


def test_a_user_with_new_purchases_is_folded_in() -> None:
    shopper = Shopper(bought=["p11", "p2"], followed=["s1"])
    picks = asked("brand new", shopper=shopper, is_folded=True, k=12)
    assert {pick["source"] for pick in picks} == {"folded_in"}
    assert set(ids(picks)) == set(PRODUCTS) - {"p11", "p2"}


def test_a_product_newer_than_the_release_is_ranked_with_what_its_sellers_sell() -> None:
    fresh = shelf(RELEASED, [*STATES, product("fresh", sellers=["s2"]), product("gone", in_stock=False)])
    shopper = Shopper(bought=["p11"])
    picks = asked("new", fresh, shopper=shopper, is_folded=True, k=14)
    assert "fresh" in ids(picks)
    assert "gone" not in ids(picks)
    of_seller = {
        pick["product_id"]: pick["score"]
        for pick in asked(
            "new",
            fresh,
            shopper=shopper,
            is_folded=True,
            k=14,
            only=rows_of("p6", "p7", "p8", "p9", "p10", "p11", "fresh", shelf=fresh),
            include_bought=True,
        )
    }
    score = of_seller.pop("fresh")
    assert score == pytest.approx(np.mean(list(of_seller.values())), abs=1e-3)


def test_who_touched_nothing_that_the_release_knows_has_no_ranking() -> None:
    assert folded_in(Shopper(followed=["s9"], viewed={"p99": 1}), SHELF, FoldIn.of(RELEASED)) is None


rows = st.sets(st.integers(0, 11), max_size=11)


@given(
    user_id=st.sampled_from(["u1", "u2", "u4", "nobody"]),
    bought=rows,
    dismissed=rows,
    exclude=rows,
    only=st.none() | rows,
    category=st.sampled_from(["", "even", "odd"]),
    diversity=st.sampled_from([0.0, 0.5, 1.0]),
    is_folded=st.booleans(),
    k=st.integers(1, 12),
)
def test_nothing_unwanted_is_ever_shown_and_no_product_is_missed(
    user_id: str,
    bought: set[int],
    dismissed: set[int],
    exclude: set[int],
    only: set[int] | None,
    category: str,
    diversity: float,
    is_folded: bool,
    k: int,
) -> None:
    shopper = Shopper(
        bought=[PRODUCTS[row] for row in sorted(bought)],
        dismissed=frozenset(PRODUCTS[row] for row in dismissed),
        has_slate=True,
    )
    shown = ids(
        asked(
            user_id,
            shopper=shopper,
            is_folded=is_folded,
            k=k,
            exclude=frozenset(PRODUCTS[row] for row in exclude),
            only=None if only is None else np.array(sorted(only), np.int64),
            category=category,
            diversity=diversity,
        )
    )
    may = {
        PRODUCTS[row]
        for row in range(12)
        if row not in bought | dismissed | exclude
        and (only is None or row in only)
        and (not category or (row % 2 == 0) == (category == "even"))
    }
    assert len(shown) == len(set(shown)) == min(k, len(may))
    assert set(shown) <= may
