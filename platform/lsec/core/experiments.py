"""Experiments of the champion against a challenger: who sees which, the guards, and what the figures say."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsec.core.sequential import (
    ALPHA,
    METHOD,
    MIN_OUTCOMES,
    MIN_USERS,
    SOURCE,
    Interval,
    difference,
    relative_lift,
    share_interval,
)

CHAMPION_ARM, CHALLENGER_ARM = "champion", "challenger"
MIN_SHARE, MAX_SHARE, DEFAULT_SHARE = 0.01, 0.5, 0.1
DEFAULT_WINDOW_S = 24 * 3600
DEFAULT_MAX_LOSS = 0.2
_SPAN = 2**64


def sees_challenger(experiment_id: str, user_id: str, share: float) -> bool:
    """Whether the user is one of the share: the same in every process, another draw for each experiment."""
    # Ids of experiments hold no space.
    digest = hashlib.blake2b(f"{experiment_id} {user_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * _SPAN


def assigned(experiment_id: str, user_ids: Iterable[str], share: float) -> NDArray[np.bool_]:
    """For each of the users [N] whether they see the challenger."""
    return np.fromiter((sees_challenger(experiment_id, user_id, share) for user_id in user_ids), bool)


@dataclass(frozen=True, slots=True)
class Guards:
    """What ends an experiment by itself; None or False for what does not.

    `max_conversion_loss` is a share of the champion's conversion rate.
    """

    max_conversion_loss: float | None = DEFAULT_MAX_LOSS
    dismissals: bool = True


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Users [N] whose window is over, in the order of their first impression, with what they did in it.

    `impressions` are what they were shown, `conversions` the shown products that they bought after that, for
    `amounts`, and `dismissals` those that they dismissed.
    """

    is_challenger: NDArray[np.bool_]
    impressions: NDArray[np.int64]
    conversions: NDArray[np.int64]
    amounts: NDArray[np.float64]
    dismissals: NDArray[np.int64]


def figures(outcomes: Outcomes, *, in_arm: NDArray[np.bool_], share: float) -> dict[str, Any]:
    """The experiment's figures, without a word on who the users are.

    in_arm [M] says of each user with an impression, whether their window is over or not, and in any order,
    whether they see the challenger.
    """
    is_challenger = outcomes.is_challenger
    converted = (outcomes.conversions > 0).astype(np.float64)
    dismissed = (outcomes.dismissals > 0).astype(np.float64)
    lift = difference(is_challenger, converted, share)
    relative = relative_lift(is_challenger, converted, share)
    split = share_interval(in_arm, share)
    fits = split is None or (split.upper is not None and split.lower <= share <= split.upper)
    return {
        "arms": {
            CHAMPION_ARM: _arm(outcomes, ~is_challenger, int((~in_arm).sum())),
            CHALLENGER_ARM: _arm(outcomes, is_challenger, int(in_arm.sum())),
        },
        "lift": _shown(lift),
        "relative_lift": _shown(relative),
        "amount_lift": _shown(difference(is_challenger, outcomes.amounts, share)),
        "dismissal_lift": _shown(difference(is_challenger, dismissed, share)),
        "split": {"share": share, "found": _shown(split), "fits": fits},
        "method": {"name": METHOD, "source": SOURCE, "confidence": 1 - ALPHA},
        "recommendation": recommendation(lift, relative, fits=fits),
    }


def _arm(outcomes: Outcomes, members: NDArray[np.bool_], num_seen: int) -> dict[str, Any]:
    num = int(members.sum())
    num_converted = int((outcomes.conversions[members] > 0).sum())
    amount = float(outcomes.amounts[members].sum())
    return {
        "num_users_seen": num_seen,
        "num_users": num,
        "num_impressions": int(outcomes.impressions[members].sum()),
        "num_conversions": int(outcomes.conversions[members].sum()),
        "num_users_converted": num_converted,
        "conversion_rate": num_converted / num if num else None,
        "amount_per_user": amount / num if num else None,
        "num_users_dismissed": int((outcomes.dismissals[members] > 0).sum()),
    }


def _shown(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else asdict(interval)


def recommendation(lift: Interval | None, relative: Interval | None, *, fits: bool) -> str:
    """What the figures say, in words."""
    if not fits:
        return (
            "Do not trust the figures: the arms' sizes do not fit the share. Are impressions of one arm lost?"
        )
    if lift is None or lift.upper is None:
        return (
            f"Cannot tell yet: there is no interval before {MIN_USERS} users of each arm "
            f"have had their window, and {MIN_OUTCOMES} of them have converted."
        )
    by = "" if relative is None else f" (its rate by {relative.estimate:+.1%})"
    if lift.lower > 0:
        return f"The challenger is better{by}: promote it."
    if lift.upper < 0:
        return f"The challenger is worse{by}: stop the experiment."
    return f"Cannot tell yet: the difference is between {lift.lower:+.4f} and {lift.upper:+.4f} of a user."


def broken_guard(guards: Guards, result: dict[str, Any]) -> str:
    """Which guard the figures break, in words; '' for none."""
    relative, dismissals = result["relative_lift"], result["dismissal_lift"]
    most = guards.max_conversion_loss
    if (
        most is not None
        and relative is not None
        and relative["upper"] is not None
        and relative["upper"] < -most
    ):
        return (
            f"conversions fell by more than {most:.0%}: the relative lift is at most "
            f"{relative['upper']:+.1%} ({1 - ALPHA:.0%} always-valid)"
        )
    if guards.dismissals and dismissals is not None and dismissals["lower"] > 0:
        return (
            "more users dismiss what the challenger shows: the difference is at least "
            f"{dismissals['lower']:.4f} a user ({1 - ALPHA:.0%} always-valid)"
        )
    return ""
