"""What holds of attribution on any rows, and that it equals the slow way on all of them."""

import dataclasses
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsec.influence.attribution import NOBODY, Model, attribute, purchase_credits
from lsec.influence.markov import removal_effects
from lsec.influence.paths import IN_STREAM, Window, path_rows, sorted_rows, touch_paths
from lsec.influence.rows import Purchases, Touches
from tests.unit.influence.attribution_oracle import HALF_LIFE, expected_credits
from tests.unit.influence.touch_rows import in_order, path_of, some_purchases, some_touches, some_windows

TABLES = ("net_purchases", "refunded_purchases", "net_amount", "refunded_amount")


@given(some_purchases, some_touches, some_windows)
def test_the_credits_of_a_purchase_sum_to_one(bought: Purchases, touched: Touches, window: Window) -> None:
    found = purchase_credits(bought, touched, window=window)
    assert (found.credit >= 0).all()
    for m in range(len(Model)):
        sums = np.bincount(found.purchase, weights=found.credit[:, m], minlength=len(bought))
        assert sums == pytest.approx(np.ones(len(bought)), abs=1e-9)


@given(some_purchases, some_touches, some_windows)
def test_credits_equal_the_slow_way(bought: Purchases, touched: Touches, window: Window) -> None:
    effects = removal_effects(bought, touched, window=window)
    by_streamer = dict(zip(effects.streamer.tolist(), effects.effect.tolist(), strict=True))
    found = purchase_credits(bought, touched, window=window, half_life=HALF_LIFE)
    for row in range(len(bought)):
        expected = expected_credits(bought, touched, row, window, by_streamer)
        mine = found.purchase == row
        for m, model in enumerate(Model):
            credit = dict(zip(found.streamer[mine].tolist(), found.credit[mine, m].tolist(), strict=True))
            assert credit == pytest.approx(expected[model], abs=1e-9), model


@given(some_purchases, some_touches, some_windows)
def test_the_table_adds_the_credits_up(bought: Purchases, touched: Touches, window: Window) -> None:
    table = attribute(bought, touched, window=window)
    credits = purchase_credits(bought, touched, window=window)
    refunded, amount = bought.is_refunded[credits.purchase], bought.amount[credits.purchase]
    assert table.streamer.tolist() == sorted({NOBODY, *credits.streamer.tolist()})
    row = np.searchsorted(table.streamer, credits.streamer)
    for name in TABLES:
        counted = refunded if name.startswith("refunded") else ~refunded
        factor = amount if name.endswith("amount") else 1
        expected = np.zeros((len(table.streamer), len(Model)))
        np.add.at(expected, row, credits.credit * (counted * factor)[:, None])
        assert getattr(table, name) == pytest.approx(expected, abs=1e-6)
        assert (getattr(table, name) >= 0).all()


@given(some_purchases, some_touches, some_windows)
def test_totals_are_all_purchases(bought: Purchases, touched: Touches, window: Window) -> None:
    table = attribute(bought, touched, window=window)
    refunded = bought.is_refunded
    assert table.net_purchases.sum(axis=0) == pytest.approx((~refunded).sum(), abs=1e-9)
    assert table.gross_purchases.sum(axis=0) == pytest.approx(len(bought), abs=1e-9)
    assert table.refunded_amount.sum(axis=0) == pytest.approx(bought.amount[refunded].sum(), abs=1e-6)
    assert table.gross_amount.sum(axis=0) == pytest.approx(bought.amount.sum(), abs=1e-6)


@given(some_purchases, some_touches, some_windows, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(
    bought: Purchases, touched: Touches, window: Window, random: Any
) -> None:
    orders = [random.sample(range(len(rows)), len(rows)) for rows in (bought, touched)]
    mixed = [
        in_order(rows, np.array(order, int)) for rows, order in zip((bought, touched), orders, strict=True)
    ]
    one, other = attribute(bought, touched, window=window), attribute(*mixed, window=window)
    assert one.streamer.tolist() == other.streamer.tolist()
    for name in TABLES:
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


@given(some_purchases.filter(len), some_touches, some_windows, st.data())
def test_a_refund_takes_back_exactly_its_credit(
    bought: Purchases, touched: Touches, window: Window, data: st.DataObject
) -> None:
    row = data.draw(st.integers(0, len(bought) - 1))
    is_refunded = bought.is_refunded.copy()
    is_refunded[row] = False
    before = attribute(dataclasses.replace(bought, is_refunded=is_refunded), touched, window=window)
    is_refunded[row] = True
    refunding = dataclasses.replace(bought, is_refunded=is_refunded)
    after = attribute(refunding, touched, window=window)
    credits = purchase_credits(refunding, touched, window=window)
    its_own = np.zeros_like(before.net_purchases)
    mine = credits.purchase == row
    its_own[np.searchsorted(before.streamer, credits.streamer[mine])] = credits.credit[mine]
    assert before.net_purchases - after.net_purchases == pytest.approx(its_own, abs=1e-9)
    assert after.gross_purchases == pytest.approx(before.gross_purchases, abs=1e-9)
    assert after.gross_amount == pytest.approx(before.gross_amount, abs=1e-6)
    assert after.refunded_amount - before.refunded_amount == pytest.approx(
        its_own * bought.amount[row], abs=1e-6
    )


@given(some_purchases, some_touches)
def test_a_longer_window_only_adds_earlier_touches(bought: Purchases, touched: Touches) -> None:
    windows: list[Window] = [timedelta(hours=h) for h in (1, 3, 24, 168, 10**6)]
    found = [
        purchase_credits(bought, touched, window=window, models=[Model.LAST_TOUCH]) for window in windows
    ]
    for short, long in pairwise(found):
        of_nobody = set(short.purchase[short.streamer == NOBODY].tolist())
        assert of_nobody >= set(long.purchase[long.streamer == NOBODY].tolist())
        last = dict(
            zip(
                *(column[long.credit[:, 0] == 1].tolist() for column in (long.purchase, long.streamer)),
                strict=True,
            )
        )
        for purchase, streamer, credit in zip(
            short.purchase, short.streamer, short.credit[:, 0], strict=True
        ):
            if credit == 1 and streamer != NOBODY:
                assert last[int(purchase)] == streamer


@given(some_purchases, some_touches)
def test_touches_in_the_stream_are_among_all_touches(bought: Purchases, touched: Touches) -> None:
    of_stream = purchase_credits(bought, touched, window=IN_STREAM, models=[Model.LINEAR])
    of_all = purchase_credits(bought, touched, window=timedelta(days=999), models=[Model.LINEAR])
    pairs = set(zip(of_all.purchase.tolist(), of_all.streamer.tolist(), strict=True))
    touched_pairs = zip(of_stream.purchase.tolist(), of_stream.streamer.tolist(), strict=True)
    assert pairs >= {pair for pair in touched_pairs if pair[1] != NOBODY}


@given(some_purchases, some_touches, some_windows, st.integers(1, 12))
def test_paths_laid_out_in_pieces_are_all_paths(
    bought: Purchases, touched: Touches, window: Window, at_once: int
) -> None:
    paths = touch_paths(bought, touched, window=window)
    found: dict[int, list[tuple[int, int]]] = {}
    for rows in path_rows(paths, at_once=at_once):
        assert len(rows.row) <= at_once or len(rows.path) == 1
        assert rows.position[rows.first].tolist() == [0] * len(rows.path)
        for purchase, t in zip(paths.purchase[rows.path][rows.row], rows.touch, strict=True):
            found.setdefault(int(purchase), []).append((int(paths.at[t]), int(paths.streamer[t])))
    for row in range(len(bought)):
        path = path_of(bought, touched, row, window)
        expected = [(int(touched.at[t]), int(touched.streamer[t])) for t in path]
        assert found.get(row, []) == expected


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-(2**62), 2**62), st.integers(-2, 2)), max_size=30),
    st.sampled_from([2**62, 5]),
)
def test_rows_are_sorted_by_columns_of_any_size(rows: list[tuple[int, int, int]], modulus: int) -> None:
    columns = np.array(rows, np.int64).reshape(-1, 3).T.copy()
    columns[1] %= modulus
    order = sorted_rows(*columns)
    assert columns[:, order].T.tolist() == sorted(columns.T.tolist())
    assert sorted(order.tolist()) == list(range(len(rows)))
