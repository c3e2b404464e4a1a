"""A training that starts from the champion's vectors, against one that starts from nothing.

`python -m bench.warm_start --data DIR [--set NAME] [--seeds N] [--json FILE]`: on every set in DIR that has
candidate lists, nine tenths of the purchases, drawn at random, are trained on from nothing, and written as an
artifact: the champion. Then all purchases are, from nothing and from that artifact, one after the other in
this process. Either way the training is the platform's: a selection of the number of steps, then all data.

For each set, as means over the seeds: `cold_s`, `warm_s` and `speedup`, the steps that the selection took and
chose, NDCG@10 on the test lists, and `gain`, warm less cold, with the interval of a paired bootstrap over the
users of their mean over the seeds.
"""

import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.by_set import measured_by_set, options_of
from bench.fresh_process import tell
from bench.layout import DataSet
from bench.quality import CPU
from bench.report import Json, write_json
from lsec.core.comparison import paired_bootstrap
from lsec.core.jobs import DEFAULT_MODEL
from lsec.core.metrics import CandidateLists, list_figures
from workers.training.artifact_writer import write_artifact
from workers.training.data import SNAPSHOT_VERSION, Interactions, Pairs
from workers.training.hyperparameters import Hyperparameters
from workers.training.job import Job
from workers.training.trainer import Trained, Trainer
from workers.training.warm_start import WarmStart, warm_start

SHARE_BEFORE = 0.9
FIGURE = "ndcg@10"


@dataclass(frozen=True, slots=True)
class Timed:
    """A training: its seconds, the steps that its selection took and chose, NDCG@10 of each test list."""

    seconds: float
    steps: int
    chosen_steps: int
    ndcg: NDArray[np.float64]


def main() -> None:
    options = options_of(__doc__, seeds=3)
    chosen = options.parse_args()
    hyperparameters = Hyperparameters.from_mapping({"num_steps": 20} if chosen.quick else {})

    def figures_of(data: DataSet) -> dict[str, Json]:
        assert data.test is not None
        return measure(data, data.test, hyperparameters, seeds=chosen.seeds)

    of_sets = measured_by_set(
        options, chosen, "from the champion's vectors, against from nothing", figures_of
    )
    write_json(of_sets, chosen.json)


def measure(
    data: DataSet, lists: CandidateLists, hyperparameters: Hyperparameters, *, seeds: int
) -> dict[str, Json]:
    """The figures of one set."""
    cold: list[Timed] = []
    warm: list[Timed] = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
            before = purchases_before(data.train, seed=seed)
            champion = write_champion(Path(folder), before, hyperparameters, seed=seed)
            start = warm_start(champion, hyperparameters)
            # Another seed than the champion's: a later run has no reason to have the same.
            for runs, begin in ((cold, None), (warm, start)):
                runs.append(timed(data.train, lists, hyperparameters, seed=seeds + seed, start=begin))
        tell(f"{data.name}, seed {seed}: cold {shown(cold[-1])}; warm {shown(warm[-1])}")
    return summary(cold, warm)


def shown(run: Timed) -> str:
    """A training in words."""
    return f"{run.seconds:.1f} s, {run.chosen_steps} of {run.steps} steps, {FIGURE} {run.ndcg.mean():.4f}"


def summary(cold: list[Timed], warm: list[Timed]) -> dict[str, Json]:
    """Means over the seeds, and the paired difference."""
    figures: dict[str, Json] = {}
    for name, runs in (("cold", cold), ("warm", warm)):
        figures |= {
            f"{name}_s": float(np.mean([run.seconds for run in runs])),
            f"{name}_steps": float(np.mean([run.steps for run in runs])),
            f"{name}_chosen_steps": float(np.mean([run.chosen_steps for run in runs])),
            f"{name}_{FIGURE}": float(np.mean([run.ndcg for run in runs])),
        }
    ours, theirs = ({FIGURE: np.mean([run.ndcg for run in runs], axis=0)} for runs in (warm, cold))
    gain = paired_bootstrap(ours, theirs)[FIGURE]
    speedup = float(
        np.mean([before.seconds / after.seconds for before, after in zip(cold, warm, strict=True)])
    )
    return figures | {"speedup": speedup, "gain": gain.difference, "gain_interval": [gain.low, gain.high]}


def purchases_before(data: Interactions, *, seed: int) -> Interactions:
    """The market when it had nine tenths of its purchases, and no user without one."""
    buys = data.buys[np.random.default_rng(seed).random(len(data.buys)) < SHARE_BEFORE]
    users = np.unique(buys.sources)
    return replace(
        data, user_ids=data.user_ids[users], buys=of_users(buys, users), follows=of_users(data.follows, users)
    )


def of_users(pairs: Pairs, users: NDArray[np.int64]) -> Pairs:
    """The pairs of these users, whose rows are their places among them."""
    kept = pairs[np.isin(pairs.sources, users)]
    return replace(kept, sources=np.searchsorted(users, kept.sources))


def write_champion(folder: Path, data: Interactions, hyperparameters: Hyperparameters, *, seed: int) -> Path:
    """The artifact of a training from nothing."""
    snapshot = folder / "snapshot"
    snapshot.mkdir()
    manifest = {"version": SNAPSHOT_VERSION, "sha256": f"{seed:064x}"}
    (snapshot / "manifest.json").write_text(json.dumps(manifest))
    job = Job("trn_champion", "rel_champion", DEFAULT_MODEL, seed, "cpu", 0, 50, hyperparameters)
    write_artifact(
        folder / "champion", train(data, hyperparameters, seed=seed), data, job=job, snapshot=snapshot
    )
    return folder / "champion"


def train(
    data: Interactions, hyperparameters: Hyperparameters, *, seed: int, start: WarmStart | None = None
) -> Trained:
    """A training as the platform does it."""
    taken = hyperparameters if start is None else start.with_fewer_steps(hyperparameters)
    return Trainer(data, taken, seed=seed, device=CPU, warm_start=start).train()


def timed(
    data: Interactions,
    lists: CandidateLists,
    hyperparameters: Hyperparameters,
    *,
    seed: int,
    start: WarmStart | None,
) -> Timed:
    """A training with its seconds, and what it is worth."""
    started = time.perf_counter()
    trained = train(data, hyperparameters, seed=seed, start=start)
    seconds = time.perf_counter() - started
    ndcg = list_figures(lists, trained.scorer.candidates(lists))[FIGURE]
    metrics = trained.metrics
    return Timed(seconds, metrics["validations"][-1]["step"], metrics["num_steps"], ndcg)


if __name__ == "__main__":
    main()
