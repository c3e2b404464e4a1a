"""Attribution on examples that are worked out by hand."""

import dataclasses
from datetime import timedelta

import numpy as np
import pytest

from lsec.core.errors import InvalidInput
from lsec.influence.attribution import NOBODY, CreditTable, Model, attribute, purchase_credits
from lsec.influence.markov import RemovalEffects
from lsec.influence.paths import IN_STREAM, ROWS_AT_ONCE, Window
from lsec.influence.rows import Purchases, Touches
from tests.unit.influence.touch_rows import ENGAGE, FOLLOW, VIEW, WATCH, purchases, touches

DAY = timedelta(days=1)


def shares(
    bought: Purchases, touched: Touches, model: Model, *, window: Window = DAY, half_life: timedelta = DAY
) -> dict[int, float]:
    """The credit by streamer of a single purchase."""
    found = purchase_credits(bought, touched, window=window, models=[model], half_life=half_life)
    return dict(zip(found.streamer.tolist(), found.credit[:, 0].tolist(), strict=True))


def gross(table: CreditTable, model: Model) -> dict[int, float]:
    column = table.gross_purchases[:, table.models.index(model)]
    return dict(zip(table.streamer.tolist(), column.tolist(), strict=True))


ONE = purchases((0, 20))
FOUR_TOUCHES = touches((0, 7, 10), (0, 5, 12), (0, 7, 14), (0, 9, 18))


def test_first_touch_gives_all_to_the_first() -> None:
    assert shares(ONE, FOUR_TOUCHES, Model.FIRST_TOUCH) == {5: 0, 7: 1, 9: 0}


def test_last_touch_gives_all_to_the_touch_just_before() -> None:
    assert shares(ONE, FOUR_TOUCHES, Model.LAST_TOUCH) == {5: 0, 7: 0, 9: 1}


def test_linear_counts_each_repeat() -> None:
    assert shares(ONE, FOUR_TOUCHES, Model.LINEAR) == pytest.approx({5: 0.25, 7: 0.5, 9: 0.25})


def test_time_decay_halves_with_every_half_life() -> None:
    # Ages 10, 8, 6 and 2 hours: weights 1/32, 1/16, 1/8 and 1/2, together 23/32.
    found = shares(ONE, FOUR_TOUCHES, Model.TIME_DECAY, half_life=timedelta(hours=2))
    assert found == pytest.approx({5: 2 / 23, 7: 5 / 23, 9: 16 / 23})


def test_time_decay_lasts_when_every_touch_is_many_half_lives_old() -> None:
    touched = touches((0, 1, 0), (0, 2, 1))
    found = shares(purchases((0, 5000)), touched, Model.TIME_DECAY, window=365 * DAY, half_life=DAY / 24)
    assert found == pytest.approx({1: 1 / 3, 2: 2 / 3})


def test_position_based_is_40_20_40() -> None:
    assert shares(ONE, FOUR_TOUCHES, Model.POSITION_BASED) == pytest.approx({5: 0.1, 7: 0.5, 9: 0.4})


def test_position_based_halves_two_touches_and_gives_one_all() -> None:
    assert shares(ONE, touches((0, 1, 3), (0, 2, 4)), Model.POSITION_BASED) == {1: 0.5, 2: 0.5}
    assert shares(ONE, touches((0, 2, 4)), Model.POSITION_BASED) == {2: 1}


def test_markov_counts_each_streamer_of_the_path_once() -> None:
    effects = RemovalEffects(np.array([5, 7, 9]), np.array([0.2, 0.6, 0.2]), 1, 0)
    found = attribute(ONE, FOUR_TOUCHES, window=DAY, models=[Model.MARKOV], effects=effects)
    assert gross(found, Model.MARKOV) == pytest.approx({NOBODY: 0, 5: 0.2, 7: 0.6, 9: 0.2})


def test_markov_shares_a_path_without_any_effect_equally() -> None:
    effects = RemovalEffects(np.array([1]), np.array([0.5]), 1, 0)
    found = purchase_credits(ONE, FOUR_TOUCHES, window=DAY, models=[Model.MARKOV], effects=effects)
    assert found.credit[:, 0] == pytest.approx([0.25, 0.5, 0.25])


def test_a_window_counts_both_of_its_ends() -> None:
    touched = touches((0, 1, 5.9), (0, 2, 6), (0, 3, 30), (0, 4, 30.1))
    assert shares(purchases((0, 30)), touched, Model.LINEAR) == {2: 0.5, 3: 0.5}


def test_in_stream_counts_only_touches_of_the_stream_of_the_purchase() -> None:
    touched = touches(
        (0, 1, 5, {"stream": 3}),
        (0, 1, 6, {"stream": 4}),
        (0, 2, 7),
        (0, 9, 9, {"stream": 3}),
        (1, 2, 7, {"stream": 3}),
    )
    assert shares(purchases((0, 8, {"stream": 3})), touched, Model.LINEAR, window=IN_STREAM) == {1: 1}
    assert shares(purchases((0, 8, {"stream": 5})), touched, Model.LINEAR, window=IN_STREAM) == {NOBODY: 1}
    assert shares(purchases((0, 8)), touched, Model.LINEAR, window=IN_STREAM) == {NOBODY: 1}


@pytest.mark.parametrize("window", [DAY, 7 * DAY, IN_STREAM])
def test_touches_after_the_purchase_and_those_of_others_never_count(window: Window) -> None:
    touched = touches((0, 1, 20.001, {"stream": 2}), (1, 1, 19, {"stream": 2}))
    for model in Model:
        assert shares(purchases((0, 20, {"stream": 2})), touched, model, window=window) == {NOBODY: 1}


def test_touches_at_one_moment_are_ordered_by_kind_then_streamer() -> None:
    tied = touches(
        (0, 1, 9, {"kind": ENGAGE}),
        (0, 2, 9, {"kind": WATCH}),
        (0, 4, 9, {"kind": FOLLOW}),
        (0, 3, 9, {"kind": FOLLOW}),
        (0, 5, 9, {"kind": VIEW}),
    )
    assert shares(ONE, tied, Model.FIRST_TOUCH)[3] == 1
    assert shares(ONE, tied, Model.LAST_TOUCH)[1] == 1


def test_a_touch_without_a_streamer_is_none() -> None:
    assert shares(ONE, touches((0, -1, 15), (0, 2, 10)), Model.LAST_TOUCH) == {2: 1}


def test_nobody_has_the_purchases_without_a_touch() -> None:
    bought = purchases((0, 20), (1, 20, {"amount": 7}), (2, 20, {"amount": 5, "is_refunded": True}))
    table = attribute(bought, touches((0, 3, 19)), window=DAY)
    assert table.models == tuple(Model)
    assert table.streamer.tolist() == [NOBODY, 3]
    assert table.gross_purchases.tolist() == [[2] * 6, [1] * 6]
    assert table.net_purchases[0].tolist() == [1] * 6
    assert table.net_amount.tolist() == [[7] * 6, [100] * 6]
    assert table.refunded_amount.tolist() == [[5] * 6, [0] * 6]


def test_a_refund_takes_back_the_credit_of_its_purchase() -> None:
    bought = purchases((0, 10, {"amount": 600}), (1, 10, {"amount": 50, "is_refunded": True}))
    touched = touches((0, 1, 5), (0, 2, 6), (1, 1, 5), (1, 3, 6))
    table = attribute(bought, touched, window=DAY, models=[Model.LINEAR])
    assert table.streamer.tolist() == [NOBODY, 1, 2, 3]
    assert table.gross_purchases[:, 0].tolist() == [0, 1, 0.5, 0.5]
    assert table.refunded_purchases[:, 0].tolist() == [0, 0.5, 0, 0.5]
    assert table.net_purchases[:, 0].tolist() == [0, 0.5, 0.5, 0]
    assert table.gross_amount[:, 0].tolist() == [0, 325, 300, 25]
    assert table.refunded_amount[:, 0].tolist() == [0, 25, 0, 25]
    assert table.net_amount[:, 0].tolist() == [0, 300, 300, 0]


def test_credits_name_the_row_of_their_purchase() -> None:
    bought = purchases((2, 30), (0, 10), (1, 10))
    found = purchase_credits(bought, touches((0, 4, 9), (2, 4, 29), (2, 1, 28)), window=DAY)
    assert found.purchase.tolist() == [0, 0, 1, 2]
    assert found.streamer.tolist() == [1, 4, 4, NOBODY]
    assert found.credit.shape == (4, len(Model))


def test_streamers_on_a_path_are_listed_even_without_credit() -> None:
    table = attribute(ONE, FOUR_TOUCHES, window=DAY, models=[Model.LAST_TOUCH])
    assert gross(table, Model.LAST_TOUCH) == {NOBODY: 0, 5: 0, 7: 0, 9: 1}


@pytest.mark.parametrize("window", [DAY, IN_STREAM])
def test_empty_rows_give_an_empty_table(window: Window) -> None:
    nothing = attribute(purchases(), touches(), window=window)
    assert nothing.streamer.tolist() == [NOBODY]
    assert not nothing.gross_purchases.any()
    assert len(purchase_credits(purchases(), touches((0, 1, 2)), window=window).purchase) == 0
    untouched = attribute(ONE, touches(), window=window)
    assert untouched.net_amount.tolist() == [[100] * 6]
    assert attribute(ONE, touches(), window=window, models=[]).net_amount.shape == (1, 0)


def test_times_and_half_lives_that_are_not_positive_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no positive time"):
        attribute(ONE, FOUR_TOUCHES, window=timedelta(0))
    with pytest.raises(InvalidInput, match="no positive time"):
        attribute(ONE, FOUR_TOUCHES, window=DAY, half_life=-DAY)


def test_the_named_streamer_of_a_purchase_gets_no_credit_for_being_named() -> None:
    named = dataclasses.replace(ONE, streamer=np.array([8]))
    assert shares(named, FOUR_TOUCHES, Model.LAST_TOUCH) == {5: 0, 7: 0, 9: 1}


def test_more_rows_than_are_laid_out_at_once_add_up() -> None:
    num = 1500
    touched = touches(*((0, i % 3, i / num) for i in range(num)))
    bought = purchases(*((0, 2 + i / num) for i in range(num)))
    assert num * num > 2 * ROWS_AT_ONCE
    table = attribute(bought, touched, window=DAY)
    assert table.gross_purchases.sum(axis=0) == pytest.approx(num)
    assert gross(table, Model.LINEAR) == pytest.approx({NOBODY: 0, 0: 500, 1: 500, 2: 500})
    assert gross(table, Model.LAST_TOUCH) == {NOBODY: 0, 0: 0, 1: 0, 2: num}


@pytest.mark.parametrize("window", [DAY, IN_STREAM])
def test_tied_purchases_in_any_order_give_the_same_bits(window: Window) -> None:
    amounts = np.random.default_rng(0).integers(0, 10**15, 60).tolist()
    rows = [(0, 20, {"amount": a, "stream": i % 2, "is_refunded": i % 3 == 0}) for i, a in enumerate(amounts)]
    touched = touches(*((0, i, 10 + i, {"stream": i % 2}) for i in range(7)))
    one = attribute(purchases(*rows), touched, window=window)
    other = attribute(purchases(*rows[::-1]), touched, window=window)
    assert one.net_amount.tolist() == other.net_amount.tolist()
    assert one.refunded_amount.tolist() == other.refunded_amount.tolist()
