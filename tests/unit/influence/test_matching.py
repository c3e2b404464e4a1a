"""Propensities against scikit-learn's, and the weights, overlap and balance that come of them."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from lsec.influence.matching import Comparable, comparable_users, fit_logistic, logistic


def exposed_by(scores: NDArray[np.float64], seed: int) -> NDArray[np.bool_]:
    exposed: NDArray[np.bool_] = np.random.default_rng(seed).random(len(scores)) < logistic(scores)
    return exposed


def matched(
    is_exposed: NDArray[np.bool_], covariates: NDArray[np.float64], strata: NDArray[np.int64] | None = None
) -> Comparable:
    names = tuple(f"x{k}" for k in range(covariates.shape[1]))
    return comparable_users(is_exposed, covariates, names=names, strata=strata, max_propensity=0.95)


@pytest.mark.parametrize("num", [300, 50_000])
def test_the_fit_equals_scikit_learns_with_the_same_prior(num: int) -> None:
    values = np.random.default_rng(0).normal(size=(num, 3))
    is_one = exposed_by(values @ np.array([1.0, -0.5, 0.2]) - 1, 1)
    ours = fit_logistic(np.column_stack([np.ones(num), values]), is_one)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(values, is_one)
    np.testing.assert_allclose(ours, [*theirs.intercept_, *theirs.coef_[0]], atol=1e-4)


def test_a_fit_ends_also_when_a_column_separates_the_groups() -> None:
    is_one = np.arange(100) < 50
    columns = np.column_stack([np.ones(100), np.where(is_one, 1.0, -1.0)])
    coefficients = fit_logistic(columns, is_one)
    assert np.all(np.isfinite(coefficients))
    assert np.all((logistic(columns @ coefficients) > 0.5) == is_one)


def test_probabilities_of_extreme_scores_are_finite() -> None:
    assert logistic(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_weighted_unexposed_users_are_like_the_exposed_ones() -> None:
    rng = np.random.default_rng(2)
    covariates = rng.normal(size=(5000, 3))
    covariates[:, 2] = np.exp(covariates[:, 2])
    is_exposed = exposed_by(covariates[:, 0] - 0.5 * covariates[:, 1] + np.log(covariates[:, 2]) - 1, 3)
    found = matched(is_exposed, covariates)
    assert max(abs(row.difference_before) for row in found.balance) > 0.4
    assert max(abs(row.difference_after) for row in found.balance) < 0.1
    unexposed = found.is_kept & ~is_exposed
    weights = found.weights[unexposed]
    assert weights.sum() == pytest.approx(np.sum(found.is_kept & is_exposed))
    assert found.effective_unexposed == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert found.balance[0].weighted == pytest.approx(np.average(covariates[unexposed, 0], weights=weights))
    assert np.all(found.weights[~found.is_kept] == 0)


def test_the_exposed_whom_nobody_unexposed_is_like_are_left_out() -> None:
    rng = np.random.default_rng(4)
    covariates = rng.normal(size=(2000, 1))
    is_exposed = exposed_by(covariates[:, 0] - 1, 5)
    covariates[:30], is_exposed[:30] = 9.0, True
    found = matched(is_exposed, covariates)
    assert not found.is_kept[:30].any()
    assert found.is_kept[30:].mean() > 0.97


def test_a_stratum_that_lacks_a_group_is_left_out() -> None:
    rng = np.random.default_rng(6)
    strata = rng.integers(0, 4, 2000)
    is_exposed = rng.random(2000) < np.array([0.3, 0.5, 0.0, 1.0])[strata]
    found = matched(is_exposed, rng.normal(size=(2000, 1)), strata)
    assert not found.is_kept[strata >= 2].any()
    assert found.is_kept[strata < 2].mean() > 0.99
    for stratum in (0, 1):
        exposed, unexposed = is_exposed & (strata == stratum), ~is_exposed & (strata == stratum)
        assert found.weights[unexposed].sum() == pytest.approx(exposed.sum(), rel=0.02)


def test_a_flag_is_matched_on_like_any_covariate() -> None:
    rng = np.random.default_rng(7)
    flag = (rng.random(4000) < 0.1).astype(np.float64)
    is_exposed = exposed_by(2 * flag - 2, 8)
    found = matched(is_exposed, flag[:, None])
    assert found.columns.shape[1] == 2
    assert abs(found.balance[0].difference_after) < 0.02
