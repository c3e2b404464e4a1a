"""Lift against markets whose truth is known: taste and activity drive both the exposure and the purchases."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from lsec.core.comparison import Interval
from lsec.core.errors import InvalidInput
from lsec.influence.lift import Lift, lift

NUM_SEEDS = 100


@dataclass(frozen=True)
class Drawn:
    """What is seen of N users, and the purchases that the exposure added to each, which nobody sees."""

    is_exposed: NDArray[np.bool_]
    purchases: NDArray[np.int64]
    placebo: NDArray[np.int64]
    covariates: NDArray[np.float64]
    season: NDArray[np.int64]
    expected_gain: NDArray[np.float64]
    expected_buy_gain: NDArray[np.float64]

    def lift(self) -> Lift:
        names = ("taste", "taste 2", "prior watching")
        return lift(
            self.is_exposed,
            self.purchases,
            self.placebo,
            self.covariates,
            names=names,
            strata=self.season,
        )


def market(seed: int, *, num: int = 2500, effect: float = 0.35, hidden: float = 0.0) -> Drawn:
    """Poisson purchases at a log-linear rate, which the exposure multiplies, more for those of the taste.

    `hidden` drives both exposure and purchases and is in no covariate.
    """
    rng = np.random.default_rng(seed)
    taste, activity = rng.normal(size=(num, 2)), rng.normal(size=num)
    season, secret = rng.integers(0, 3, num), rng.normal(size=num)
    scores = -1.5 + 0.8 * taste[:, 0] + 0.7 * activity + 0.4 * (season == 1) + hidden * secret
    is_exposed = rng.random(num) < 1 / (1 + np.exp(-scores))
    drive = 0.4 * taste[:, 0] + 0.2 * taste[:, 1] + 0.4 * activity + 0.2 * (season == 1) + hidden * secret
    rate = np.exp(-1.6 + drive)
    raised = rate * np.exp(effect * np.exp(0.2 * taste[:, 0]))
    return Drawn(
        is_exposed,
        rng.poisson(np.where(is_exposed, raised, rate)),
        rng.poisson(rate),
        np.column_stack([taste, np.exp(activity)]),
        season,
        raised - rate,
        np.exp(-rate) - np.exp(-raised),
    )


def holds(interval: Interval, value: float) -> bool:
    return interval.low <= value <= interval.high


def test_intervals_hold_the_truth_and_placebos_zero_in_90_of_100_confounded_markets() -> None:
    held = dict.fromkeys(("purchases", "buy rate", "placebo purchases", "placebo buy rate", "naive"), 0)
    for seed in range(NUM_SEEDS):
        drawn = market(seed)
        found = drawn.lift()
        compared = drawn.is_exposed & found.is_kept
        gain = float(drawn.expected_gain[compared].mean())
        held["purchases"] += holds(found.purchases.att, gain)
        held["buy rate"] += holds(found.buy_rate.att, float(drawn.expected_buy_gain[compared].mean()))
        held["placebo purchases"] += holds(found.placebo_purchases.att, 0)
        held["placebo buy rate"] += holds(found.placebo_buy_rate.att, 0)
        held["naive"] += holds(found.purchases.att, found.purchases.naive_difference)
        assert found.purchases.naive_difference > gain
    assert held.pop("naive") <= 5
    assert all(number >= 90 for number in held.values()), held


def test_the_estimate_is_right_on_average() -> None:
    errors, widths = [], []
    for seed in range(NUM_SEEDS):
        drawn = market(seed, num=1500)
        found = drawn.lift()
        errors.append(found.purchases.att.mean - drawn.expected_gain[drawn.is_exposed & found.is_kept].mean())
        widths.append((found.purchases.att.high - found.purchases.att.low) / 2 / 1.959964)
    assert abs(np.mean(errors)) < 3 * np.std(errors) / NUM_SEEDS**0.5
    assert np.mean(widths) == pytest.approx(np.std(errors), rel=0.25)


def test_what_no_covariate_holds_shows_in_the_placebo() -> None:
    num_seen = 0
    for seed in range(20):
        found = market(seed, hidden=0.8).lift()
        num_seen += not holds(found.placebo_purchases.att, 0)
        assert found.is_believable <= holds(found.placebo_purchases.att, 0)
    assert num_seen >= 18


def test_incremental_purchases_are_the_effect_times_those_compared() -> None:
    drawn = market(3)
    found = drawn.lift()
    num = int(np.sum(drawn.is_exposed & found.is_kept))
    assert found.incremental_purchases.mean == pytest.approx(found.purchases.att.mean * num)
    assert found.incremental_purchases.high == pytest.approx(found.purchases.att.high * num)
    assert found.num_exposed == drawn.is_exposed.sum()
    assert found.num_exposed_left_out == found.num_exposed - num
    assert found.purchases.exposed == pytest.approx(drawn.purchases[drawn.is_exposed & found.is_kept].mean())
    assert found.buy_rate.relative == pytest.approx(found.buy_rate.att.mean / found.buy_rate.comparable)


def test_with_exposure_by_lot_it_agrees_with_the_difference_of_means() -> None:
    rng = np.random.default_rng(1)
    is_exposed = rng.random(4000) < 0.5
    purchases = rng.poisson(np.where(is_exposed, 0.5, 0.4))
    found = lift(is_exposed, purchases, rng.poisson(0.4, 4000), rng.normal(size=(4000, 2)))
    difference = purchases[is_exposed].mean() - purchases[~is_exposed].mean()
    error = np.sqrt(
        purchases[is_exposed].var() / is_exposed.sum() + purchases[~is_exposed].var() / sum(~is_exposed)
    )
    assert found.purchases.att.mean == pytest.approx(difference, abs=0.2 * error)
    assert found.purchases.att.high - found.purchases.att.mean == pytest.approx(1.96 * error, rel=0.03)
    assert found.is_believable


def test_the_same_users_in_another_order_give_the_same_estimate() -> None:
    drawn = market(4)
    order = np.random.default_rng(0).permutation(len(drawn.season))
    there = lift(drawn.is_exposed, drawn.purchases, drawn.placebo, drawn.covariates, strata=drawn.season)
    back = lift(
        drawn.is_exposed[order],
        drawn.purchases[order],
        drawn.placebo[order],
        drawn.covariates[order],
        strata=drawn.season[order],
    )
    assert back.purchases.att.mean == pytest.approx(there.purchases.att.mean, rel=1e-6)
    np.testing.assert_array_equal(back.is_kept, there.is_kept[order])


@pytest.mark.parametrize("value", [True, False])
def test_a_group_without_users_is_refused(value: bool) -> None:
    nothing = np.zeros(10, np.int64)
    with pytest.raises(InvalidInput, match=f"no {'unexposed' if value else 'exposed'} user"):
        lift(np.full(10, value), nothing, nothing, np.zeros((10, 1)))


def test_no_users_at_all_are_refused() -> None:
    nothing = np.zeros(0, np.int64)
    with pytest.raises(InvalidInput, match="no exposed user"):
        lift(np.zeros(0, np.bool_), nothing, nothing, np.zeros((0, 2)))


def test_a_covariate_that_tells_the_groups_apart_leaves_nobody_to_compare() -> None:
    is_exposed = np.arange(200) < 100
    nothing = np.zeros(200, np.int64)
    with pytest.raises(InvalidInput, match="do not overlap"):
        lift(is_exposed, nothing, nothing, np.where(is_exposed, 5.0, -5.0)[:, None])


def test_a_constant_covariate_changes_nothing() -> None:
    drawn = market(6)
    columns = (drawn.is_exposed, drawn.purchases, drawn.placebo)
    without = lift(*columns, drawn.covariates)
    with_it = lift(*columns, np.column_stack([drawn.covariates, np.full(len(drawn.season), 7.0)]))
    assert with_it.purchases.att.mean == pytest.approx(without.purchases.att.mean)
    assert with_it.balance[-1].difference_after == pytest.approx(0, abs=1e-12)


def test_a_covariate_given_twice_changes_nothing() -> None:
    drawn = market(6)
    columns = (drawn.is_exposed, drawn.purchases, drawn.placebo)
    once = lift(*columns, drawn.covariates).purchases.att
    twice = lift(*columns, np.column_stack([drawn.covariates, 3 * drawn.covariates + 1])).purchases.att
    assert twice.mean == pytest.approx(once.mean, rel=0.05)
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.05)


def test_without_covariates_everybody_is_comparable() -> None:
    drawn = market(7)
    found = lift(drawn.is_exposed, drawn.purchases, drawn.placebo, np.empty((len(drawn.season), 0)))
    assert found.purchases.att.mean == pytest.approx(found.purchases.naive_difference)


def test_when_everyone_buys_the_effect_is_nothing_and_not_to_be_believed() -> None:
    drawn = market(8)
    ones = np.ones(len(drawn.season), np.int64)
    found = lift(drawn.is_exposed, ones, ones, drawn.covariates)
    assert found.buy_rate.att.mean == pytest.approx(0, abs=1e-9)
    assert found.buy_rate.comparable == pytest.approx(1)
    assert any("fewer than" in reason for reason in found.reasons)
    assert any("placebo shows nothing" in reason for reason in found.reasons)


def test_a_single_exposed_user_has_no_known_error() -> None:
    rng = np.random.default_rng(9)
    purchases = rng.poisson(1.0, 300)
    found = lift(np.arange(300) == 150, purchases, purchases[::-1].copy(), rng.normal(size=(300, 1)))
    assert found.purchases.att.high == float("inf")
    assert not found.is_believable


def test_a_placebo_that_a_covariate_gives_away_shows_nothing() -> None:
    drawn = market(10)
    covariates = np.column_stack([drawn.covariates, drawn.placebo])
    found = lift(drawn.is_exposed, drawn.purchases, drawn.placebo, covariates)
    assert any("placebo shows nothing" in reason for reason in found.reasons)


def test_columns_that_do_not_fit_are_refused() -> None:
    drawn = market(11)
    columns = (drawn.is_exposed, drawn.purchases, drawn.placebo)
    with pytest.raises(InvalidInput, match="lengths"):
        lift(drawn.is_exposed, drawn.purchases[1:], drawn.placebo, drawn.covariates)
    with pytest.raises(InvalidInput, match="names"):
        lift(*columns, drawn.covariates, names=("taste",))
    with pytest.raises(InvalidInput, match="finite"):
        lift(*columns, np.full_like(drawn.covariates, np.nan))
    with pytest.raises(InvalidInput, match="negative"):
        lift(drawn.is_exposed, -1 - drawn.purchases, drawn.placebo, drawn.covariates)
