"""What an exposure added: buy rate of the exposed against that of comparable unexposed users.

With A = 1 for the exposed, X what is known from before, Y the outcome and Y(0) what it would have been
without the exposure, this estimates the mean effect on the exposed, ATT = E[Y − Y(0) | A = 1], by weighting
and regression together. It is right when the propensity is, or when the outcome without exposure is linear
in the columns; both assume that X holds all that drives both exposure and purchases. The same estimate on
a window before the exposure, where the effect must be zero, is what can disprove that: the placebo.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lsec.core.comparison import NORMAL_95, Interval
from lsec.core.errors import InvalidInput
from lsec.influence.matching import Balance, Comparable, comparable_users

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

MAX_PROPENSITY: Final = 0.95
MAX_DIFFERENCE: Final = 0.1
"""Standard deviations between the groups after weighting that are still called balanced."""
MAX_LEFT_OUT: Final = 0.2
"""Share of the exposed without comparable users that still leaves the estimate about the exposed."""
MIN_PER_OUTCOME: Final = 10
"""Buyers, and users who bought nothing, that each group needs for a normal interval."""
MIN_UNEXPLAINED: Final = 0.05
"""Share of the placebo's variance outside the columns, below which they hold the placebo itself."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A mean outcome of the exposed, what comparable unexposed users have, and the difference, the ATT.

    The naive difference is that from all unexposed users, weighting nobody.
    """

    exposed: float
    comparable: float
    att: Interval
    naive_difference: float

    @property
    def relative(self) -> float:
        """The ATT as a share of what would have been anyway; NaN where that is not positive."""
        return self.att.mean / self.comparable if self.comparable > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class Lift:
    """The effect of an exposure on buying, with what says whether to believe it.

    buy_rate is of users who bought at all, purchases of purchases per user; incremental_purchases is the
    latter's ATT times the exposed who were kept. The placebos are the same estimates before the
    exposure. is_kept[N] are the users compared; reasons say what speaks against believing it, and is
    empty when nothing does.
    """

    buy_rate: Effect
    purchases: Effect
    incremental_purchases: Interval
    placebo_buy_rate: Effect
    placebo_purchases: Effect
    num_exposed: int
    num_unexposed: int
    num_exposed_left_out: int
    effective_unexposed: float
    balance: tuple[Balance, ...]
    is_kept: Flags
    reasons: tuple[str, ...]

    @property
    def is_believable(self) -> bool:
        return not self.reasons


def lift(
    is_exposed: Flags,
    purchases: Ints,
    placebo_purchases: Ints,
    covariates: Floats,
    *,
    names: tuple[str, ...] = (),
    strata: Ints | None = None,
    max_propensity: float = MAX_PROPENSITY,
    min_per_outcome: int = MIN_PER_OUTCOME,
) -> Lift:
    """The lift of the exposed among N users; purchases[N] in the window, placebo_purchases[N] in one before.

    covariates[N, K] (names[K]) and strata[N], such as the season of the first visit, must be known before
    the placebo's window begins: what reaches into it makes the placebo zero whatever is wrong. An
    interval is normal with 95 %, over users as independent draws; each group needs min_per_outcome buyers,
    and as many who bought nothing, to be believed. InvalidInput when a group is empty, when the groups do
    not overlap, when lengths differ or a value is not finite.
    Source: Robins, Rotnitzky and Zhao 1994; implied weights as in Chattopadhyay and Zubizarreta 2023; the
    variance is HC3 of MacKinnon and White 1985.
    """
    names = names or tuple(f"covariate {k}" for k in range(covariates.shape[1]))
    _validate(is_exposed, purchases, placebo_purchases, covariates, names, strata)
    groups = comparable_users(
        is_exposed, covariates, names=names, strata=strata, max_propensity=max_propensity
    )
    columns = (purchases > 0, purchases, placebo_purchases > 0, placebo_purchases)
    outcomes = np.stack([column.astype(np.float64) for column in columns], axis=1)
    effects, explained = _effects(outcomes, is_exposed, groups)
    num, num_kept = int(is_exposed.sum()), effects[1].att.num
    reasons = [
        *_balance_reasons(groups, is_exposed),
        *_count_reasons(outcomes[:, 0], is_exposed, groups, min_per_outcome),
        *_placebo_reasons(effects[2], effects[3], explained[3]),
    ]
    return Lift(
        buy_rate=effects[0],
        purchases=effects[1],
        incremental_purchases=_times(effects[1].att, num_kept),
        placebo_buy_rate=effects[2],
        placebo_purchases=effects[3],
        num_exposed=num,
        num_unexposed=len(is_exposed) - num,
        num_exposed_left_out=num - num_kept,
        effective_unexposed=groups.effective_unexposed,
        balance=groups.balance,
        is_kept=groups.is_kept,
        reasons=tuple(reasons),
    )


def _effects(outcomes: Floats, is_exposed: Flags, groups: Comparable) -> tuple[list[Effect], Floats]:
    """The effect on each of outcomes[N, M], and the share [M] of its variance that the columns explain.

    The unexposed outcomes are regressed on the columns by weighted least squares; their prediction for the
    mean exposed user is a sum of the unexposed outcomes with fixed shares, from which the variance follows.
    """
    exposed, unexposed = groups.is_kept & is_exposed, groups.is_kept & ~is_exposed
    ours, theirs = groups.columns[exposed], groups.columns[unexposed]
    weights = groups.weights[unexposed]
    scaled = theirs * np.sqrt(weights)[:, None]
    inverse = np.linalg.pinv(scaled.T @ scaled, rcond=1e-10, hermitian=True)
    projected = theirs @ inverse
    coefficients = projected.T @ (weights[:, None] * outcomes[unexposed])
    shares = weights * (projected @ ours.mean(axis=0))
    leverage = np.minimum(weights * np.einsum("nc,nc->n", projected, theirs), 0.99)
    residuals = outcomes[unexposed] - theirs @ coefficients
    gains = outcomes[exposed] - ours @ coefficients
    num = len(gains)
    means, comparable = outcomes[exposed].mean(axis=0), shares @ outcomes[unexposed]
    variance = shares**2 @ (residuals / (1 - leverage[:, None])) ** 2
    variance += gains.var(axis=0) / max(num - 1, 1) if num > 1 else np.inf
    naive = outcomes[is_exposed].mean(axis=0) - outcomes[~is_exposed].mean(axis=0)
    spread = weights @ (outcomes[unexposed] - comparable) ** 2
    varies = spread > 1e-9 * (weights @ outcomes[unexposed] ** 2)
    explained = 1 - np.divide(weights @ residuals**2, spread, out=np.zeros_like(spread), where=varies)
    rows = np.stack([means, comparable, NORMAL_95 * np.sqrt(variance), naive], axis=1).tolist()
    effects = [
        Effect(ours, other, Interval(ours - other, ours - other - error, ours - other + error, num), plain)
        for ours, other, error, plain in rows
    ]
    return effects, explained


def _times(interval: Interval, factor: int) -> Interval:
    return Interval(interval.mean * factor, interval.low * factor, interval.high * factor, interval.num)


def _balance_reasons(groups: Comparable, is_exposed: Flags) -> list[str]:
    reasons = [
        f"{row.name} differs by {row.difference_after:.2f} standard deviations after weighting"
        for row in groups.balance
        if abs(row.difference_after) > MAX_DIFFERENCE
    ]
    share = 1 - np.sum(groups.is_kept & is_exposed) / is_exposed.sum()
    if share > MAX_LEFT_OUT:
        reasons.append(f"{share:.0%} of the exposed have no comparable unexposed user")
    return reasons


def _count_reasons(
    has_bought: Floats, is_exposed: Flags, groups: Comparable, min_per_outcome: int
) -> list[str]:
    reasons = []
    for name, group in (("exposed", is_exposed), ("unexposed", ~is_exposed)):
        bought = has_bought[group & groups.is_kept]
        few = min(int(bought.sum()), int(len(bought) - bought.sum()))
        if few < min_per_outcome:
            reasons.append(f"only {few} of the {name} did buy, or did not: fewer than {min_per_outcome}")
    if groups.effective_unexposed < 5 * min_per_outcome:
        reasons.append(f"the unexposed weigh no more than {groups.effective_unexposed:.0f} users do")
    return reasons


def _placebo_reasons(buy_rate: Effect, purchases: Effect, explained: float) -> list[str]:
    reasons = [
        f"before the exposure there is already a difference in {name}: {att.low:.4g} to {att.high:.4g}"
        for name, att in (("buy rate", buy_rate.att), ("purchases", purchases.att))
        if not att.low <= 0 <= att.high
    ]
    if explained > 1 - MIN_UNEXPLAINED:
        reasons.append(
            "the covariates hold the purchases before, or nobody's differ: the placebo shows nothing"
        )
    return reasons


def _validate(
    is_exposed: Flags,
    purchases: Ints,
    placebo_purchases: Ints,
    covariates: Floats,
    names: tuple[str, ...],
    strata: Ints | None,
) -> None:
    lengths = {len(column) for column in (is_exposed, purchases, placebo_purchases, covariates)}
    if strata is not None:
        lengths.add(len(strata))
    if len(lengths) > 1:
        raise InvalidInput(f"The columns have different lengths: {sorted(lengths)}.")
    if covariates.ndim != 2 or covariates.shape[1] != len(names):
        raise InvalidInput(f"There are {len(names)} names for covariates of shape {covariates.shape}.")
    if not np.isfinite(covariates).all():
        raise InvalidInput("A covariate is not a finite number.")
    for name, column in (("purchases", purchases), ("placebo_purchases", placebo_purchases)):
        if len(column) and column.min() < 0:
            raise InvalidInput(f"A number of {name} is negative.", field=name)
