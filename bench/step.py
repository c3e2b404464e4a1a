"""A training step of the default model: its time, its memory, and the share of the floor that it reaches.

`python -m bench.step (--data DIR | --edges N) [--dimensions N] [--device cuda]` gives a JSON object. The
graph is a data set's train part, or simulated: N edges, three quarters of them purchases, with popular
products and busy users. Without memory for it the exit status is ENOMEM.
"""

import argparse
import errno
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.floor import floor_figures, measure_machine, median_seconds, run_seconds, wait, work_of
from bench.fresh_process import forget_peak, give, memory_mb, peak_mb, tell
from bench.gpu_profile import gpu_profile
from bench.layout import read_set
from lsec.core.jobs import DEFAULT_MODEL
from workers.training.data import Interactions, Pairs, distinct_pairs, no_pairs
from workers.training.learners import Learner, make_learner
from workers.training.memory import prepare_memory
from workers.training.model_hyperparameters import hyperparameters_of

EDGES_PER_USER, EDGES_PER_PRODUCT, EDGES_PER_STREAMER = 20, 100, 2000
SHARES = {"buys": 0.75, "follows": 0.2, "sells": 0.05}
USER_SKEW, TARGET_SKEW = 0.5, 0.8
"""The r-th most active is drawn in proportion to r^-skew."""
MIN_STEPS, MAX_STEPS, SECONDS = 3, 30, 10.0
"""Steps to take the median of: as many as fit into the seconds."""
FIRST_STEPS = 8
"""Those before are not among them: they get the memory that the later ones go on with, page by page."""


def main() -> None:
    chosen = arguments().parse_args()
    prepare_memory()
    data = chosen_graph(chosen)
    overrides = {"dimensions": chosen.dimensions} if chosen.dimensions else {}
    try:
        figures = measure(data, chosen.device, overrides, is_quick=chosen.quick)
    except (MemoryError, torch.OutOfMemoryError) as error:
        tell(str(error))
        sys.exit(errno.ENOMEM)
    give(figures)


def arguments() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__)
    add_graph(options)
    options.add_argument("--dimensions", type=int, metavar="N", help="in place of the default setting's")
    options.add_argument("--device", type=torch.device, default="cpu")
    options.add_argument("--quick", action="store_true")
    return options


def add_graph(options: argparse.ArgumentParser) -> None:
    """The options that say which graph."""
    graph = options.add_mutually_exclusive_group(required=True)
    graph.add_argument("--data", type=Path, metavar="DIR")
    graph.add_argument("--edges", type=int, metavar="N")


def chosen_graph(chosen: argparse.Namespace) -> Interactions:
    """The train part of the data set, or the simulated market."""
    return read_set(chosen.data).train if chosen.data else simulated_market(chosen.edges)


def measure(
    data: Interactions, device: torch.device, overrides: Mapping[str, int] | None = None, *, is_quick: bool
) -> dict[str, float]:
    """Time of the setup and of a step, memory, the floor, and on a GPU what a step's time goes into."""
    num_edges = sum(len(pairs) for pairs in (data.buys, data.follows, data.sells))
    forget_peak()
    before_mb = memory_mb()
    started = time.perf_counter()
    hyperparameters = hyperparameters_of(DEFAULT_MODEL, overrides or {})
    learner = make_learner(DEFAULT_MODEL, data, hyperparameters, seed=0, device=device)
    wait(device)
    setup_seconds = time.perf_counter() - started
    setup_peak_mb = peak_mb()
    steps = _Steps(learner)
    first = [run_seconds(steps.take, device) for _ in range(FIRST_STEPS)]
    num = MIN_STEPS if is_quick else int(np.clip(SECONDS / first[-1], MIN_STEPS, MAX_STEPS))
    seconds = median_seconds(steps.take, device, num=num)
    training_mb = peak_mb() - before_mb
    if device.type == "cuda":
        training_mb = torch.cuda.max_memory_allocated(device) / 2**20
    tell(f"{num_edges:,} edges: set up in {setup_seconds:.2f} s, a step {1000 * seconds:.1f} ms")
    work = work_of(steps.take)
    figures = floor_figures(work, measure_machine(set(work.dense_flop), device, is_quick=is_quick), seconds)
    if device.type == "cuda":
        profile = gpu_profile(steps.take, num=MIN_STEPS)
        bandwidth = work.sparse_bytes / 1e6 / profile["gpu_sparse_ms"]
        figures |= profile | {"gpu_idle_ms": 1000 * seconds - sum(profile.values())}
        figures |= {"sparse_gb_per_s": bandwidth}
    return {
        "edges": num_edges,
        "nodes": data.num_users + data.num_products + data.num_streamers,
        "setup_s": setup_seconds,
        "first_step_ms": 1000 * first[0],
        "step_ms": 1000 * seconds,
        "purchases_per_s": len(data.buys) / seconds,
        "step_peak_mb": before_mb + training_mb if device.type == "cpu" else training_mb,
        "setup_mb": setup_peak_mb - before_mb,
        "training_mb": training_mb,
        "parameters_mb": _num_bytes(learner.parameters, learner.optimizer_state) / 2**20,
        **figures,
    }


class _Steps:
    """Takes step after step."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._step = 0

    def take(self) -> None:
        self._learner.step(self._step)
        self._step += 1


def _num_bytes(*states: Any) -> int:
    """Bytes of all tensors in these, however nested."""
    total = 0
    for state in states:
        if isinstance(state, Tensor):
            total += state.numel() * state.element_size()
        elif isinstance(state, dict):
            total += _num_bytes(*state.values())
        elif isinstance(state, list | tuple):
            total += _num_bytes(*state)
    return total


def simulated_market(num_edges: int) -> Interactions:
    """About so many distinct edges; the same number gives the same market."""
    rng = np.random.default_rng(num_edges)
    users, products, streamers = (
        max(2, num_edges // each) for each in (EDGES_PER_USER, EDGES_PER_PRODUCT, EDGES_PER_STREAMER)
    )

    def pairs(relation: str, num_sources: int, num_targets: int, source_skew: float) -> Pairs:
        num = int(num_edges * SHARES[relation])
        sources = skewed(rng, num_sources, num, skew=source_skew)
        return distinct_pairs(sources, skewed(rng, num_targets, num, skew=TARGET_SKEW))

    return Interactions(
        user_ids=np.arange(users).astype(np.bytes_),
        product_ids=np.arange(products).astype(np.bytes_),
        streamer_ids=np.arange(streamers).astype(np.bytes_),
        buys=pairs("buys", users, products, USER_SKEW),
        follows=pairs("follows", users, streamers, USER_SKEW),
        sells=pairs("sells", streamers, products, TARGET_SKEW),
        watched=no_pairs(),
        viewed=no_pairs(),
    )


def skewed(rng: np.random.Generator, size: int, num: int, *, skew: float) -> NDArray[np.int64]:
    """Rows [num] below size, the r-th most frequent in proportion to r^-skew, in an order of no meaning."""
    weights = np.arange(1, size + 1) ** -skew
    cumulative = np.cumsum(weights)
    ranks = np.searchsorted(cumulative, rng.random(num) * cumulative[-1], side="right")
    rows: NDArray[np.int64] = rng.permutation(size)[np.minimum(ranks, size - 1)]
    return rows


if __name__ == "__main__":
    main()
