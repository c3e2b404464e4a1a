"""Sparse products with fixed weights, and the normalised block of a bipartite graph.

`F.embedding_bag` with per-sample weights is the product. On CPUs PyG's LGConv on an EdgeIndex takes 1.2 to
1.4 times as long, besides seconds of import, `torch.sparse.mm` 2.5 to 3 times, and gather and scatter 10 to
30 times (`bench/training.py` measures it). On GPUs it sums in the same order each time, takes 32-bit indices,
and multiplies them in 64 bits.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from workers.training import processes


@dataclass(frozen=True, slots=True)
class Rowwise:
    """A constant matrix [R, C] by rows: row r has weights at columns, from starts[r] to starts[r + 1]."""

    starts: Tensor
    columns: Tensor
    weights: Tensor
    num_columns: int

    def times(self, dense: Tensor) -> Tensor:
        """The product [R, d] with dense [C, d], outside the autograd graph."""
        if not len(self.columns):
            return dense.new_zeros(len(self.starts) - 1, dense.shape[1])
        return functional.embedding_bag(
            self.columns,
            dense,
            self.starts,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )


@dataclass(frozen=True, slots=True)
class SparseMatrix:
    """A constant matrix [R, C] and its transpose, which the gradient needs.

    Where several processes train, each has the rows of its users. A product of the transpose is then only
    this process's part of a sum, which is taken.
    """

    forward: Rowwise
    backward: Rowwise
    is_part_of_sum: bool = False

    @classmethod
    def from_pairs(
        cls,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        weights: NDArray[np.floating],
        *,
        shape: tuple[int, int],
        device: torch.device,
    ) -> Self:
        """The matrix with weights[E] at (rows[E], columns[E])."""
        return cls(
            _rowwise(rows, columns, weights, shape, device),
            _rowwise(columns, rows, weights, shape[::-1], device),
        )

    @property
    def transposed(self) -> "SparseMatrix":
        """The transpose [C, R]; nothing is copied."""
        return SparseMatrix(self.backward, self.forward, not self.is_part_of_sum)

    def __matmul__(self, dense: Tensor) -> Tensor:
        """The product [R, d] with dense [C, d]; the gradient reaches dense only."""
        product: Tensor = _SparseProduct.apply(dense, self.forward, self.backward)
        return processes.total(product) if self.is_part_of_sum else product


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: Rowwise, transpose: Rowwise) -> Tensor:
        ctx.transpose = transpose
        return matrix.times(dense)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transpose.times(gradients[0].contiguous()), None, None


def incidence(
    rows: NDArray[np.int64], columns: NDArray[np.int64], *, shape: tuple[int, int], device: torch.device
) -> SparseMatrix:
    """The 0/1 matrix of these distinct pairs."""
    return SparseMatrix.from_pairs(rows, columns, np.ones(len(rows)), shape=shape, device=device)


def normalised(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: NDArray[np.floating],
    *,
    shape: tuple[int, int],
    device: torch.device,
) -> SparseMatrix:
    """D_r^-½ B D_c^-½ of B with weights[E] > 0 at these distinct pairs, D_r and D_c the sums of its lines.

    Where several processes train, each brings its users' rows; the sums of columns are over all of them.
    With weights of 1 it is the user-product block of LightGCN's Â (He et al. 2020, eq. 7).
    """
    row_sums = np.bincount(rows, weights, minlength=shape[0])
    column_sums = processes.total(torch.from_numpy(np.bincount(columns, weights, minlength=shape[1]))).numpy()
    values = weights / np.sqrt(row_sums[rows] * column_sums[columns])
    return SparseMatrix.from_pairs(rows, columns, values, shape=shape, device=device)


def _rowwise(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: NDArray[np.floating],
    shape: tuple[int, int],
    device: torch.device,
) -> Rowwise:
    order = np.lexsort((columns, rows))
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
    # 32-bit indices halve what the product reads beside the vectors.
    index_type = np.int32 if max(len(rows), *shape) < 2**31 else np.int64
    return Rowwise(
        torch.from_numpy(starts.astype(index_type)).to(device),
        torch.from_numpy(columns[order].astype(index_type)).to(device),
        torch.from_numpy(weights[order].astype(np.float32)).to(device),
        shape[1],
    )
