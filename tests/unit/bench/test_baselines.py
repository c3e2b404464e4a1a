"""Each plain baseline against a plain computation on a tiny matrix."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from implicit.nearest_neighbours import CosineRecommender
from numpy.typing import NDArray

from bench import baselines
from bench.baselines import BASELINES, baselines_for
from lsec.core.metrics import candidate_lists
from tests.unit.training.markets import interactions
from workers.training.data import Interactions
from workers.training.ranking import Ranker, top_products

NUM_USERS, NUM_PRODUCTS = 12, 9
NEIGHBOURLY = sorted(set(BASELINES) - {"svd"})
"""An SVD with as many vectors as a tiny matrix has gives back that matrix."""
Scores = NDArray[np.float64]


def random_matrix() -> Scores:
    """Purchases of most users; nobody buys the last product, and the last user buys nothing."""
    bought = (np.random.default_rng(3).random((NUM_USERS, NUM_PRODUCTS)) < 0.4).astype(np.float64)
    bought[:, -1] = 0
    bought[-1] = 0
    return bought


def data_of(bought: Scores) -> Interactions:
    rows, columns = np.nonzero(bought)
    pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    return interactions(pairs, num_users=bought.shape[0], num_products=bought.shape[1])


def scores_of(ranker: Ranker) -> Scores:
    return ranker.all_products(torch.arange(ranker.num_users)).numpy().astype(np.float64)


def power(degrees: Scores, exponent: float) -> Scores:
    """The diagonal matrix of degrees to a power, in which nothing bought counts as one."""
    return np.diag(np.maximum(degrees, 1) ** exponent)


def test_item_knn_sums_the_cosines_with_all_that_a_user_bought() -> None:
    bought = random_matrix()
    scores = scores_of(baselines.item_knn(data_of(bought)))
    for user in range(NUM_USERS):
        for product in range(NUM_PRODUCTS - 1):
            expected = sum(
                bought[:, product]
                @ bought[:, other]
                / np.sqrt(bought[:, product].sum() * bought[:, other].sum())
                for other in np.flatnonzero(bought[user])
            )
            assert scores[user, product] == pytest.approx(expected, abs=1e-5)
    assert not scores[:, -1].any()


# The library's own normalisation hands its own fit a matrix in another format.
@pytest.mark.filterwarnings("ignore::implicit.utils.ParameterWarning")
def test_item_knn_equals_the_library_with_all_neighbours() -> None:
    bought = random_matrix()[:-1, :-1]
    library = CosineRecommender(K=bought.shape[1], num_threads=1)
    library.fit(sp.csr_matrix(bought), show_progress=False)
    expected = sp.csr_matrix(bought) @ library.similarity
    assert np.allclose(scores_of(baselines.item_knn(data_of(bought))), expected.toarray(), atol=1e-5)


def test_gf_cf_is_two_steps_in_the_graph_and_a_low_pass_filter() -> None:
    bought = random_matrix()
    graph = power(bought.sum(axis=1), -0.5) @ bought @ power(bought.sum(axis=0), -0.35)
    vectors = np.linalg.svd(graph)[2][:3].T
    smooth = graph @ vectors @ vectors.T @ power(bought.sum(axis=0), 0.25)
    expected = graph @ graph.T @ graph + 0.7 * smooth
    scores = scores_of(baselines.gf_cf(data_of(bought), dimensions=3, alpha=0.7))
    assert np.allclose(scores, expected, atol=1e-5)


def test_svd_rebuilds_the_normalised_purchases_from_few_vectors() -> None:
    bought = random_matrix()
    of_users, of_products = bought.sum(axis=1), bought.sum(axis=0)
    users, values, products = np.linalg.svd(power(of_users, -0.5) @ bought @ power(of_products, -0.5))
    expected = users[:, :3] * values[:3] @ products[:3] @ power(of_products, 0.5)
    assert np.allclose(scores_of(baselines.svd(data_of(bought), dimensions=3)), expected, atol=1e-5)


def test_ease_is_the_ridge_regression_of_each_product_on_the_others() -> None:
    bought = random_matrix()
    scores = scores_of(baselines.ease(data_of(bought), regularization=2.0))
    for product in range(NUM_PRODUCTS):
        others = np.delete(bought, product, axis=1)
        gram = others.T @ others + 2.0 * np.eye(NUM_PRODUCTS - 1)
        weights = np.linalg.solve(gram, others.T @ bought[:, product])
        assert np.allclose(scores[:, product], others @ weights, atol=1e-5)


def test_als_ends_with_the_weighted_least_squares_of_each_product() -> None:
    """The last thing that it does is to solve for the products; two dimensions take two steps to be exact."""
    bought = random_matrix()
    ranker = baselines.als(data_of(bought), dimensions=2, alpha=10.0, regularization=0.1)
    users = ranker.users.numpy().astype(np.float64)
    for product in range(NUM_PRODUCTS):
        weights = np.where(bought[:, product] > 0, 10.0, 1.0)
        gram = users.T * weights @ users + 0.1 * np.eye(2)
        expected = np.linalg.solve(gram, users.T * weights @ bought[:, product])
        assert np.allclose(ranker.products[product], expected, atol=1e-3)


def test_popularity_ranks_by_purchases_alike_for_everybody() -> None:
    bought = random_matrix()
    scores = scores_of(BASELINES["popularity"](data_of(bought)))
    assert (scores == scores[0]).all()
    purchases = bought.sum(axis=0)[np.argsort(-scores[0])]
    assert (np.diff(purchases) <= 0).all()


@pytest.mark.parametrize("name", BASELINES)
def test_candidates_get_the_scores_of_the_full_ranking(name: str) -> None:
    ranker = BASELINES[name](data_of(random_matrix()))
    assert (ranker.num_users, ranker.num_products) == (NUM_USERS, NUM_PRODUCTS)
    users, products = (grid.ravel() for grid in np.indices((NUM_USERS, NUM_PRODUCTS)))
    kept = np.random.default_rng(0).random(len(users)) < 0.7
    lists = candidate_lists(users[kept], products[kept], products[kept] % 2 == 0)
    scores = ranker.candidates(lists)
    expected = scores_of(ranker)[lists.users[:, None], lists.products]
    assert np.allclose(scores[lists.is_valid], expected[lists.is_valid], atol=1e-5)


@pytest.mark.parametrize(("name", "finds_it"), [(name, name != "popularity") for name in NEIGHBOURLY])
def test_a_baseline_recommends_the_one_product_of_a_taste_that_is_missing(name: str, finds_it: bool) -> None:
    """Even products by even users, odd ones by odd."""
    bought = (np.indices((20, 8)).sum(axis=0) % 2 == 0).astype(np.float64)
    bought[0, 0] = 0
    data = data_of(bought)
    top, _ = top_products(BASELINES[name](data), np.array([0]), data.buys, k=1)
    assert (top[0, 0] == 0) == finds_it


def test_ease_is_left_out_where_its_inverse_would_not_fit() -> None:
    many = interactions([(0, 0)], num_users=2, num_products=baselines.MAX_EASE_PRODUCTS + 1)
    assert set(BASELINES) - set(baselines_for(many)) == {"ease"}
    assert set(baselines_for(data_of(random_matrix()))) == set(BASELINES)
    with pytest.raises(ValueError, match="6,001 products"):
        baselines.ease(many)
