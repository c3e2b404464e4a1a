"""Who sees the challenger, and what the figures of an experiment say and break."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsec.core.experiments import (
    Guards,
    Outcomes,
    assigned,
    broken_guard,
    figures,
    recommendation,
    sees_challenger,
)
from lsec.core.sequential import Interval

ids = st.text(min_size=1, max_size=40)
shares = st.floats(0.01, 0.5)


@given(ids, ids, shares, shares)
def test_a_larger_share_keeps_whom_a_smaller_one_has(
    experiment_id: str, user_id: str, one: float, other: float
) -> None:
    small, large = sorted((one, other))
    assert sees_challenger(experiment_id, user_id, small) <= sees_challenger(experiment_id, user_id, large)
    assert sees_challenger(experiment_id, user_id, 1.0)
    assert not sees_challenger(experiment_id, user_id, 0.0)


def test_every_process_assigns_the_same_users() -> None:
    # Known answers: a change of the hash would move users between the arms of an experiment that runs.
    users = [f"u{number}" for number in range(12)]
    here = assigned("exp_1", users, 0.5).tolist()
    program = (
        "from lsec.core.experiments import assigned;"
        "print(assigned('exp_1', [f'u{n}' for n in range(12)], 0.5).tolist())"
    )
    there = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7"},
    )
    assert there.stdout.strip() == str(here)
    assert here == KNOWN


KNOWN = [True, False, False, False, True, False, True, False, False, False, False, True]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_share_is_met_and_experiments_draw_anew(share: float) -> None:
    users = [f"user-{number}" for number in range(50_000)]
    one, other = (assigned(experiment_id, users, share) for experiment_id in ("exp_a", "exp_b"))
    error = 4 * (share * (1 - share) / len(users)) ** 0.5
    assert abs(one.mean() - share) < error
    # Independent draws: of those in one, the same share is in the other.
    assert abs(other[one].mean() - share) < 4 * (share * (1 - share) / one.sum()) ** 0.5


def observed(rates: tuple[float, float], *, dismissals: tuple[float, float] = (0.1, 0.1)) -> dict[str, Any]:
    """Figures of 4,000 users, half of them the challenger's, of whom these shares convert and dismiss."""
    rng = np.random.default_rng(3)
    sees = rng.random(4_000) < 0.5
    bought = rng.random(4_000) < np.where(sees, rates[1], rates[0])
    dismissed = rng.random(4_000) < np.where(sees, dismissals[1], dismissals[0])
    shown = np.full(4_000, 7)
    outcomes = Outcomes(sees, shown, bought.astype(int), np.where(bought, 9.0, 0.0), dismissed.astype(int))
    return figures(outcomes, in_arm=sees, share=0.5)


def test_guards_break_only_on_what_is_for_sure() -> None:
    assert broken_guard(Guards(), observed((0.2, 0.2))) == ""
    # Lower by 15 % at most for sure: a guard of 20 % holds, one of 5 % breaks.
    worse = observed((0.4, 0.28))
    assert worse["relative_lift"]["upper"] < -0.05
    assert broken_guard(Guards(max_conversion_loss=0.5), worse) == ""
    assert broken_guard(Guards(max_conversion_loss=0.05), worse).startswith(
        "conversions fell by more than 5%"
    )
    assert broken_guard(Guards(max_conversion_loss=None), worse) == ""
    tiring = observed((0.2, 0.2), dismissals=(0.1, 0.3))
    assert broken_guard(Guards(), tiring).startswith("more users dismiss")
    assert broken_guard(Guards(dismissals=False), tiring) == ""


def test_a_recommendation_says_better_worse_cannot_tell_or_do_not_trust() -> None:
    said = {rates: observed(rates)["recommendation"] for rates in ((0.1, 0.3), (0.3, 0.1), (0.2, 0.2))}
    beginnings = ("The challenger is better", "The challenger is worse", "Cannot tell yet: the difference")
    assert [text.startswith(each) for text, each in zip(said.values(), beginnings, strict=True)] == [True] * 3
    lift = Interval(0.1, 0.05, 0.15)
    assert recommendation(lift, None, fits=False).startswith("Do not trust")
    assert recommendation(None, None, fits=True).startswith("Cannot tell yet: there is no interval")


def test_an_arm_without_users_has_no_rates() -> None:
    nobody = np.zeros(0, np.int64)
    result = figures(
        Outcomes(nobody.astype(bool), nobody, nobody, nobody.astype(np.float64), nobody),
        in_arm=np.zeros(3, bool),
        share=0.1,
    )
    assert (result["arms"]["champion"]["num_users_seen"], result["arms"]["champion"]["num_users"]) == (3, 0)
    assert result["arms"]["challenger"]["conversion_rate"] is None
    assert result["lift"] is None
    assert result["split"]["fits"] is True
