"""A training step against the bare products of its shapes, and ways to take the sparse product.

`python -m bench.training [--data DIR] [--quick] [--json FILE]`: DIR is in the paper's layout;
by default the graph is random, with about 40,000 purchases. A step is one epoch. The ceiling is its
dense and sparse products alone, without exponentials, normalisation and optimiser. All take turns in one run:
only their ratios carry over to another machine.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.layout import read_set
from bench.report import parser, report
from workers.training.data import Interactions, Pairs, distinct_pairs, no_pairs
from workers.training.graph import SparseMatrix, normalised_incidence
from workers.training.hyperparameters import Hyperparameters
from workers.training.optimisation import Optimisation

CPU = torch.device("cpu")
Figures = dict[str, float]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, help="folder in the paper's layout")
    options = arguments.parse_args()
    name = options.data.name if options.data else "random"
    data = read_set(options.data).train if options.data else random_market()
    figures = measure(data, num_repetitions=5 if options.quick else 30)
    report(f"training step, {torch.get_num_threads()} threads", {name: figures}, options.json)


def measure(data: Interactions, *, num_repetitions: int) -> Figures:
    """Medians of all that is compared, in milliseconds, with ratios and rates."""
    hp = Hyperparameters()
    optimisation = Optimisation(data, hp, seed=0, device=CPU)
    adjacency = normalised_incidence(
        data.buys.sources, data.buys.targets, shape=(data.num_users, data.num_products), device=CPU
    )
    ways = sparse_products(data.buys, adjacency, hp.dimensions)
    times = medians(
        {"step": lambda: optimisation.step(1), "ceiling": bare_products(data, adjacency, hp)} | ways,
        num_repetitions,
    )
    num_active = len(np.unique(data.buys.sources))
    num_scored = min(num_active, hp.num_softmax_users) * min(data.num_products, hp.num_softmax_products)
    return {f"{name}_ms": seconds * 1000 for name, seconds in times.items()} | {
        "step/ceiling": times["step"] / times["ceiling"],
        "purchases_per_s": len(data.buys) / times["step"],
        "scored_pairs_per_s": num_scored / times["step"],
    }


def bare_products(data: Interactions, adjacency: SparseMatrix, hp: Hyperparameters) -> Callable[[], object]:
    """The products of a step: propagation there and back, the positive terms, and both softmaxes."""
    users, products, streamers = (
        torch.randn(n, hp.dimensions) for n in (data.num_users, data.num_products, data.num_streamers)
    )
    num_softmax_users = min(data.num_users, hp.num_softmax_users)
    softmaxes = [
        (users[:num_softmax_users], targets[: hp.num_softmax_products]) for targets in (products, streamers)
    ]
    # Each propagation goes both ways, forward and back; the positive term takes one way forward, one back.
    num_sparse = 2 * (len(hp.layer_weights) - 1) + 1

    def run() -> None:
        for _ in range(num_sparse):
            adjacency.forward.times(products)
            adjacency.backward.times(users)
        for rows, targets in softmaxes:
            logits = rows @ targets.T
            _ = logits @ targets, logits.T @ rows

    return run


def sparse_products(
    pairs: Pairs, adjacency: SparseMatrix, dimensions: int
) -> dict[str, Callable[[], object]]:
    """Ways to multiply the user-product block with the products' vectors."""
    matrix = adjacency.forward
    num_users, num_products = len(matrix.starts) - 1, matrix.num_columns
    dense = torch.randn(num_products, dimensions)
    indices = torch.from_numpy(np.stack([pairs.sources, pairs.targets]))
    shape = num_users, num_products
    coalesced = torch.sparse_coo_tensor(
        indices, matrix.weights, shape, is_coalesced=True, check_invariants=False
    )
    edges = edge_index_type()(indices, sparse_size=shape, sort_order="row")

    def scatter() -> torch.Tensor:
        messages = dense[indices[1]] * matrix.weights[:, None]
        return dense.new_zeros(num_users, dimensions).index_add_(0, indices[0], messages)

    return {
        "sparse: embedding_bag": lambda: matrix.times(dense),
        "sparse: PyG EdgeIndex": lambda: edges.matmul(dense, matrix.weights),
        "sparse: torch.sparse.mm": lambda: torch.sparse.mm(coalesced, dense),
        "sparse: gather and scatter": scatter,
    }


def edge_index_type() -> Any:
    """PyG's EdgeIndex, whose import and first product warn of what torch deprecates."""
    warnings.simplefilter("ignore")
    from torch_geometric import EdgeIndex

    return EdgeIndex


def medians(actions: dict[str, Callable[[], object]], num_repetitions: int) -> dict[str, float]:
    """Median seconds of each action; they take turns, so that a busy moment meets all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for repetition in range(num_repetitions + 2):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            if repetition >= 2:  # the first ones warm up
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def random_market(
    *, num_users: int = 2000, num_products: int = 4500, num_streamers: int = 400, num_buys: int = 42_000
) -> Interactions:
    """Purchases and follows between random pairs."""
    rng = np.random.default_rng(0)
    buys = rng.integers(0, num_users, num_buys), rng.integers(0, num_products, num_buys)
    follows = rng.integers(0, num_users, num_buys // 3), rng.integers(0, num_streamers, num_buys // 3)
    sizes = num_users, num_products, num_streamers
    return numbered(sizes, distinct_pairs(*buys), distinct_pairs(*follows))


def numbered(sizes: tuple[int, int, int], buys: Pairs, follows: Pairs) -> Interactions:
    """Users, products and streamers of these numbers, with their row as id."""
    users, products, streamers = (np.arange(size).astype(np.bytes_) for size in sizes)
    return Interactions(users, products, streamers, buys, follows, no_pairs(), no_pairs(), no_pairs())


if __name__ == "__main__":
    main()
