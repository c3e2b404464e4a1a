"""Sparse products with fixed weights, and the normalised block of a bipartite graph.

On CPUs `F.embedding_bag` with per-sample weights is the product: PyG's EdgeIndex takes 1 to 3 times as
long, besides seconds of import, a CSR tensor 1 to 6 times, `torch.sparse.mm` 2 to 7 times, and gather and
scatter 20 to 35 times. On GPUs it is torch's CSR product (cuSPARSE), which divides long rows among
threads: `embedding_bag` gives a whole row to one, and takes 4 to 29 times as long at ten million edges,
where products have up to 130,000 buyers. `bench/training.py` measures both. cuSPARSE does not add in the
same order each time. Where there are many more columns than a cache holds vectors, CPUs take a band of them
at a time, and the steps of a training gather them in bfloat16.
"""

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from workers.training import processes

BAND_COLUMNS = 2**16
"""By measurement, with 192 numbers a row and 32 MB of last cache: 125,000 columns a band take .80 of the time
of all 500,000 at once, 62,500 take .63, and 31,250 take .62. In bfloat16 62,500 take .7 of 125,000."""
MIN_BAND_WEIGHTS = 8
"""Each band goes over the product once more, which fewer weights a row than these do not make up for."""
MIN_ROUGH_COLUMNS = 2**15
"""Of fewer columns the vectors stay in a cache, as float32 too."""


@dataclass(frozen=True, slots=True)
class Rowwise:
    """A constant matrix [R, C] by rows: row r has weights at columns, from starts[r] to starts[r + 1].

    `csr` or `bands` is the same once more, in the form that it is multiplied by.
    """

    starts: Tensor
    columns: Tensor
    weights: Tensor
    num_columns: int
    csr: Tensor | None = None
    bands: "tuple[Rowwise, ...]" = ()

    def with_csr(self) -> "Rowwise":
        """The same, to be multiplied as a CSR tensor over the same memory."""
        shape = len(self.starts) - 1, self.num_columns
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse")  # that it is in beta, and goes unchecked
            csr = torch.sparse_csr_tensor(
                self.starts, self.columns, self.weights, shape, check_invariants=False
            )
        return replace(self, csr=csr)

    def in_bands(self) -> "Rowwise":
        """The same, to be multiplied as a sum over bands of columns if that is quicker.

        The rows that are gathered for a band lie close together, and more of them are in the cache.
        """
        num_rows = len(self.starts) - 1
        num = math.ceil(self.num_columns / BAND_COLUMNS)
        num = min(num, len(self.columns) // (MIN_BAND_WEIGHTS * max(num_rows, 1)))
        if num < 2 or self.num_columns > 2 * BAND_COLUMNS * num:
            return self
        width = math.ceil(self.num_columns / num)
        rows = torch.repeat_interleave(torch.arange(num_rows), self.starts.diff())
        bands = []
        for start in range(0, self.num_columns, width):
            is_in = (self.columns >= start) & (self.columns < start + width)
            starts = _starts(rows[is_in], num_rows).to(self.starts.dtype)
            columns = min(width, self.num_columns - start)
            bands.append(Rowwise(starts, self.columns[is_in] - start, self.weights[is_in], columns))
        return replace(self, bands=tuple(bands))

    def roughly(self) -> "Rowwise":
        """The same, to be multiplied in bfloat16 if it has many columns: half of the bytes are gathered.

        Each weight and each number gathered is off by up to .2 %, and so is each sum, which a band takes in
        float32.
        """
        if self.num_columns < MIN_ROUGH_COLUMNS or not _gathers_bfloat16(self.weights.device):
            return self
        bands = tuple(replace(band, weights=band.weights.bfloat16()) for band in self.bands)
        return replace(self, weights=self.weights.bfloat16(), bands=bands)

    def times(self, dense: Tensor) -> Tensor:
        """The product [R, d] with dense [C, d], of its type, outside the autograd graph."""
        if not len(self.columns):
            return dense.new_zeros(len(self.starts) - 1, dense.shape[1])
        if self.csr is not None:
            return self.csr @ dense
        # By columns, as LAPACK gives them, it would take ten to forty times as long.
        table = dense.to(self.weights.dtype).contiguous()
        if not self.bands:
            return self._sums(table).to(dense.dtype)
        parts = torch.split(table, [band.num_columns for band in self.bands])
        product = self.bands[0]._sums(parts[0])
        for band, part in zip(self.bands[1:], parts[1:], strict=True):
            product.add_(band._sums(part))
        return product.to(dense.dtype)

    def _sums(self, table: Tensor) -> Tensor:
        return functional.embedding_bag(
            self.columns,
            table,
            self.starts,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )


@dataclass(frozen=True, slots=True)
class Chain:
    """The product of two constant matrices, [R, M] and [M, C], which is never made."""

    first: Rowwise
    second: Rowwise

    def roughly(self) -> "Chain":
        """The same, each matrix roughly."""
        return Chain(self.first.roughly(), self.second.roughly())

    def times(self, dense: Tensor) -> Tensor:
        """The product [R, d] with dense [C, d], outside the autograd graph."""
        return self.first.times(self.second.times(dense))


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

    def roughly(self) -> "SparseMatrix":
        """The same, to be multiplied in bfloat16 where that is much quicker; for the steps of a training."""
        return replace(self, forward=self.forward.roughly(), backward=self.backward.roughly())

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
    exponent: float = 0.5,
    shape: tuple[int, int],
    device: torch.device,
) -> SparseMatrix:
    """D_r^-e B D_c^-e of B with weights[E] > 0 at these distinct pairs, D_r and D_c the sums of its lines.

    Where several processes train, each brings its users' rows; the sums of columns are over all of them.
    With weights of 1 and e = ½ it is the user-product block of LightGCN's Â (He et al. 2020, eq. 7).
    """
    row_sums = np.bincount(rows, weights, minlength=shape[0])
    column_sums = processes.total(torch.from_numpy(np.bincount(columns, weights, minlength=shape[1]))).numpy()
    values = weights / (row_sums[rows] * column_sums[columns]) ** exponent
    return SparseMatrix.from_pairs(rows, columns, values, shape=shape, device=device)


def _rowwise(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    weights: NDArray[np.floating],
    shape: tuple[int, int],
    device: torch.device,
) -> Rowwise:
    row_of, column_of = (torch.from_numpy(ends).to(device) for ends in (rows, columns))
    order = torch.argsort(row_of * shape[1] + column_of)
    # 32-bit indices halve what the product reads beside the vectors.
    index_type = torch.int32 if max(len(rows), *shape) < 2**31 else torch.int64
    starts = _starts(row_of, shape[0]).to(index_type)
    in_order = column_of[order].to(index_type), torch.from_numpy(weights.astype(np.float32)).to(device)[order]
    matrix = Rowwise(starts, *in_order, shape[1])
    return matrix.with_csr() if starts.is_cuda else matrix.in_bands()


def _starts(row_of: Tensor, num_rows: int) -> Tensor:
    """Where each row's entries begin, and where the last one's end, [R + 1], among entries in row order."""
    return functional.pad(torch.bincount(row_of, minlength=num_rows).cumsum(0), (1, 0))


def _gathers_bfloat16(device: torch.device) -> bool:
    """Whether torch has a product of its own for it: elsewhere it is slower than in float32."""
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx2", False))
