"""Sparse products against dense ones."""

import numpy as np
import pytest
import torch

from workers.training import graph
from workers.training.graph import SparseMatrix, incidence, normalised

CPU = torch.device("cpu")


def random_matrix() -> tuple[SparseMatrix, torch.Tensor]:
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(7, 5)) * (rng.random((7, 5)) < 0.4)
    dense[3] = 0
    rows, columns = np.nonzero(dense)
    order = rng.permutation(len(rows))
    rows, columns = rows[order], columns[order]
    sparse = SparseMatrix.from_pairs(rows, columns, dense[rows, columns], shape=(7, 5), device=CPU)
    return sparse, torch.from_numpy(dense).float()


def test_the_sparse_product_equals_the_dense_one() -> None:
    sparse, dense = random_matrix()
    right, left = torch.randn(5, 4), torch.randn(7, 4)
    torch.testing.assert_close(sparse @ right, dense @ right)
    torch.testing.assert_close(sparse.transposed @ left, dense.T @ left)


def test_the_product_that_gpus_take_equals_the_dense_one() -> None:
    sparse, dense = random_matrix()
    right = torch.randn(5, 4)
    torch.testing.assert_close(sparse.forward.with_csr().times(right), dense @ right)


def test_a_product_taken_in_bands_of_columns_equals_the_dense_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "BAND_COLUMNS", 2)
    monkeypatch.setattr(graph, "MIN_BAND_WEIGHTS", 1)
    rng = np.random.default_rng(1)
    dense = rng.normal(size=(4, 9)) * (rng.random((4, 9)) < 0.7)
    dense[:, 3:6] = 0
    dense[2] = 0
    rows, columns = np.nonzero(dense)
    entries = rows, columns, dense[rows, columns]
    sparse = SparseMatrix.from_pairs(*entries, shape=(4, 9), device=CPU)
    assert [band.num_columns for band in sparse.forward.bands] == [3, 3, 3]
    right = torch.randn(9, 3)
    for each in (right, right.T.contiguous().T):
        torch.testing.assert_close(sparse @ each, torch.from_numpy(dense).float() @ right)
    left = torch.randn(4, 3)
    torch.testing.assert_close(sparse.transposed @ left, torch.from_numpy(dense).float().T @ left)
    # For so few weights a row, more passes over the product are not worth it.
    monkeypatch.setattr(graph, "MIN_BAND_WEIGHTS", 8)
    assert not SparseMatrix.from_pairs(*entries, shape=(4, 9), device=CPU).forward.bands


@pytest.mark.parametrize("band_columns", [2, graph.BAND_COLUMNS])
def test_of_many_columns_bfloat16_is_gathered_for_steps_alone(
    monkeypatch: pytest.MonkeyPatch, band_columns: int
) -> None:
    monkeypatch.setattr(graph, "BAND_COLUMNS", band_columns)
    monkeypatch.setattr(graph, "MIN_BAND_WEIGHTS", 1)
    sparse, dense = random_matrix()
    # 1 + 2⁻⁹ is no number of bfloat16: it is taken for 1.
    right, left = torch.full((5, 4), 1 + 2**-9), torch.full((7, 4), 1 + 2**-9)
    assert sparse.roughly().forward is sparse.forward, "few columns stay as they are"
    monkeypatch.setattr(graph, "MIN_ROUGH_COLUMNS", 3)
    rough = sparse.roughly()
    assert bool(rough.forward.bands) == (band_columns == 2)
    for product, exact in (
        (rough @ right, dense @ torch.ones(5, 4)),
        (rough.transposed @ left, dense.T @ torch.ones(7, 4)),
    ):
        assert product.dtype == torch.float32
        torch.testing.assert_close(product, exact, rtol=2**-7, atol=2**-7)
    ones = incidence(*np.nonzero(dense.numpy()), shape=(7, 5), device=CPU)
    assert torch.equal(ones.roughly() @ right, (dense != 0).float() @ torch.ones(5, 4))
    torch.testing.assert_close(ones @ right, (dense != 0).float() @ right)


def test_its_gradient_equals_the_dense_one() -> None:
    sparse, dense = random_matrix()
    right = torch.randn(5, 4, requires_grad=True)
    weights = torch.randn(7, 4)
    (by_sparse,) = torch.autograd.grad(((sparse @ right) * weights).sum(), right)
    (by_dense,) = torch.autograd.grad(((dense @ right) * weights).sum(), right)
    torch.testing.assert_close(by_sparse, by_dense)


def test_a_matrix_without_entries_gives_zeros() -> None:
    nothing = np.empty(0, np.int64)
    sparse = SparseMatrix.from_pairs(nothing, nothing, nothing.astype(float), shape=(3, 2), device=CPU)
    assert torch.equal(sparse @ torch.randn(2, 4), torch.zeros(3, 4))


def test_the_adjacency_is_normalised_by_the_sums_of_its_lines() -> None:
    users, products = np.array([0, 0, 1]), np.array([0, 1, 1])
    weights = np.array([1.0, 1.0, 0.5])
    adjacency = normalised(users, products, weights, shape=(2, 2), device=CPU) @ torch.eye(2)
    expected = torch.tensor([[1 / 2**0.5, 1 / 3**0.5], [0.0, 0.5 / 0.75**0.5]])
    torch.testing.assert_close(adjacency, expected)
    flatter = normalised(users, products, weights, exponent=0.25, shape=(2, 2), device=CPU) @ torch.eye(2)
    torch.testing.assert_close(flatter, torch.tensor([[1, 1], [0, 0.5]]).sqrt() * expected.sqrt())
