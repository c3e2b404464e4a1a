"""Always-valid intervals for an experiment that is looked at as often as one likes.

A user i sees the challenger (a_i = 1) with the known probability p, and has the outcome y_i; users stand in
the order of their first impression. The score of an arm's mean is augmented by what was known before user i:

    m1_i = mu1 + a_i / p · (y_i − mu1),   m0_i = mu0 + (1 − a_i) / (1 − p) · (y_i − mu0)

mu1, mu0 being the arms' means over the users before i (with half a user of the overall mean to begin with):
whatever they are, E[m1_i − m0_i | before] is the difference of the means. Its asymptotic confidence sequence
after t users, with V their summed variance, is

    mean(m1 − m0) ± sqrt( 2 (V rho² + 1) / (t² rho²) · log( sqrt(V rho² + 1) / alpha ) )

which holds at all t at once with probability 1 − alpha, as the first look comes later. Source: the Gaussian
mixture boundary of Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2021, "Time-uniform central limit theory and
asymptotic confidence sequences" (arXiv 2103.06476), with their choice of rho for a number of users, and their
scores for experiments, without covariates.

V is the larger of the scores' variance and of what one common mean would give them: with few conversions the
first is often far too small, as the one that would show the spread has not come yet.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
TUNED_USERS = 20_000
TUNED_VARIANCE = 0.05 * 0.95
"""The interval is tightest for so many users whose outcome has this variance: one in twenty converts."""
MIN_USERS = 100
"""Of each arm; before that there is no interval: the sequence is asymptotic."""
MIN_OUTCOMES = 20
"""Users of both arms with an outcome other than 0, before which there is no interval."""
MAX_RATIO = 1000.0
METHOD = "asymptotic confidence sequence with a Gaussian mixture boundary, on AIPW scores"
SOURCE = "Waudby-Smith et al. 2021, arXiv 2103.06476; relative lift by inversion (Fieller 1954)"

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate between its always-valid bounds; an infinite upper bound is None."""

    estimate: float
    lower: float
    upper: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores [..., t] of both arms' means, and the outcomes' running variance [..., t]."""

    challenger: Floats
    champion: Floats
    outcome_variance: Floats
    share: float

    @classmethod
    def of(cls, is_challenger: Bools, outcomes: Floats, share: float) -> "Scores":
        """The scores of users [..., t] in their order; ValueError unless 0 < share < 1."""
        if not 0 < share < 1:
            raise ValueError(f"a share of {share} leaves an arm without users")
        seen = np.arange(1, outcomes.shape[-1] + 1)
        overall = np.cumsum(outcomes, axis=-1) / seen
        means = []
        for in_arm in (is_challenger, ~is_challenger):
            total = np.cumsum(np.where(in_arm, outcomes, 0.0), axis=-1)
            known = (total + 0.5 * overall) / (np.cumsum(in_arm, axis=-1) + 0.5)
            # Of the users before each.
            means.append(np.concatenate([np.zeros_like(known[..., :1]), known[..., :-1]], axis=-1))
        of_challenger = means[0] + is_challenger / share * (outcomes - means[0])
        of_champion = means[1] + ~is_challenger / (1 - share) * (outcomes - means[1])
        return cls(of_challenger, of_champion, _running_variance(outcomes, seen), share)


def tuned_rho(share: float, *, alpha: float = ALPHA) -> float:
    """The rho at which the interval of TUNED_USERS users is tightest; it depends on no data."""
    spread = TUNED_VARIANCE * (1 / share + 1 / (1 - share))
    confidence = -2 * math.log(alpha)
    return math.sqrt((confidence + math.log(confidence) + 1) / (TUNED_USERS * spread))


def half_width(
    summed_variance: Floats, num: NDArray[np.int64], rho: float, *, alpha: float = ALPHA
) -> Floats:
    """Half the width of the mean's interval after `num` scores [...] of this summed variance [...]."""
    inner = summed_variance * rho**2 + 1
    return np.asarray(np.sqrt(2 * inner / (num * rho) ** 2 * np.log(np.sqrt(inner) / alpha)))


def difference_path(
    is_challenger: Bools, outcomes: Floats, share: float, *, alpha: float = ALPHA
) -> tuple[Floats, Floats, Floats]:
    """Estimate and bounds [..., t] of the challenger's mean less the champion's, after each of the users.

    Infinite where there is no interval yet.
    """
    scores = Scores.of(is_challenger, outcomes, share)
    num = np.arange(1, outcomes.shape[-1] + 1)
    difference = scores.challenger - scores.champion
    estimate = np.cumsum(difference, axis=-1) / num
    pooled = scores.outcome_variance * (1 / share + 1 / (1 - share))
    variance = np.maximum(_running_variance(difference, num), pooled)
    width = half_width(variance * num, num, tuned_rho(share, alpha=alpha), alpha=alpha)
    in_challenger = np.cumsum(is_challenger, axis=-1)
    is_early = (np.minimum(in_challenger, num - in_challenger) < MIN_USERS) | (
        np.cumsum(outcomes != 0, axis=-1) < MIN_OUTCOMES
    )
    width = np.where(is_early, np.inf, width)
    return estimate, estimate - width, estimate + width


def difference(
    is_challenger: Bools, outcomes: Floats, share: float, *, alpha: float = ALPHA
) -> Interval | None:
    """The interval of the challenger's mean less the champion's after users [t]; None if it is too early."""
    if not len(outcomes):
        return None
    estimate, lower, upper = (
        float(path[-1]) for path in difference_path(is_challenger, outcomes, share, alpha=alpha)
    )
    return Interval(estimate, lower, upper) if math.isfinite(lower) else None


def relative_lift(
    is_challenger: Bools, outcomes: Floats, share: float, *, alpha: float = ALPHA
) -> Interval | None:
    """The interval of the challenger's mean over the champion's, less 1; None if it is too early.

    By inversion: it holds the ratios r for which the sequence of m1 − r · m0 holds 0. For the true ratio that
    fails at any time with probability alpha at most, so the interval is always valid, too. It is unbounded
    while the champion's mean may be 0.
    """
    if difference(is_challenger, outcomes, share, alpha=alpha) is None:
        return None
    scores = Scores.of(is_challenger, outcomes, share)
    num = len(outcomes)
    of_challenger, of_champion = scores.challenger, scores.champion
    covariance = np.cov(of_challenger, of_champion, ddof=0)
    means = float(of_challenger.mean()), float(of_champion.mean())
    rho, pooled = tuned_rho(share, alpha=alpha), float(scores.outcome_variance[-1])

    def is_held(ratio: float) -> bool:
        own = covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]
        variance = max(own, pooled * (1 / share + ratio**2 / (1 - share)))
        width = half_width(np.array(variance * num), np.array(num), rho, alpha=alpha)
        return abs(means[0] - ratio * means[1]) <= float(width)

    if means[1] <= 0:
        return None
    ratio = max(means[0] / means[1], 0.0)
    lower = 0.0 if is_held(0.0) else _edge(is_held, ratio, 0.0)
    upper = None if is_held(MAX_RATIO) else _edge(is_held, ratio, MAX_RATIO) - 1
    return Interval(ratio - 1, lower - 1, upper)


def share_interval(is_challenger: Bools, share: float, *, alpha: float = 0.01) -> Interval | None:
    """The interval of the share of users [t] who see the challenger; None before MIN_USERS of each arm.

    If the asked share is not within it, the split is not what it should be: no other figure can be trusted.
    """
    num, in_challenger = len(is_challenger), int(is_challenger.sum())
    if min(in_challenger, num - in_challenger) < MIN_USERS:
        return None
    found = in_challenger / num
    variance = np.array(share * (1 - share) * num)
    rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / (TUNED_USERS * 0.25))
    width = float(half_width(variance, np.array(num), rho, alpha=alpha))
    return Interval(found, max(found - width, 0.0), min(found + width, 1.0))


def _edge(is_held: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where, between a ratio that is held and one that is not, the first that is not lies."""
    for _ in range(60):
        middle = (inside + outside) / 2
        if is_held(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _running_variance(values: Floats, num: NDArray[np.int64]) -> Floats:
    """The variance [..., t] of the values up to each."""
    mean = np.cumsum(values, axis=-1) / num
    return np.maximum(np.cumsum(values**2, axis=-1) / num - mean**2, 0.0)
