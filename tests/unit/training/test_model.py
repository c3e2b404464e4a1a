"""The spectral start and the graph it is made of."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tests.unit.training.markets import interactions
from workers.training.data import distinct_pairs
from workers.training.graph import SparseMatrix
from workers.training.model import CosineGCN, spectral_start
from workers.training.optimisation import interest_graph

CPU = torch.device("cpu")


def test_the_start_lies_along_the_greatest_singular_vectors() -> None:
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(n, 4)))[0] for n in (60, 40))
    dense = (left * [1.0, 0.9, 0.8, 0.7]) @ right.T + 0.001 * rng.normal(size=(60, 40))
    rows, columns = np.nonzero(dense)
    adjacency = SparseMatrix.from_pairs(rows, columns, dense[rows, columns], shape=dense.shape, device=CPU)
    users, products = (
        part.numpy()
        for part in spectral_start(
            adjacency, (60, 40), dimensions=4, std=100.0, generator=torch.Generator().manual_seed(0)
        )
    )
    # Noise of the same size comes on top, in all directions alike: the first four carry far more than it.
    for rows_of, basis in ((users, left), (products, right)):
        assert np.square(basis.T @ rows_of).sum() > 0.5 * np.square(rows_of).sum()
    scores, expected = users @ products.T, dense
    assert np.corrcoef(scores.ravel(), expected.ravel())[0, 1] > 0.5


def test_the_start_of_a_graph_with_fewer_nodes_than_dimensions_is_finite() -> None:
    data = interactions([(0, 0), (1, 0)], num_users=3, num_products=2)
    adjacency = interest_graph(data, view_edge=0.3, exponent=0.5, device=CPU)
    starts = spectral_start(
        adjacency, (3, 2), dimensions=16, std=0.1, generator=torch.Generator().manual_seed(0)
    )
    assert [tuple(start.shape) for start in starts] == [(3, 16), (2, 16)]
    assert all(bool(start.isfinite().all()) for start in starts)


def test_a_view_without_a_purchase_is_a_lighter_edge() -> None:
    data = interactions([(0, 0), (1, 0)], num_users=2, num_products=2)
    with_views = replace(data, viewed=distinct_pairs(np.array([0, 1]), np.array([0, 1])))
    weights = torch.tensor([[1.0, 0.0], [1.0, 0.25]])
    expected = weights / (weights.sum(1, keepdim=True) * weights.sum(0)).sqrt()
    graph = interest_graph(with_views, view_edge=0.25, exponent=0.5, device=CPU)
    torch.testing.assert_close(graph @ torch.eye(2), expected)
    assert len(interest_graph(with_views, view_edge=0, exponent=0.5, device=CPU).forward.columns) == len(
        data.buys
    )


def descend(vectors: Iterable[Tensor], weights: Iterable[Tensor]) -> None:
    """Gradients of the vectors' sum with these weights."""
    parts = [(rows * weight).sum() for rows, weight in zip(vectors, weights, strict=True)]
    torch.stack(parts).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated


def test_the_vectors_and_their_gradients_equal_those_of_plain_layers() -> None:
    data = interactions([(0, 0), (0, 1), (1, 1), (2, 0), (2, 2)], num_users=4, num_products=3)
    adjacency = interest_graph(data, view_edge=0, exponent=0.5, device=CPU)
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(num, 5, generator=generator) for num in (4, 3, 2)]
    weights = [torch.randn(num, 5, generator=generator) for num in (4, 3, 2)]
    model = CosineGCN(*starts, layer_weights=(0.1, 0.2, 0.3))
    descend(model(adjacency), weights)

    dense = adjacency @ torch.eye(3)
    users, products, streamers = plain = [start.clone().requires_grad_() for start in starts]
    sums = [0.1 * with_unit_rows(users), 0.1 * with_unit_rows(products)]
    for weight in (0.2, 0.3):
        users, products = dense @ products, dense.T @ users
        sums = [sums[0] + weight * with_unit_rows(users), sums[1] + weight * with_unit_rows(products)]
    expected = [functional.normalize(rows, dim=1) for rows in (*sums, streamers)]
    descend(expected, weights)
    for vectors, rows in zip(model(adjacency), expected, strict=True):
        torch.testing.assert_close(vectors, rows)
    for parameter, start in zip((model.users, model.products, model.streamers), plain, strict=True):
        torch.testing.assert_close(parameter.grad, start.grad)


def with_unit_rows(rows: Tensor) -> Tensor:
    """The lengths are constants to the gradient; a row of zeros stays one."""
    unit: Tensor = rows / torch.linalg.vector_norm(rows.detach(), dim=1, keepdim=True).clamp(min=1e-12)
    return unit


def test_layers_weigh_the_same_however_large_the_singular_values_are() -> None:
    data = interactions([(0, 0), (0, 1), (1, 1), (2, 0), (2, 2)], num_users=3, num_products=3)
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(3, 5, generator=generator) for _ in range(3)]
    model = CosineGCN(*starts, layer_weights=(0.1, 0.2, 0.3))
    entries = data.buys.sources, data.buys.targets
    once, tenfold = (
        SparseMatrix.from_pairs(*entries, np.full(len(data.buys), weight), shape=(3, 3), device=CPU)
        for weight in (1.0, 10.0)
    )
    for vectors, others in zip(model(once), model(tenfold), strict=True):
        torch.testing.assert_close(vectors, others)
