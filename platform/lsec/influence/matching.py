"""Unexposed users made comparable with the exposed ones: propensities, overlap, weights, and their balance.

The propensity is the probability of being exposed given what is known of a user from before, by a logistic
regression on the covariates, their squares where the groups are large enough for them, and the strata. An
unexposed user weighs its odds, so that the weighted unexposed look like the exposed. Exposed users like
whom there is nobody unexposed are left out, and counted.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lsec.core.errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

PRIOR_PRECISION: Final = 1.0
"""Of the normal prior on the coefficients of standardised columns: keeps them finite under separation."""

USERS_PER_COLUMN: Final = 20
"""Squares are added when the smaller group has this many users for each column."""

MAX_SKEWNESS: Final = 2.0
"""Counts and times are skewed, and it is their ratios that matter: beyond this their logarithm is taken."""

SAMPLE_SIZE: Final = 20_000
"""Users on whom a fit begins: the full data then need two or three steps instead of eight."""

MAX_STEPS: Final = 30
SMALLEST_CHANGE: Final = 1e-4
"""Of a coefficient: a step of Newton's method leaves about the square of the step before."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How far apart the groups are in one covariate, in standard deviations, before and after weighting.

    Means are of the exposed and the unexposed who were kept, and of the unexposed weighted. The standard
    deviation is the root of the mean of both groups' variances. Of a covariate with a long tail, differences
    are those of its logarithm, which is what was matched.
    """

    name: str
    exposed: float
    unexposed: float
    weighted: float
    difference_before: float
    difference_after: float


@dataclass(frozen=True, slots=True)
class Comparable:
    """Who is compared: users kept[N], of whom weights[N] sum to the number of exposed over the unexposed.

    Weights are 1 for the exposed and 0 for whoever is left out. columns[N, C] are what was matched on,
    standardised, the first of them ones.
    """

    is_kept: Flags
    weights: Floats
    columns: Floats
    propensities: Floats
    effective_unexposed: float
    balance: tuple[Balance, ...]


def comparable_users(
    is_exposed: Flags,
    covariates: Floats,
    *,
    names: tuple[str, ...],
    strata: Ints | None = None,
    max_propensity: float,
) -> Comparable:
    """Weights that make the unexposed alike to the exposed in covariates[N, K] and strata[N].

    Left out are the users of a stratum that lacks either group, the exposed whose propensity is above
    max_propensity or above that of every unexposed user, and the unexposed past the same bound; the
    propensity is then fitted again. InvalidInput when either group is empty, or empty after this.
    Source: Imbens and Rubin 2015, chapters 13 to 16; the weights are of Hirano, Imbens and Ridder 2003.
    """
    _require_both(is_exposed, np.ones(len(is_exposed), np.bool_), "among all")
    is_kept = _shared_strata(is_exposed, strata)
    _require_both(is_exposed, is_kept, "in a stratum that has both")
    values = _unskewed(covariates, is_kept)
    columns = _columns(values, strata, is_exposed, is_kept)
    coefficients = fit_logistic(columns[is_kept], is_exposed[is_kept])
    propensities = logistic(columns @ coefficients)
    bound = min(max_propensity, float(propensities[is_kept & ~is_exposed].max()))
    has_overlap = is_kept & (propensities <= bound)
    _require_both(is_exposed, has_overlap, "comparable with the other group: the two do not overlap")
    if not np.array_equal(has_overlap, is_kept):
        is_kept = has_overlap
        coefficients = fit_logistic(columns[is_kept], is_exposed[is_kept], start=coefficients)
        propensities = logistic(columns @ coefficients)
    exposed, unexposed = is_kept & is_exposed, is_kept & ~is_exposed
    odds = np.exp(columns[unexposed] @ coefficients)
    odds *= exposed.sum() / odds.sum()
    weights = np.where(exposed, 1.0, 0.0)
    weights[unexposed] = odds
    effective = float(odds.sum() ** 2 / (odds @ odds))
    balance = _balance(covariates, values, names, exposed, unexposed, odds)
    return Comparable(is_kept, weights, columns, propensities, effective, balance)


def fit_logistic(columns: Floats, is_one: Flags, *, start: Floats | None = None) -> Floats:
    """Coefficients [C] of a logistic regression of is_one[N] on columns[N, C], the first of them ones.

    Newton's method, halving a step that does not help. All but the first coefficient have a normal prior of
    mean 0 and precision 1, so that a perfect separation gives large coefficients and not infinite ones.
    """
    prior = np.full(columns.shape[1], PRIOR_PRECISION)
    prior[0] = 1e-9
    if start is None and len(is_one) >= 2 * SAMPLE_SIZE:
        stride = len(is_one) // SAMPLE_SIZE
        start = fit_logistic(columns[::stride], is_one[::stride])
    coefficients = np.zeros(columns.shape[1]) if start is None else start
    ones = is_one.astype(np.float64)

    def loss(scores: Floats, candidate: Floats) -> float:
        fit = np.maximum(scores, 0) + np.log1p(np.exp(-np.abs(scores))) - ones * scores
        return float(fit.sum() + 0.5 * prior @ candidate**2)

    scores = columns @ coefficients
    value = loss(scores, coefficients)
    for _ in range(MAX_STEPS):
        fitted = logistic(scores)
        gradient = columns.T @ (fitted - ones) + prior * coefficients
        scaled = columns * np.sqrt(fitted * (1 - fitted))[:, None]
        step = np.linalg.solve(scaled.T @ scaled + np.diag(prior), gradient)
        for _ in range(MAX_STEPS):
            candidate = coefficients - step
            new_scores = columns @ candidate
            new_value = loss(new_scores, candidate)
            if new_value <= value:
                break
            step = step / 2
        coefficients, scores, value = candidate, new_scores, new_value
        if np.abs(step).max() < SMALLEST_CHANGE:
            break
    return coefficients


def logistic(scores: Floats) -> Floats:
    """The probability 1/(1 + e^−score) of each score, without overflow."""
    small = np.exp(-np.abs(scores))
    probabilities: Floats = np.where(scores >= 0, 1.0, small) / (1 + small)
    return probabilities


def _columns(covariates: Floats, strata: Ints | None, is_exposed: Flags, is_kept: Flags) -> Floats:
    """Ones, the standardised covariates, perhaps their squares, and a column for each stratum but one."""
    num_smaller = min(int(np.sum(is_kept & is_exposed)), int(np.sum(is_kept & ~is_exposed)))
    linear = _standardised(covariates, is_kept)
    parts = [np.ones((len(covariates), 1)), linear]
    if strata is not None:
        kinds = np.unique(strata[is_kept])[1:]
        parts.append(_standardised((strata[:, None] == kinds).astype(np.float64), is_kept))
    if num_smaller >= USERS_PER_COLUMN * (2 * linear.shape[1] + 1):
        # A flag's square is a straight line in the flag: only covariates of three values or more bend.
        is_flag = np.array([len(np.unique(column[:1000])) <= 2 for column in linear.T], np.bool_)
        parts.append(_standardised(linear[:, ~is_flag] ** 2, is_kept))
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _unskewed(values: Floats, is_kept: Flags) -> Floats:
    """The columns, with log(1 + x/mean) in place of those that are never negative and have a long tail."""
    # The shape of a column shows in a sample.
    kept = values[is_kept]
    kept = kept[:: max(len(kept) // SAMPLE_SIZE, 1)]
    means, deviations = kept.mean(axis=0), kept.std(axis=0)
    centred = (kept - means) / np.where(deviations > 0, deviations, 1)
    is_long = (np.einsum("nk,nk,nk->k", centred, centred, centred) > MAX_SKEWNESS * len(kept)) & (
        values.min(axis=0, initial=0) >= 0
    )
    if not is_long.any():
        return values
    unskewed = values.copy()
    unskewed[:, is_long] = np.log1p(values[:, is_long] / means[is_long])
    return unskewed


def _standardised(values: Floats, is_kept: Flags) -> Floats:
    """The columns that vary among the kept, with mean 0 and deviation 1 there, cut at 10 deviations."""
    kept = values[is_kept]
    means, deviations = kept.mean(axis=0), kept.std(axis=0)
    varies = deviations > 1e-9 * (1 + np.abs(means))
    scaled: Floats = values[:, varies] - means[varies]
    scaled /= deviations[varies]
    np.clip(scaled, -10, 10, out=scaled)
    return scaled


def _shared_strata(is_exposed: Flags, strata: Ints | None) -> Flags:
    if strata is None:
        return np.ones(len(is_exposed), np.bool_)
    _, codes = np.unique(strata, return_inverse=True)
    exposed, unexposed = np.bincount(codes, is_exposed), np.bincount(codes, ~is_exposed)
    shared: Flags = ((exposed > 0) & (unexposed > 0))[codes]
    return shared


def _require_both(is_exposed: Flags, is_kept: Flags, where: str) -> None:
    for name, group in (("exposed", is_exposed), ("unexposed", ~is_exposed)):
        if not np.any(group & is_kept):
            raise InvalidInput(
                f"There is no {name} user {where}.", remedy="Widen the window or the selection."
            )


def _balance(
    covariates: Floats,
    values: Floats,
    names: tuple[str, ...],
    exposed: Flags,
    unexposed: Flags,
    weights: Floats,
) -> tuple[Balance, ...]:
    shares = weights / weights.sum()
    means = [
        covariates[exposed].mean(axis=0),
        covariates[unexposed].mean(axis=0),
        shares @ covariates[unexposed],
    ]
    ours, theirs = values[exposed], values[unexposed]
    deviations = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / 2)
    # A covariate that is constant in both groups is balanced, or as far apart as can be.
    centre = ours.mean(axis=0)
    scale = np.where(deviations > 0, deviations, np.where(centre == theirs.mean(axis=0), 1.0, 0.0))
    with np.errstate(divide="ignore"):
        apart = [(centre - theirs.mean(axis=0)) / scale, (centre - shares @ theirs) / scale]
    rows = np.stack([*means, *apart], axis=1).tolist()
    return tuple(Balance(name, *row) for name, row in zip(names, rows, strict=True))
