"""The always-valid interval: how often it is wrong when it is looked at after every user, what it finds."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lsec.core.sequential import (
    MIN_USERS,
    Interval,
    difference,
    difference_path,
    relative_lift,
    share_interval,
)

NUM_EXPERIMENTS, NUM_USERS, PER_CHUNK = 1_000, 8_000, 50


def simulate(
    rng: np.random.Generator,
    num: int,
    *,
    share: float,
    rates: tuple[float, float],
    num_users: int = NUM_USERS,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Experiments [num, t]: which users see the challenger, and who converts."""
    is_challenger = rng.random((num, num_users), np.float32) < share
    rate = np.where(is_challenger, np.float32(rates[1]), np.float32(rates[0]))
    return is_challenger, (rng.random((num, num_users), np.float32) < rate).astype(np.float64)


def fixed_horizon_rejects(
    is_challenger: NDArray[np.bool_], outcomes: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether a two-sided z test of 5 % rejects, after each user: right for one moment, chosen before."""
    num = np.arange(1, outcomes.shape[-1] + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = []
        for members in (is_challenger, ~is_challenger):
            size = np.cumsum(members, axis=-1)
            mean = np.cumsum(outcomes * members, axis=-1) / size
            sides.append((size, mean))
        pooled = np.cumsum(outcomes, axis=-1) / num
        error = np.sqrt(pooled * (1 - pooled) * (1 / sides[0][0] + 1 / sides[1][0]))
        enough = np.minimum(sides[0][0], sides[1][0]) >= MIN_USERS
        return np.asarray(enough & (np.abs(sides[0][1] - sides[1][1]) > 1.959964 * error))


@pytest.mark.parametrize(("share", "rate"), [(0.1, 0.05), (0.5, 0.2)])
def test_a_thousand_experiments_without_an_effect_are_called_wrongly_at_most_one_in_twenty_times(
    share: float, rate: float
) -> None:
    rng = np.random.default_rng(8)
    num_wrong = num_wrong_fixed = 0
    for _ in range(NUM_EXPERIMENTS // PER_CHUNK):
        experiments = simulate(rng, PER_CHUNK, share=share, rates=(rate, rate))
        _, lower, upper = difference_path(*experiments, share)
        num_wrong += int(((lower > 0) | (upper < 0)).any(axis=-1).sum())
        # The same looks from the same moment on.
        looks = np.isfinite(lower)
        num_wrong_fixed += int((fixed_horizon_rejects(*experiments) & looks).any(axis=-1).sum())
    wrong, wrong_fixed = num_wrong / NUM_EXPERIMENTS, num_wrong_fixed / NUM_EXPERIMENTS
    print(f"share {share}, rate {rate}: always valid {wrong:.1%} wrong, fixed horizon {wrong_fixed:.1%}")
    # Two standard errors of 1,000 draws are 1.4 %.
    assert wrong <= 0.05 + 0.014
    assert wrong_fixed > 0.05 + 0.014


def test_an_effect_is_found_and_the_interval_holds_it() -> None:
    rng = np.random.default_rng(9)
    experiments = simulate(rng, 60, share=0.5, rates=(0.1, 0.15))
    _, lower, upper = difference_path(*experiments, 0.5)
    found = (lower > 0).any(axis=-1)
    assert found.mean() > 0.9
    assert not (upper < 0).any()
    assert ((lower[:, -1] < 0.05) & (upper[:, -1] > 0.05)).mean() >= 0.95
    ratios = [relative_lift(*each, 0.5) for each in zip(*experiments, strict=True)]
    held = [each.lower < 0.5 < each.upper for each in ratios if each and each.upper]
    assert len(held) == len(ratios)
    assert np.mean(held) >= 0.95


def test_a_challenger_that_nobody_buys_from_is_called_worse() -> None:
    rng = np.random.default_rng(10)
    is_challenger, outcomes = simulate(rng, 1, share=0.3, rates=(0.2, 0.0), num_users=4_000)
    relative = relative_lift(is_challenger[0], outcomes[0], 0.3)
    assert relative is not None
    assert relative.estimate == pytest.approx(-1, abs=0.01)
    assert relative.upper is not None
    assert relative.upper < -0.5


def test_the_relative_interval_leaves_out_nought_when_the_difference_does() -> None:
    rng = np.random.default_rng(11)
    for effect in np.linspace(-0.05, 0.05, 21):
        is_challenger, outcomes = simulate(rng, 1, share=0.2, rates=(0.1, 0.1 + effect), num_users=6_000)
        absolute = difference(is_challenger[0], outcomes[0], 0.2)
        relative = relative_lift(is_challenger[0], outcomes[0], 0.2)
        assert absolute is not None
        assert relative is not None
        assert holds_nought(relative) == holds_nought(absolute)


def holds_nought(interval: Interval) -> bool:
    return interval.lower <= 0 and (interval.upper is None or interval.upper >= 0)


def test_there_is_no_interval_before_there_are_enough_users() -> None:
    few = np.arange(150) % 2 == 0
    assert difference(few, np.ones(150), 0.5) is None
    assert relative_lift(few, np.ones(150), 0.5) is None
    assert difference(np.zeros(0, bool), np.zeros(0), 0.5) is None
    many = np.arange(1000) % 2 == 0
    assert difference(many, np.zeros(1000), 0.5) is None
    with pytest.raises(ValueError, match="without users"):
        difference(many, np.ones(1000), 1.0)


def test_a_split_that_does_not_fit_its_share_is_seen_and_one_that_fits_is_not() -> None:
    rng = np.random.default_rng(12)
    wrong = share_interval(rng.random(20_000) < 0.12, 0.1)
    assert wrong is not None
    assert not wrong.lower <= 0.1 <= (wrong.upper or 1)
    called = [share_interval(rng.random(5_000) < 0.1, 0.1) for _ in range(200)]
    assert sum(not each.lower <= 0.1 <= (each.upper or 1) for each in called if each) <= 2
