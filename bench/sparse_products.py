"""Ways to take the sparse product of a training step, in turns: only their ratios carry over.

`python -m bench.sparse_products --data DIR` prints a JSON object of medians in milliseconds. The product is
of the train part's user-product block, with weights, and the products' vectors.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.fresh_process import give
from bench.layout import read_set
from workers.training.data import Interactions
from workers.training.graph import incidence

NUM_REPETITIONS, NUM_QUICK_REPETITIONS = 30, 3
NUM_WARM_UPS = 2
DIMENSIONS = 128
CPU = torch.device("cpu")
OURS = "embedding_bag"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True, metavar="DIR")
    options.add_argument("--quick", action="store_true")
    chosen = options.parse_args()
    num = NUM_QUICK_REPETITIONS if chosen.quick else NUM_REPETITIONS
    times = medians(sparse_products(read_set(chosen.data).train, DIMENSIONS), num)
    figures = {f"{name}_ms": 1000 * seconds for name, seconds in times.items()}
    ratios = {f"{name} / {OURS}": seconds / times[OURS] for name, seconds in times.items() if name != OURS}
    give(figures | ratios)


def sparse_products(data: Interactions, dimensions: int) -> dict[str, Callable[[], torch.Tensor]]:
    """Each way to multiply the user-product block [U, P] with random vectors [P, dimensions]."""
    buys = data.buys
    shape = data.num_users, data.num_products
    matrix = incidence(buys.sources, buys.targets, shape=shape, device=CPU).forward
    dense = torch.randn(data.num_products, dimensions)
    indices = torch.from_numpy(np.stack([buys.sources, buys.targets]))
    coalesced = torch.sparse_coo_tensor(
        indices, matrix.weights, shape, is_coalesced=True, check_invariants=False
    )
    edges = _edge_index_type()(indices, sparse_size=shape, sort_order="row")

    def scatter() -> torch.Tensor:
        messages = dense[indices[1]] * matrix.weights[:, None]
        return dense.new_zeros(data.num_users, dimensions).index_add_(0, indices[0], messages)

    return {
        OURS: lambda: matrix.times(dense),
        "PyG EdgeIndex": lambda: edges.matmul(dense, matrix.weights),
        "torch.sparse.mm": lambda: torch.sparse.mm(coalesced, dense),
        "gather and scatter": scatter,
    }


def _edge_index_type() -> Any:
    """PyG's EdgeIndex, whose import and first product warn of what torch deprecates."""
    warnings.simplefilter("ignore")
    from torch_geometric import EdgeIndex

    return EdgeIndex


def medians(actions: Mapping[str, Callable[[], object]], num_repetitions: int) -> dict[str, float]:
    """Median seconds of each action; they take turns, so that a busy moment meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for repetition in range(num_repetitions + NUM_WARM_UPS):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            if repetition >= NUM_WARM_UPS:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
