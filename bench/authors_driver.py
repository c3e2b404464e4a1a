"""The paper's authors' own training, unchanged, in the environment that `bench.authors` makes for it.

It runs `rechub.train.train` on the options that follow its own. Only two things are put in its place: their
evaluation, by a fast one whose time does not count as theirs, and the `EdgeDataLoader` that DGL has dropped,
by what DGL says to use. Each look at the val part is a line of JSON: `epoch`, `seconds` of training so far,
and the metrics.
"""

import argparse
import importlib
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lsec.core.metrics import CandidateLists, candidate_lists, candidate_metrics

LISTS_PER_CHUNK = 64
EPOCHS_PER_EVALUATION = 5


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    options.add_argument("--seconds", type=float, required=True, help="wall time, evaluations included")
    options.add_argument("--dataset_path", type=Path, required=True)
    chosen, _ = options.parse_known_args()
    dgl: Any = importlib.import_module("dgl")
    dgl.dataloading.EdgeDataLoader = edge_loader
    dgl.seed(0)
    np.random.seed(0)  # their code draws from numpy's global state
    torch.manual_seed(0)
    train: Any = importlib.import_module("rechub.train")
    train.logger = logging.getLogger("rechub")
    train.evaluate = Evaluation(read_val_lists(chosen.dataset_path), wall_seconds=chosen.seconds)
    train.train()


def edge_loader(
    graph: Any,
    edges: dict[Any, Any],
    sampler: Any,
    *,
    exclude: str,
    reverse_etypes: dict[Any, Any],
    negative_sampler: Any,
    batch_size: int,
    shuffle: bool,
    drop_last: bool,
    num_workers: int,
    pin_memory: bool,
) -> Any:
    """What EdgeDataLoader was, by DGL's guide for what took its place; nothing is pinned without a GPU."""
    del pin_memory
    loading: Any = importlib.import_module("dgl").dataloading
    pairs = loading.as_edge_prediction_sampler(
        sampler, exclude=exclude, reverse_etypes=reverse_etypes, negative_sampler=negative_sampler
    )
    return loading.DataLoader(
        graph,
        {etype: torch.as_tensor(rows) for etype, rows in edges.items()},
        pairs,
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=drop_last,
        num_workers=num_workers,
    )


def read_val_lists(folder: Path) -> CandidateLists:
    """The val part's lists, whose ids are rows."""
    table = np.loadtxt(folder / "val" / "user-item-buy.tsv", dtype=np.int64, delimiter="\t", skiprows=1)
    return candidate_lists(table[:, 0], table[:, 1], table[:, 2] == 1)


class Evaluation:
    """Stands in for `rechub.utils.evaluate`, and keeps the time of the training between its calls."""

    def __init__(self, lists: CandidateLists, *, wall_seconds: float) -> None:
        self._lists = lists
        self._ends_at = time.perf_counter() + wall_seconds
        self._seconds = 0.0
        self._num_calls = 0
        self._left_at = 0.0

    def __call__(
        self, model: Any, tasks: list[dict[str, Any]], mode: str
    ) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
        """Figures of each task, and their mean, by which the authors stop."""
        called_at = time.perf_counter()
        if mode != "val":  # the training is over, and nothing of it is asked for
            return {task["name"]: {"NDCG@10": 0.0} for task in tasks}, {}
        if self._num_calls:
            self._seconds += called_at - self._left_at
        (task,) = tasks
        figures = candidate_metrics(self._lists, scores(model, task, self._lists))
        epoch = EPOCHS_PER_EVALUATION * self._num_calls
        self._num_calls += 1
        line = json.dumps({"epoch": epoch, "seconds": self._seconds} | figures)
        print(line, flush=True)
        if time.perf_counter() > self._ends_at:
            raise KeyboardInterrupt  # which is how their training ends early
        self._left_at = time.perf_counter()
        return {task["name"]: figures}, {task["name"]: float(np.mean(list(figures.values())))}


@torch.no_grad()
def scores(model: Any, task: dict[str, Any], lists: CandidateLists) -> NDArray[np.float32]:
    """Scores [L, C] as their evaluation has them.

    The first layer of their predictor takes a pair's two embeddings side by side, so its part of each user
    and each product is computed once.
    """
    graph = model.graph
    nodes = {name: graph.nodes(ntype=name) for name in graph.ntypes}
    num_layers = len(model.args.graph_embedding_dims) - 1
    embeddings = model.aggregate_embeddings(nodes, [graph] * num_layers)
    users, products = embeddings[task["scheme"][0]], embeddings[task["scheme"][2]]
    first, activation, last = model.predictor[task["name"]].dnn
    for_users, for_products = first.weight.split([users.shape[1], products.shape[1]], dim=1)
    hidden_users, hidden_products = users @ for_users.T + first.bias, products @ for_products.T
    found = torch.empty(lists.products.shape)
    rows, columns = torch.from_numpy(lists.users), torch.from_numpy(lists.products.clip(min=0))
    for start in range(0, len(lists), LISTS_PER_CHUNK):
        chunk = slice(start, start + LISTS_PER_CHUNK)
        hidden = hidden_users[rows[chunk], None] + hidden_products[columns[chunk]]
        found[chunk] = last(activation(hidden))[:, :, 0]
    theirs = model.predictor[task["name"]](users[rows[:1]].expand(columns.shape[1], -1), products[columns[0]])
    assert torch.allclose(found[0], theirs, atol=1e-4), "the split predictor scores as theirs"
    scores: NDArray[np.float32] = found.numpy()
    return scores


if __name__ == "__main__":
    main()
