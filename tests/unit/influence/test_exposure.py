"""The columns that lift compares: who is in them, what counts as what, and that nothing is known too late."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from lsec.core.errors import InvalidInput
from lsec.influence.exposure import Exposure, Windows, compared_users, exposure
from lsec.influence.rows import Purchases, Touches
from tests.unit.influence.touch_rows import ENGAGE, FOLLOW, HOUR_MS, VIEW, WATCH, in_order, purchases, touches

DAY = 24
# Known for ten days, then two days of placebo, then two of exposure.
WINDOWS = Windows(0, 10 * DAY * HOUR_MS, 12 * DAY * HOUR_MS, 14 * DAY * HOUR_MS)
SHOP = {"kind": VIEW, "product": 0}
"""An opening outside any stream, which makes a user known."""


def compared(bought: Purchases, touched: Touches, **options: Any) -> Exposure:
    settings = {"product_category": np.array([0, 1, -1]), "num_users": 6, "windows": WINDOWS, **options}
    return exposure(0, bought, touched, **settings)


def column(found: Exposure, name: str) -> list[float]:
    values: list[float] = found.covariates[:, found.names.index(name)].tolist()
    return values


def known(*users: int) -> list[Any]:
    return [(user, -1, DAY, SHOP) for user in users]


def test_exposed_is_who_watches_the_streamer_in_the_window_and_its_end_is_outside() -> None:
    rows = [
        *known(0, 1, 2, 3, 4),
        (0, 0, 12 * DAY),
        (1, 0, 14 * DAY),
        (2, 1, 13 * DAY),
        (3, 0, 13 * DAY, {"kind": VIEW, "product": 0}),
        (4, 0, 13 * DAY, {"kind": FOLLOW}),
    ]
    found = compared(purchases(), touches(*rows))
    assert found.user.tolist() == [0, 1, 2, 3, 4]
    assert found.is_exposed.tolist() == [True, False, False, False, False]


def test_users_who_watched_in_the_placebo_or_the_day_before_it_or_are_unknown_are_left_out() -> None:
    rows = [
        *known(0, 1, 2),
        (0, 0, 9 * DAY),
        (1, 0, 12 * DAY - 1),
        (2, 0, 9 * DAY - 1),
        (3, 0, 13 * DAY),
        (4, 2, -50 * DAY, {"kind": FOLLOW}),
    ]
    found = compared(purchases(), touches(*rows))
    assert found.user.tolist() == [2, 4]
    assert (found.num_watched_before, found.num_unknown) == (2, 2)


def test_all_purchases_count_in_the_window_that_they_are_in_and_not_only_the_streamers() -> None:
    bought = purchases(
        (0, 10 * DAY),
        (0, 12 * DAY - 1, {"streamer": 3}),
        (0, 12 * DAY, {"streamer": 0}),
        (0, 14 * DAY - 1, {"is_refunded": True}),
        (0, 14 * DAY),
        (0, 10 * DAY - 1),
    )
    found = compared(bought, touches(*known(0, 1)))
    assert found.placebo_purchases.tolist() == [2, 0]
    assert found.purchases.tolist() == [2, 0]
    assert column(found, "purchases") == [1, 0]


def test_what_is_known_is_counted_by_kind_and_by_day() -> None:
    rows: list[Any] = [
        (0, -1, 1, SHOP),
        (0, -1, 2, {"kind": VIEW, "product": 1}),
        (0, 0, DAY, {"kind": VIEW, "product": 1}),
        (0, 0, DAY),
        (0, 1, DAY + 1),
        (0, 1, DAY + 2, {"kind": ENGAGE}),
        (0, 0, -DAY, {"kind": FOLLOW}),
        (0, 1, 2 * DAY, {"kind": FOLLOW}),
    ]
    found = compared(purchases((0, 3 * DAY)), touches(*rows, *known(1)))
    assert column(found, "days active") == [4, 1]
    assert column(found, "openings") == [3, 1]
    assert column(found, "openings outside streams") == [2, 1]
    assert column(found, "visits") == [2, 0]
    assert column(found, "visits, log") == pytest.approx([np.log(3), 0])
    assert column(found, "visits to the streamer") == [1, 0]
    assert column(found, "engagements") == [1, 0]
    assert column(found, "follows") == [2, 0]
    assert column(found, "follows the streamer") == [1, 0]


def test_shares_of_openings_sum_to_one_and_the_taste_is_for_what_is_opened_with_the_streamer() -> None:
    rows: list[Any] = [
        *[(0, -1, hour, {"kind": VIEW, "product": 1}) for hour in range(8)],
        *[(1, -1, hour, {"kind": VIEW, "product": 0}) for hour in range(8)],
        *[(2, 0, hour, {"kind": VIEW, "product": 1}) for hour in range(4)],
        (3, -1, 5, {"kind": VIEW, "product": 2}),
    ]
    found = compared(purchases(), touches(*rows))
    likes, dislikes, *_ = column(found, "taste for the streamer")
    assert likes > 3 * dislikes
    shares = [column(found, name) for name in found.names if name.startswith("share of")]
    assert [sum(each) for each in zip(*shares, strict=True)][:2] == pytest.approx([1, 1], abs=0.02)


def test_nothing_after_the_placebo_begins_is_known_and_no_order_matters() -> None:
    rng = np.random.default_rng(3)
    early: list[Any] = [
        (int(u), int(s), float(h), {"kind": int(k), "product": 1 if k == VIEW else -1})
        for u, s, h, k in zip(
            *rng.integers([[0], [0], [0], [0]], [[6], [3], [239], [4]], (4, 80)), strict=True
        )
    ]
    late: list[Any] = [
        (u, 1, 10 * DAY + u, {"kind": kind, "product": 0 if kind == VIEW else -1})
        for u in range(6)
        for kind in (FOLLOW, WATCH, VIEW, ENGAGE)
    ]
    before = compared(purchases((0, 5)), touches(*early))
    after = compared(
        purchases((0, 5), (1, 10 * DAY)), in_order(touches(*early, *late), rng.permutation(80 + len(late)))
    )
    np.testing.assert_array_equal(before.user, after.user)
    np.testing.assert_allclose(before.covariates, after.covariates, rtol=1e-12)


def test_many_categories_share_a_column_and_none_at_all_is_fine() -> None:
    rows = [
        (user, -1, user, {"kind": VIEW, "product": product}) for user in range(6) for product in range(40)
    ]
    found = compared(purchases(), touches(*rows), product_category=np.arange(40))
    assert sum(name.startswith("share of") for name in found.names) == 12
    nothing = compared(purchases(), touches((0, 1, 5)))
    assert nothing.user.tolist() == [0]
    assert np.isfinite(nothing.covariates).all()


def test_windows_lead_up_to_the_exposure() -> None:
    day = DAY * HOUR_MS
    found = Windows.before(12 * day, 14 * day, known=timedelta(days=10))
    assert found == WINDOWS
    longer = Windows.before(12 * day, 14 * day, known=timedelta(days=5), placebo=timedelta(days=7))
    assert (longer.known_since, longer.placebo_since) == (0, 5 * day)


@pytest.mark.parametrize("times", [(0, 0, 1, 2), (0, 2, 1, 3), (0, 1, 2, 2)])
def test_windows_that_do_not_follow_each_other_are_refused(times: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidInput, match="follow each other"):
        Windows(*times)


def test_rows_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidInput, match="user row"):
        compared(purchases((6, 1)), touches())
    with pytest.raises(InvalidInput, match="product row"):
        compared(purchases(), touches((0, -1, 1, {"kind": VIEW, "product": 3})))
    with pytest.raises(InvalidInput, match="product row"):
        compared(purchases(), touches((0, -1, 1, {"kind": VIEW})))


def test_all_visitors_are_compared_with_as_many_others_as_are_enough_the_same_ones_each_time() -> None:
    visitors = np.array([3, 7, 8])
    assert compared_users(visitors, 10, seed=1).tolist() == list(range(10))
    drawn = compared_users(visitors, 1000, seed=1, most=50)
    assert len(drawn) == 53
    assert set(visitors) <= set(drawn)
    assert np.all(np.diff(drawn) > 0)
    assert drawn.tolist() == compared_users(visitors, 1000, seed=1, most=50).tolist()
    assert drawn.tolist() != compared_users(visitors, 1000, seed=2, most=50).tolist()
