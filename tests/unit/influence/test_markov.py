"""Removal effects against a chain that is solved again without each streamer, and on a published example."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsec.influence.attribution import Model, attribute
from lsec.influence.markov import RemovalEffects, removal_effects
from lsec.influence.paths import IN_STREAM, Window
from lsec.influence.rows import Purchases, Touches
from tests.unit.influence.attribution_oracle import all_paths, conversion_rate, expected_effects
from tests.unit.influence.touch_rows import (
    in_order,
    purchases,
    some_purchases,
    some_touches,
    some_windows,
    touches,
)

DAY = timedelta(days=1)


def effects(found: RemovalEffects) -> dict[int, float]:
    return dict(zip(found.streamer.tolist(), found.effect.tolist(), strict=True))


# Paths 1 → 2 → 3 → purchase, 1 → none and 2 → 3 → none.
THREE_PATHS = touches((0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 1, 1), (2, 2, 1), (2, 3, 2))


def test_the_textbook_example_of_three_paths() -> None:
    found = removal_effects(purchases((0, 4)), THREE_PATHS, window=DAY)
    assert effects(found) == pytest.approx({1: 0.5, 2: 1, 3: 1})
    assert (found.num_conversions, found.num_null) == (1, 2)
    assert found.credits == pytest.approx([0.2, 0.4, 0.4])
    table = attribute(purchases((0, 4)), THREE_PATHS, window=DAY, models=[Model.MARKOV])
    assert table.net_purchases[:, 0] == pytest.approx([0, 0.2, 0.4, 0.4])


@given(some_purchases, some_touches, some_windows)
def test_effects_equal_a_new_solution_for_each_removal(
    bought: Purchases, touched: Touches, window: Window
) -> None:
    converting, null = all_paths(bought, touched, window)
    found = removal_effects(bought, touched, window=window)
    assert (found.num_conversions, found.num_null) == (len(converting), len(null))
    assert effects(found) == pytest.approx(expected_effects(converting, null), abs=1e-9)
    assert found.streamer.tolist() == sorted({s for path in converting + null for s in path})


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_effects_equal_a_new_solution_on_a_larger_market(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bought = purchases(
        *((int(u), float(h)) for u, h in zip(*rng.integers(0, [[9], [200]], (2, 20)), strict=True))
    )
    rows = zip(*rng.integers(0, [[12], [15], [200]], (3, 300)), strict=True)
    touched = touches(*((int(u), int(s), float(h)) for u, s, h in rows))
    expected = expected_effects(*all_paths(bought, touched, DAY))
    assert effects(removal_effects(bought, touched, window=DAY)) == pytest.approx(expected, abs=1e-9)


@given(some_purchases, some_touches, some_windows)
def test_effects_are_shares_and_credits_sum_to_the_conversions(
    bought: Purchases, touched: Touches, window: Window
) -> None:
    found = removal_effects(bought, touched, window=window)
    assert ((found.effect >= 0) & (found.effect <= 1)).all()
    assert found.credits.sum() == pytest.approx(found.num_conversions, abs=1e-9)
    assert (found.credits >= 0).all()


@given(some_purchases, some_touches, some_windows)
def test_a_streamer_on_the_path_of_a_purchase_has_an_effect(
    bought: Purchases, touched: Touches, window: Window
) -> None:
    converting, _null = all_paths(bought, touched, window)
    found = effects(removal_effects(bought, touched, window=window))
    assert all(found[s] > 0 for path in converting for s in path)


@given(some_purchases, some_touches, some_windows)
def test_refunds_and_the_order_of_the_rows_change_no_effect(
    bought: Purchases, touched: Touches, window: Window
) -> None:
    backwards = [in_order(rows, np.arange(len(rows))[::-1]) for rows in (bought, touched)]
    found = removal_effects(*backwards, window=window)
    assert effects(found) == effects(removal_effects(bought, touched, window=window))


def test_a_repeat_in_a_row_is_one_visit() -> None:
    repeats = touches(
        (0, 1, 1), (0, 1, 1.5), (0, 2, 2), (0, 2, 2.5), (0, 3, 3), (1, 1, 1), (1, 1, 2), (2, 2, 1), (2, 3, 2)
    )
    found = removal_effects(purchases((0, 4)), repeats, window=DAY)
    assert effects(found) == pytest.approx({1: 0.5, 2: 1, 3: 1})


def test_a_streamer_on_every_converting_path_has_all_of_the_effect() -> None:
    touched = touches((0, 1, 1), (0, 5, 2), (1, 5, 1), (2, 1, 1))
    found = removal_effects(purchases((0, 3), (1, 3)), touched, window=DAY)
    assert effects(found) == pytest.approx({1: 0.5, 5: 1})


def test_streamers_of_users_who_never_buy_have_no_effect() -> None:
    found = removal_effects(purchases((0, 3)), touches((0, 1, 2), (1, 7, 2)), window=DAY)
    assert effects(found) == {1: 1, 7: 0}


def test_null_paths_are_as_long_as_the_window() -> None:
    # Counted back from hour 100: one path of hours 77 and 100, one of hour 76, and one of hour 20.
    touched = touches((0, 1, 100), (0, 2, 77), (0, 3, 76), (0, 4, 20))
    converting, null = all_paths(purchases(), touched, DAY)
    assert (converting, null) == ([], [[2, 1], [3], [4]])
    assert removal_effects(purchases(), touched, window=DAY).num_null == 3


def test_in_a_stream_what_follows_the_last_purchase_is_a_null_path() -> None:
    touched = touches(*((0, s, h, {"stream": 6}) for s, h in ((1, 1), (2, 2), (3, 5), (2, 90))), (0, 9, 1))
    found = removal_effects(purchases((0, 3, {"stream": 6})), touched, window=IN_STREAM)
    assert (found.num_conversions, found.num_null) == (1, 1)
    assert found.streamer.tolist() == [1, 2, 3]


@pytest.mark.parametrize("window", [DAY, IN_STREAM])
def test_without_purchases_or_touches_there_is_no_effect(window: Window) -> None:
    nothing = removal_effects(purchases((0, 3)), touches(), window=window)
    assert len(nothing.streamer) == len(nothing.credits) == nothing.num_conversions == nothing.num_null == 0
    assert nothing.of(np.array([0, 4])).tolist() == [0, 0]
    unsold = removal_effects(purchases(), touches((0, 1, 2, {"stream": 0})), window=window)
    assert effects(unsold) == {1: 0}
    assert unsold.credits.tolist() == [0]


def test_effects_are_looked_up_by_streamer() -> None:
    found = RemovalEffects(np.array([2, 5]), np.array([0.25, 0.5]), 3, 1)
    assert found.of(np.array([5, 0, 2, 9, 3])).tolist() == [0.5, 0, 0.25, 0, 0]


def test_the_chain_gives_back_the_observed_conversion_rate() -> None:
    rng = np.random.default_rng(3)
    paths = [rng.integers(0, 6, rng.integers(1, 9)).tolist() for _ in range(50)]
    assert conversion_rate(paths[:20], paths[20:]) == pytest.approx(0.4)
