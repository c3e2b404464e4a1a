"""Users whom the training never saw, folded in from its released vectors, against having been trained.

`python bench/foldin.py --data DIR [--set NAME] [--seeds N] [--json FILE]`: on every set in DIR that has
candidate lists, a fifth of the users is taken out of the training, with all that they bought and follow.
Then they are folded in as the API does it, from the release in half precision, and their lists ranked by
`Artifact.vector_scores`. The ceiling is the same users in a training on all users.

For each set, `share_of_trained` is NDCG@10 folded in over trained, with the interval of a paired bootstrap
over the users. Two things are less there: the products' vectors do not know what these users bought, and the
users' own are folded in. `share_by_same_products` has the second alone: the same users are folded in from the
release of the training on all users. `ms` is the median time of a fold-in by numpy on one thread, its
interval has 95 % of the users, and `cpu_ms` is what of it the core worked, whoever else did meanwhile. At the
top are the figures of the sets where they are worst, and `event_to_answer_p99_s`: how long after an event was
accepted the user's answer was another one, on a stack of its own.
"""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types

from bench import event_to_answer
from bench.by_set import measured_by_set, options_of
from bench.fresh_process import tell
from bench.layout import DataSet
from bench.memory_release import artifact_in_memory
from bench.quality import CPU
from bench.report import Json, show, write_json
from lsec.core.artifact import Artifact
from lsec.core.comparison import paired_bootstrap
from lsec.core.fold_in import FoldIn
from lsec.core.jobs import DEFAULT_MODEL
from lsec.core.metrics import CandidateLists, list_figures
from workers.training.artifact_writer import artifact_arrays
from workers.training.data import Interactions, Pairs
from workers.training.hyperparameters import Hyperparameters
from workers.training.trainer import Trained, Trainer

SHARE_HELD_OUT = 0.2
FIGURE = "ndcg@10"

Rows = NDArray[np.int64]


def main() -> None:
    options = options_of(__doc__, seeds=1)
    chosen = options.parse_args()
    overrides = {"num_steps": 20} if chosen.quick else {}

    def figures_of(data: DataSet) -> dict[str, Json]:
        return measure(data, seeds=chosen.seeds, overrides=overrides)

    of_sets = measured_by_set(options, chosen, "users folded in, against trained", figures_of)
    with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
        lags = event_to_answer.measure(Path(folder), num_events=30 if chosen.quick else 300)
    show("from an event to another answer", {"lags": lags})
    figures = worst(of_sets) | lags | of_sets
    write_json(figures, chosen.json)


def worst(of_sets: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    """The least share and the longest time, each with its interval on that set."""
    figures: dict[str, Json] = {}
    for name, choose in (("share_of_trained", min), ("ms", max)):
        of_set = choose(of_sets.values(), key=lambda of_set: cast(float, of_set[name]))
        figures |= {name: of_set[name], f"{name}_interval": of_set[f"{name}_interval"]}
    return figures


def measure(data: DataSet, *, seeds: int, overrides: Mapping[str, int]) -> dict[str, Json]:
    """Figures of the users who were taken out, as means over the trainings."""
    assert data.test is not None
    rng = np.random.default_rng(0)
    users = np.unique(data.test.users)
    out = np.sort(rng.choice(users, max(1, round(SHARE_HELD_OUT * len(users))), replace=False))
    lists = lists_of(data.test, out)
    rest = without_users(data.train, out)
    folded, by_whole, trained, ms = [], [], [], []
    for seed in range(seeds):
        whole = fit(data.train, seed, overrides)
        trained.append(list_figures(lists, whole.scorer.candidates(lists))[FIGURE])
        scores, _ = folded_in(data.train, lists, release_of(whole, data.train, seed, overrides))
        by_whole.append(list_figures(lists, scores)[FIGURE])
        release = release_of(fit(rest, seed, overrides), rest, seed, overrides)
        scores, taken_ms = folded_in(data.train, lists, release)
        folded.append(list_figures(lists, scores)[FIGURE])
        ms.append(taken_ms)
        tell(
            f"{data.name}: seed {seed}: folded in {folded[-1].mean():.4f}, from all users' products "
            f"{by_whole[-1].mean():.4f}, trained {trained[-1].mean():.4f}"
        )
    taken = np.concatenate(ms)
    return {
        **share("share_of_trained", folded, trained),
        **share("share_by_same_products", by_whole, trained),
        "ms": float(np.median(taken[:, 0])),
        "ms_interval": np.percentile(taken[:, 0], [2.5, 97.5]).tolist(),
        "cpu_ms": float(np.median(taken[:, 1])),
        f"{FIGURE}_folded_in": float(np.mean(folded)),
        f"{FIGURE}_trained": float(np.mean(trained)),
        "users": len(out),
        "products": data.train.num_products,
    }


def share(
    name: str, folded: list[NDArray[np.float64]], trained: list[NDArray[np.float64]]
) -> dict[str, Json]:
    """Folded in over trained, of the users' means over the trainings, and its interval over users."""
    ours, theirs = np.mean(folded, axis=0), np.mean(trained, axis=0)
    difference = paired_bootstrap({FIGURE: ours}, {FIGURE: theirs})[FIGURE]
    ceiling = float(theirs.mean())
    return {
        name: float(ours.mean()) / ceiling,
        f"{name}_interval": [1 + difference.low / ceiling, 1 + difference.high / ceiling],
    }


def fit(data: Interactions, seed: int, overrides: Mapping[str, int]) -> Trained:
    hyperparameters = Hyperparameters.from_mapping(overrides)
    return Trainer(data, hyperparameters, model=DEFAULT_MODEL, seed=seed, device=CPU).train()


def release_of(trained: Trained, data: Interactions, seed: int, overrides: Mapping[str, int]) -> Artifact:
    """The artifact of a training on this data."""
    return artifact_in_memory(
        artifact_arrays(trained, data, slate_length=1),
        temperature=trained.temperature,
        seed=seed,
        hyperparameters=Hyperparameters.from_mapping(overrides).to_dict(),
        counts={"follows": len(data.follows), "views": len(data.viewed)},
    )


def folded_in(
    data: Interactions, lists: CandidateLists, release: Artifact
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores [L, C] of the lists by users who are folded in; each one's ms [L, 2], all and a core's."""
    fold_in = FoldIn.of(release)
    bought, followed, viewed = (
        np.split(pairs.targets, pairs.indptr(data.num_users)[1:-1])
        for pairs in (data.buys, data.follows, data.viewed)
    )
    scores = np.full(lists.products.shape, -np.inf)
    taken_s = []
    with threadpool_limits(1, "blas"):
        for place, user in enumerate(lists.users.tolist()):
            started, cpu_started = time.perf_counter(), time.thread_time()
            vector = fold_in.user_vector(bought[user], followed[user], viewed=viewed[user])
            taken_s.append((time.perf_counter() - started, time.thread_time() - cpu_started))
            is_valid = lists.is_valid[place]
            scores[place, is_valid] = release.vector_scores(vector, lists.products[place, is_valid])
    return scores, 1000 * np.array(taken_s)


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
