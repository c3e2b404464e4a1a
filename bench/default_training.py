"""A training of the default model with its default setting: how long, how much memory, how soon how good.

`python -m bench.default_training --data DIR [--until NDCG] [--device cuda]` prints a JSON object. Without
`--until` it trains as the platform does: it selects the number of steps on a split of the train part, then
trains on all of it. With it, it trains on all of the train part until NDCG@10 on the set's own val part is
that high. Imports and reading the data are not part of the seconds; with `--until`, looks at the val part are
neither.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.fresh_process import give, peak_mb, tell
from bench.layout import DataSet, read_set
from lsec.core.errors import InvalidInput
from lsec.core.jobs import DEFAULT_MODEL
from lsec.core.metrics import candidate_metrics
from workers.training.learners import make_learner
from workers.training.memory import prepare_memory
from workers.training.model_hyperparameters import hyperparameters_of
from workers.training.progress import Progress, peak_memory_mb
from workers.training.ranking import Ranker
from workers.training.trainer import SELECTION_METRIC, Trainer

CPU = torch.device("cpu")
QUICK = {"num_steps": 20, "validate_every": 10}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True, metavar="DIR")
    options.add_argument("--until", type=float, metavar="NDCG")
    options.add_argument("--device", type=torch.device, default="cpu")
    options.add_argument("--quick", action="store_true", help="a few steps only")
    chosen = options.parse_args()
    prepare_memory()
    data = read_set(chosen.data)
    overrides = QUICK if chosen.quick else {}
    if chosen.until is None:
        give(train(data, overrides, chosen.device))
        return
    reached = reach(data, chosen.until, overrides, chosen.device)
    figures = {"ndcg@10_reached": reached.ndcg, "steps_to_quality": float(reached.steps)}
    give(figures | ({"seconds_to_quality": reached.seconds} if reached.ndcg >= chosen.until else {}))


def train(data: DataSet, overrides: dict[str, int], device: torch.device = CPU) -> dict[str, float]:
    """Wall time, steps, peak memory of this process, and NDCG@10 on the val part where the set has one."""
    read_mb = peak_mb()

    def on_progress(progress: Progress) -> None:
        if progress.is_news:
            tell(f"{data.name}: {progress.message}")

    started = time.perf_counter()
    trainer = Trainer(
        data.train,
        hyperparameters_of(DEFAULT_MODEL, overrides),
        model=DEFAULT_MODEL,
        seed=0,
        device=device,
        on_progress=on_progress,
    )
    learner = trainer.fit()
    seconds = time.perf_counter() - started
    figures = {
        "seconds": seconds,
        **peak_memory_mb(device),
        "peak_mb": peak_mb(),
        "peak_before_training_mb": read_mb,
        "steps": float(trainer.metrics["num_steps"]),
    }
    if data.val is not None:
        figures["val_ndcg@10"] = val_quality(learner.scorer(), data)
    return figures


@dataclass(frozen=True, slots=True)
class Reached:
    """The best NDCG@10 on the val part, and the steps and seconds of training that it took."""

    ndcg: float
    steps: int
    seconds: float


def reach(data: DataSet, quality: float, overrides: dict[str, int], device: torch.device = CPU) -> Reached:
    """The first step after which the val part's NDCG@10 is that high, or the best one where none is."""
    hyperparameters = hyperparameters_of(DEFAULT_MODEL, overrides)
    started = time.perf_counter()
    learner = make_learner(DEFAULT_MODEL, data.train, hyperparameters, seed=0, device=device)
    seconds = time.perf_counter() - started
    best = Reached(-1.0, 0, seconds)
    for step in range(hyperparameters.num_steps + 1):
        ndcg = val_quality(learner.scorer(), data)
        if ndcg > best.ndcg:
            best = Reached(ndcg, step, seconds)
        if ndcg >= quality:
            break
        if step < hyperparameters.num_steps:
            started = time.perf_counter()
            learner.step(step)
            seconds += time.perf_counter() - started
    tell(f"{data.name}: NDCG@10 {best.ndcg:.4f} after {best.steps} steps, {best.seconds:.2f} s")
    return best


def val_quality(ranker: Ranker, data: DataSet) -> float:
    """NDCG@10 on the val part's lists; InvalidInput without one."""
    if data.val is None:
        raise InvalidInput(f"{data.name} has no val part.")
    return candidate_metrics(data.val, ranker.candidates(data.val))[SELECTION_METRIC]


if __name__ == "__main__":
    main()
