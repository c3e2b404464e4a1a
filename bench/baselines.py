"""Plain recommenders that a model has to beat, over the same purchases and with one setting for all data.

X[U, P] has a 1 where a user bought a product; D_u and D_i are the numbers of purchases of users and products.

    popularity  a product's purchases, the same for everybody
    item-knn    sum of the cosines, over users, of the product with all that the user bought
    svd         X̃ V V' D_i^½ with X̃ = D_u^-½ X D_i^-½ and its 64 first singular vectors V
    gf-cf       Y Y'Y + α Y V V' D_i^¼ with Y = D_u^-½ X D_i^-.35, and V of Y
    als         implicit alternating least squares, by the `implicit` library
    ease        X B, B the ridge regression of each product on all others, by a dense inverse: small data only

A product counts as its own neighbour, which shows only in the scores of what the user has already bought.
Sources: Sarwar et al. 2001 (item-knn); Hu, Koren and Volinsky 2008 (als); Shen et al. 2021 (gf-cf, there with
exponents of a half); Steck 2019 (ease).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types
from torch import Tensor

from lsec.core.artifact import Scoring
from lsec.core.metrics import CandidateLists
from workers.training.data import Interactions
from workers.training.evaluation import popularity_scorer
from workers.training.ranking import Ranker, Scorer

CPU = torch.device("cpu")
LISTS_PER_CHUNK = 256
MAX_EASE_PRODUCTS = 6000
"""Its inverse takes some P³ operations and three matrices of P² doubles: 900 MB at this size."""

Matrix = Any
"""A sparse matrix of scipy, which has no types, or a dense one of numpy."""


@dataclass(frozen=True, slots=True)
class ProductsRanker:
    """s(u, i) = Σ over the terms of row u of their first matrix times all of their others, at column i."""

    terms: tuple[tuple[Matrix, ...], ...]
    scoring: Scoring = "mlp"  # these scores come of no vectors that serving could use

    @property
    def device(self) -> torch.device:
        return CPU

    @property
    def num_users(self) -> int:
        return int(self.terms[0][0].shape[0])

    @property
    def num_products(self) -> int:
        return int(self.terms[0][-1].shape[1])

    def all_products(self, users: Tensor) -> Tensor:
        """Scores [n, P] of these user rows [n]."""
        return torch.from_numpy(self._scores(users.numpy()))

    def candidates(self, lists: CandidateLists) -> NDArray[np.float32]:
        """Scores [L, C] of the lists' candidates; pads get any number."""
        scores = np.empty(lists.products.shape, np.float32)
        for start in range(0, len(lists), LISTS_PER_CHUNK):
            rows = slice(start, start + LISTS_PER_CHUNK)
            products = lists.products[rows].clip(min=0)
            scores[rows] = np.take_along_axis(self._scores(lists.users[rows]), products, axis=1)
        return scores

    def _scores(self, users: NDArray[np.int64]) -> NDArray[np.float32]:
        total = np.zeros((len(users), self.num_products), np.float32)
        for first, *others in self.terms:
            product = first[users]
            for matrix in others:
                product = product @ matrix
            total += product.toarray() if sp.issparse(product) else product
        return total


def item_knn(data: Interactions) -> ProductsRanker:
    """All products are neighbours: fewer of them rank worse on sparse data.

    The library's `CosineRecommender` gives the same, but sets room for P² neighbours aside.
    """
    bought = purchases(data)
    columns = scaled(bought, 0, 0.5)
    return ProductsRanker(((bought, columns.T.tocsr(), columns),))


def svd(data: Interactions, *, dimensions: int = 64) -> ProductsRanker:
    """The purchases, normalised on both sides, rebuilt from their first singular vectors."""
    users, products = singular_vectors(scaled(purchases(data), 0.5, 0.5), dimensions)
    return ProductsRanker(((users, products * degrees(data.buys.targets, data.num_products) ** 0.5),))


def gf_cf(data: Interactions, *, dimensions: int = 64, alpha: float = 1.0) -> ProductsRanker:
    """Neighbours two steps away in the graph, and a low-pass filter of it.

    These two are the best on average of the val parts of a dense set and a sparse one; by themselves the
    dense one takes an alpha of .3, the sparse one 32 dimensions.
    """
    graph = scaled(purchases(data), 0.5, 0.35)
    users, products = singular_vectors(graph, dimensions)
    smooth = products * degrees(data.buys.targets, data.num_products) ** 0.25
    return ProductsRanker(((graph, graph.T.tocsr(), graph), (alpha * users, smooth)))


def als(
    data: Interactions, *, dimensions: int = 64, alpha: float = 10.0, regularization: float = 0.1
) -> Scorer:
    """Least squares of X, in which a purchase weighs alpha and anything else 1.

    The library's own alpha of 1 is much worse on sparse data.
    """
    with threadpool_limits(1, "blas"):  # the library asks for this, and warns otherwise
        model = AlternatingLeastSquares(
            factors=dimensions, alpha=alpha, regularization=regularization, num_threads=1, random_state=0
        )
        model.fit(purchases(data), show_progress=False)
    users, products = torch.from_numpy(model.user_factors), torch.from_numpy(model.item_factors)
    return Scorer(users, products, torch.zeros(data.num_products), 1.0, "inner_product")


def ease(data: Interactions, *, regularization: float = 100.0) -> ProductsRanker:
    """The closed form of a linear autoencoder without self-loops; ValueError with too many products."""
    if data.num_products > MAX_EASE_PRODUCTS:
        raise ValueError(f"EASE inverts a dense matrix of {data.num_products:,} products")
    bought = purchases(data)
    gram = (bought.T @ bought).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularization
    precision = np.linalg.inv(gram)
    weights = -precision / np.diag(precision)
    np.fill_diagonal(weights, 0)
    return ProductsRanker(((bought, weights.astype(np.float32)),))


BASELINES: Mapping[str, Callable[[Interactions], Ranker]] = {
    "popularity": popularity_scorer,
    "item-knn": item_knn,
    "svd": svd,
    "gf-cf": gf_cf,
    "als": als,
    "ease": ease,
}


def baselines_for(data: Interactions) -> dict[str, Callable[[], Ranker]]:
    """What makes each baseline that this much data allows, by name."""
    return {
        name: partial(make, data)
        for name, make in BASELINES.items()
        if name != "ease" or data.num_products <= MAX_EASE_PRODUCTS
    }


def purchases(data: Interactions) -> Matrix:
    """X[U, P], sparse by rows."""
    buys = data.buys
    ones = np.ones(len(buys), np.float32)
    return sp.csr_matrix((ones, (buys.sources, buys.targets)), shape=(data.num_users, data.num_products))


def degrees(rows: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """How often each of so many rows is there, and 1 for one that is not, so that it can be divided by."""
    return np.maximum(np.bincount(rows, minlength=size), 1).astype(np.float32)


def scaled(bought: Matrix, of_users: float, of_products: float) -> Matrix:
    """D_u^-of_users X D_i^-of_products of X = bought."""
    entries = bought.tocoo()
    users, products = degrees(entries.row, bought.shape[0]), degrees(entries.col, bought.shape[1])
    values = entries.data * users[entries.row] ** -of_users * products[entries.col] ** -of_products
    return sp.csr_matrix((values, (entries.row, entries.col)), shape=bought.shape)


def singular_vectors(matrix: Matrix, dimensions: int) -> tuple[Matrix, Matrix]:
    """The matrix times its first right singular vectors, [U, k], and those as rows, [k, P]."""
    users, values, products = svds(matrix, k=min(dimensions, min(matrix.shape) - 1), rng=0)
    return users * values, products
