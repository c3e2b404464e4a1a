"""What a trained ranker is worth on a data set: figures by user, their means over trainings, and intervals.

A figure is the mean over users of each user's mean over the trainings. Its interval is that mean ± 1.96
standard errors over users; of a difference, the 2.5th and 97.5th percentile of a paired bootstrap over users.
Either tells how much other users of the kind would change it, not how trainings differ.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bench.layout import DataSet
from lsec.core.comparison import mean_interval, paired_bootstrap
from lsec.core.metrics import CandidateLists, Figures, candidate_metrics, list_figures, means
from workers.training.divergence import require_finite
from workers.training.full_ranking import CUTOFFS, full_ranking
from workers.training.learners import make_learner
from workers.training.model_hyperparameters import hyperparameters_of
from workers.training.progress import OnProgress, Progress
from workers.training.ranking import Ranker
from workers.training.trainer import SELECTION_METRIC, Trainer

CPU = torch.device("cpu")

Summary = dict[str, float | list[float]]
"""Figure → mean, and figure_interval → [low, high]."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of each user of the test part and of the val part, which a plain split has not."""

    test: Figures
    val: Figures
    seconds: float

    def summary(self) -> Summary:
        """The test part's means with their intervals, the val part's as `val_…`, and the seconds."""
        summary: Summary = {}
        for name, values in self.test.items():
            interval = mean_interval(values)
            summary |= {name: interval.mean, f"{name}_interval": [interval.low, interval.high]}
        val = {f"val_{name}": value for name, value in means(self.val).items()}
        return summary | val | {"seconds": self.seconds}


def measured(ranker: Ranker, data: DataSet, *, seconds: float) -> Measured:
    """By candidate lists where the set has them, else among all products but those of the train part."""
    if data.test_pairs is None:
        return Measured(_by_lists(ranker, data.test), _by_lists(ranker, data.val), seconds)
    top = full_ranking(ranker, data.test_pairs, data.train.buys, k=max(CUTOFFS))
    return Measured(top.figures(cutoffs=CUTOFFS), {}, seconds)


def _by_lists(ranker: Ranker, lists: CandidateLists | None) -> Figures:
    return {} if lists is None else list_figures(lists, ranker.candidates(lists))


def mean_of(runs: Sequence[Measured]) -> Measured:
    """Each user's figures and the seconds, as means over the runs."""
    parts = ([run.test for run in runs], [run.val for run in runs])
    test, val = ({name: np.mean([run[name] for run in of], axis=0) for name in of[0]} for of in parts)
    return Measured(test, val, float(np.mean([run.seconds for run in runs])))


def gains(first: Measured, second: Measured) -> Summary:
    """First − second on the test part as `…_gain`, with the intervals of the paired difference."""
    summary: Summary = {}
    for name, gain in paired_bootstrap(first.test, second.test).items():
        summary |= {f"{name}_gain": gain.difference, f"{name}_gain_interval": [gain.low, gain.high]}
    return summary


def train_by_platform(
    data: DataSet,
    model: str,
    *,
    seeds: int,
    device: torch.device,
    overrides: Mapping[str, int],
    on_progress: OnProgress,
    on_run: Callable[[int, Measured], None],
) -> Measured:
    """The mean of separate trainings by the platform's own trainer, which is given the train part alone."""
    runs = []
    for seed in range(seeds):
        trainer = Trainer(
            data.train,
            hyperparameters_of(model, overrides),
            model=model,
            seed=seed,
            device=device,
            on_progress=on_progress,
        )
        ranker = trainer.fit().scorer()
        runs.append(measured(ranker, data, seconds=float(trainer.metrics["seconds"])))
        on_run(seed, runs[-1])
    return mean_of(runs)


def train_by_paper(
    data: DataSet,
    model: str,
    *,
    minutes: float,
    device: torch.device,
    overrides: Mapping[str, int],
    on_progress: OnProgress,
) -> Measured:
    """One training on the whole train part, ended and chosen by the set's own val part, as the paper does.

    It ends at the preset's patience, or when the minutes are over, with what is the best by then.
    """
    assert data.val is not None, "a plain split has no val part"
    hp = hyperparameters_of(model, overrides)
    learner = make_learner(model, data.train, hp, seed=0, device=device)
    started = time.monotonic()  # only now, when what the model needs is imported
    best, best_value, num_worse, is_over = learner.parameters, -1.0, 0, False
    for step in range(1, hp.num_steps + 1):
        loss = learner.step(step - 1)
        require_finite(loss, learner.parameters, step=step, learning_rate=hp.learning_rate)
        is_over = time.monotonic() - started > 60 * minutes or step == hp.num_steps
        if step % hp.validate_every and not is_over:
            continue
        value = candidate_metrics(data.val, learner.scorer().candidates(data.val))[SELECTION_METRIC]
        num_worse += 1
        if value > best_value:
            best = {name: each.clone() for name, each in learner.parameters.items()}
            best_value, num_worse = value, 0
        message = f"step {step}, loss {loss:.3f}, {SELECTION_METRIC} {value:.4f}, best {best_value:.4f}"
        on_progress(Progress("select", step / hp.num_steps, message))
        if is_over or num_worse == hp.patience:
            break
    learner.restore(best)
    return measured(learner.scorer(), data, seconds=time.monotonic() - started)
