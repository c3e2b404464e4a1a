"""Users whom the training never saw, folded in from its released vectors, against having been trained.

`python bench/foldin.py --data DIR [--set NAME] [--seeds N] [--json FILE]`: on every set in DIR that has
candidate lists, a fifth of the users is taken out of the training, with all that they bought and follow.
Then they are folded in by `lsec.core.fold_in`, and their lists ranked. The ceiling is the same users in a
training on all users; `ndcg@10_share` is folded in over trained, with the interval of a bootstrap over the
users. `ms` is the time of one fold-in, by numpy on one thread.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.fresh_process import tell
from bench.layout import DataSet, data_sets, read_set
from bench.model import positive
from bench.quality import CPU
from bench.report import Json, parser, show, write_json
from bench.small_market import small_sets
from lsec.core.comparison import paired_bootstrap
from lsec.core.errors import LsecError
from lsec.core.fold_in import FoldIn
from lsec.core.jobs import DEFAULT_MODEL
from lsec.core.metrics import CandidateLists, list_figures
from workers.training.data import Interactions, Pairs
from workers.training.hyperparameters import Hyperparameters
from workers.training.ranking import Scorer
from workers.training.trainer import Trained, Trainer

SHARE_HELD_OUT = 0.2
FIGURE = "ndcg@10"
MAX_NEGATIVES = 4096

Rows = NDArray[np.int64]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, metavar="DIR", help="folder with data sets, or a data set")
    options.add_argument("--set", default="", metavar="NAME", help="only this set")
    options.add_argument("--seeds", type=positive, default=1, metavar="N", help="trainings (default 1)")
    chosen = options.parse_args()
    if not (chosen.data or chosen.quick):
        options.error("give --data DIR, or --quick for a small made-up market")
    overrides = {"num_steps": 20} if chosen.quick else {}
    figures: dict[str, dict[str, Json]] = {}
    try:
        sets = (
            small_sets() if chosen.quick else [read_set(path) for path in data_sets(chosen.data, chosen.set)]
        )
        for data in sets:
            if data.test is not None:
                figures[data.name] = measure(data, seeds=chosen.seeds, overrides=overrides)
    except LsecError as error:
        sys.exit(f"{error.title}: {error}")
    numbers = {
        name: {figure: value for figure, value in of_set.items() if isinstance(value, int | float)}
        for name, of_set in figures.items()
    }
    show("users folded in, against trained", numbers)
    write_json(figures, chosen.json)


def measure(data: DataSet, *, seeds: int, overrides: Mapping[str, int]) -> dict[str, Json]:
    """Figures of the users who were taken out, as means over the trainings."""
    assert data.test is not None
    rng = np.random.default_rng(0)
    users = np.unique(data.test.users)
    out = np.sort(rng.choice(users, max(1, round(SHARE_HELD_OUT * len(users))), replace=False))
    lists = lists_of(data.test, out)
    folded, trained, ms = [], [], []
    for seed in range(seeds):
        whole = fit(data.train, seed, overrides)
        trained.append(list_figures(lists, whole.scorer.candidates(lists))[FIGURE])
        scorer, taken_ms = folded_in(data.train, out, seed, overrides)
        folded.append(list_figures(lists, scorer.candidates(lists))[FIGURE])
        ms.append(taken_ms)
        tell(f"{data.name}: seed {seed}: folded in {folded[-1].mean():.4f}, trained {trained[-1].mean():.4f}")
    both = {FIGURE: np.mean(folded, axis=0)}, {FIGURE: np.mean(trained, axis=0)}
    difference = paired_bootstrap(*both)[FIGURE]
    ceiling = float(both[1][FIGURE].mean())
    return {
        f"{FIGURE}_folded_in": float(both[0][FIGURE].mean()),
        f"{FIGURE}_trained": ceiling,
        f"{FIGURE}_share": float(both[0][FIGURE].mean()) / ceiling,
        f"{FIGURE}_share_interval": [1 + difference.low / ceiling, 1 + difference.high / ceiling],
        "users": len(out),
        "ms": float(np.median(ms)),
    }


def fit(data: Interactions, seed: int, overrides: Mapping[str, int]) -> Trained:
    hp = Hyperparameters.from_mapping(overrides)
    return Trainer(data, hp, model=DEFAULT_MODEL, seed=seed, device=CPU).train()


def folded_in(
    data: Interactions, users: Rows, seed: int, overrides: Mapping[str, int]
) -> tuple[Scorer, float]:
    """The scores of a training without these users, who are folded in, and one fold-in's ms."""
    trained = fit(without_users(data, users), seed, overrides)
    vectors = trained.vectors
    rng = np.random.default_rng(seed)
    num_products = data.num_products
    fold_in = FoldIn(
        products=vectors.products.numpy(),
        bias=trained.bias.numpy(),
        degrees=np.bincount(data.buys.targets, minlength=num_products),
        streamers=vectors.streamers.numpy(),
        temperature=trained.temperature,
        buy_weight=1 / len(data.buys),
        follow_weight=Hyperparameters().follow_weight / max(len(data.follows), 1),
        negatives=rng.choice(num_products, min(MAX_NEGATIVES, num_products), replace=False),
    )
    bought, followed = data.buys.indptr(data.num_users), data.follows.indptr(data.num_users)
    taken_ms = []
    for user in users:
        started = time.perf_counter()
        vector = fold_in.user_vector(
            data.buys.targets[bought[user] : bought[user + 1]],
            data.follows.targets[followed[user] : followed[user + 1]],
        )
        taken_ms.append(1000 * (time.perf_counter() - started))
        vectors.users[user] = torch.from_numpy(vector)
    return Scorer(*vectors[:2], trained.bias, trained.temperature), float(np.median(taken_ms))


def without_users(data: Interactions, users: Rows) -> Interactions:
    """The data without anything that these users did; their rows stay, empty."""

    def others(pairs: Pairs) -> Pairs:
        return pairs[~np.isin(pairs.sources, users)]

    return replace(
        data,
        buys=others(data.buys),
        follows=others(data.follows),
        watched=others(data.watched),
        viewed=others(data.viewed),
    )


def lists_of(lists: CandidateLists, users: Rows) -> CandidateLists:
    """The lists of these users."""
    chosen = np.isin(lists.users, users)
    return CandidateLists(lists.users[chosen], lists.products[chosen], lists.is_positive[chosen])


if __name__ == "__main__":
    main()
