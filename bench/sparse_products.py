"""Ways to take the sparse products of a training step, in turns: on a busy machine their ratios count.

`python -m bench.sparse_products (--data DIR | --edges N) [--device cuda]` prints a JSON object of medians in
milliseconds. `to users` is the product of a train part's user-product block, with weights, and the products'
vectors, `to products` that of its transpose and the users'. `ours_gb_per_s` is what the platform's way moves:
indices, weights, a gathered row for each, and the output.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from bench.floor import run_seconds, work_of
from bench.fresh_process import give
from bench.step import add_graph, chosen_graph
from workers.training.data import Interactions
from workers.training.graph import Rowwise, incidence

NUM_REPETITIONS, NUM_QUICK_REPETITIONS = 30, 3
NUM_WARM_UPS = 2
DIMENSIONS = 128
MAX_SCATTERED_BYTES = 8e9
"""Gather and scatter hold a vector for each edge: with more than that they are left out."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    add_graph(options)
    options.add_argument("--dimensions", type=int, default=DIMENSIONS)
    options.add_argument("--device", type=torch.device, default="cpu")
    options.add_argument("--quick", action="store_true")
    chosen = options.parse_args()
    num = NUM_QUICK_REPETITIONS if chosen.quick else NUM_REPETITIONS
    data = chosen_graph(chosen)
    figures: dict[str, float] = {}
    for direction, matrix in blocks(data, chosen.device).items():
        ways, ours = sparse_products(matrix, chosen.dimensions), our_way(matrix)
        times = medians(ways, num, chosen.device)
        figures |= {f"{direction}, {way}_ms": 1000 * seconds for way, seconds in times.items()}
        figures |= {
            f"{direction}, {way} / {ours}": seconds / times[ours]
            for way, seconds in times.items()
            if way != ours
        }
        figures[f"{direction}, ours_gb_per_s"] = work_of(ways[ours]).sparse_bytes / times[ours] / 1e9
    give(figures)


def our_way(matrix: Rowwise) -> str:
    """The name of what the platform multiplies by."""
    if matrix.csr is not None:
        return "CSR"
    if matrix.roughly() is not matrix:
        return "in bfloat16"
    return "in bands" if matrix.bands else "embedding_bag"


def blocks(data: Interactions, device: torch.device) -> dict[str, Rowwise]:
    """The user-product block [U, P] and its transpose."""
    buys, shape = data.buys, (data.num_users, data.num_products)
    matrix = incidence(buys.sources, buys.targets, shape=shape, device=device)
    return {"to users": matrix.forward, "to products": matrix.backward}


def sparse_products(matrix: Rowwise, dimensions: int) -> dict[str, Callable[[], torch.Tensor]]:
    """Each way to multiply the matrix [R, C] with random vectors [C, dimensions], on its device."""
    device, num_rows = matrix.weights.device, len(matrix.starts) - 1
    shape = num_rows, matrix.num_columns
    dense = torch.randn(matrix.num_columns, dimensions, device=device)
    columns = matrix.columns.long()
    rows = torch.repeat_interleave(torch.arange(num_rows, device=device), matrix.starts.diff())
    indices = torch.stack([rows, columns])
    coalesced = torch.sparse_coo_tensor(
        indices, matrix.weights, shape, is_coalesced=True, check_invariants=False
    )
    edges = _edge_index_type()(indices, sparse_size=shape, sort_order="row")
    bags, csr = replace(matrix, csr=None, bands=()), replace(matrix, bands=()).with_csr()

    def scatter() -> torch.Tensor:
        messages = dense[columns] * matrix.weights[:, None]
        return dense.new_zeros(num_rows, dimensions).index_add_(0, rows, messages)

    ways = {
        "embedding_bag": lambda: bags.times(dense),
        "CSR": lambda: csr.times(dense),
        "PyG EdgeIndex": lambda: edges.matmul(dense, matrix.weights),
        "torch.sparse.mm": lambda: torch.sparse.mm(coalesced, dense),
        "gather and scatter": scatter,
    }
    if matrix.bands:
        ways["in bands"] = lambda: matrix.times(dense)
    if (rough := matrix.roughly()) is not matrix:
        ways["in bfloat16"] = lambda: rough.times(dense)
    if 2 * len(columns) * dimensions * dense.element_size() > MAX_SCATTERED_BYTES:
        del ways["gather and scatter"]
    return ways


def _edge_index_type() -> Any:
    """PyG's EdgeIndex, whose import and first product warn of what torch deprecates."""
    warnings.simplefilter("ignore")
    from torch_geometric import EdgeIndex

    return EdgeIndex


def medians(
    actions: Mapping[str, Callable[[], object]], num_repetitions: int, device: torch.device
) -> dict[str, float]:
    """Median seconds of each action; they take turns, so that a busy moment meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for repetition in range(num_repetitions + NUM_WARM_UPS):
        for name, action in actions.items():
            taken = run_seconds(action, device)
            if repetition >= NUM_WARM_UPS:
                seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
