"""A search for hyperparameters: trials that are kept, so that it can stop at any time and go on."""

import fcntl
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from lsec.core.errors import Conflict, InvalidInput, Untrainable
from workers.training.data import Interactions
from workers.training.memory import prepare_memory
from workers.training.model_hyperparameters import hyperparameters_of
from workers.training.progress import Progress
from workers.training.run import num_cores
from workers.training.search_space import Dimension, as_json, parameters_of, suggest
from workers.training.trainer import Trainer
from workers.training.validation import Validation, validation_split

STUDY = "tune"
REASON = "reason"
"""Attribute of a trial that was pruned or could not be trained."""
STARTUP_TRIALS = 8
"""Drawn at random before the sampler has something to learn from."""
OUTCOMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched: the best overrides of a model's hyperparameters on this data, beside the fixed ones.

    With `validation`, on its lists; without, on splits of the data, one for each of `num_seeds` seeds.
    """

    data: Interactions
    model: str
    space: Mapping[str, Dimension]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    num_seeds: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    validation: Validation | None = None

    def splits(self) -> list[Validation]:
        """One for each seed; Untrainable when there is nothing to validate on."""
        hyperparameters = hyperparameters_of(self.model, self.fixed)
        seeds = range(self.seed, self.seed + self.num_seeds)
        # Salts from 1 on: what a release is judged by later has no part in the choice.
        splits = [
            self.validation or validation_split(self.data, hyperparameters, seed=s, salt=1 + s) for s in seeds
        ]
        if not all(len(split.lists) for split in splits):
            raise Untrainable(
                "Nobody has purchases to hold out, so there is nothing to choose by.",
                remedy="Tune on data in which users have two purchases or more.",
            )
        return splits

    def fingerprint(self) -> str:
        """Names data, model, space and fixed values, by which trials can be compared."""
        digest = hashlib.sha256(as_json(self.space).encode())
        setting = [self.model, dict(self.fixed), self.seed, self.num_seeds]
        digest.update(json.dumps(setting, sort_keys=True).encode())
        lists = self.validation.lists.products if self.validation else None
        for pairs in (self.data.buys, self.data.follows, self.data.sells):
            digest.update(pairs.sources.tobytes() + pairs.targets.tobytes())
        digest.update(b"" if lists is None else lists.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting that was tried; `value` is its mean validation NDCG@10, None where it did not finish."""

    number: int
    outcome: str
    value: float | None
    hyperparameters: dict[str, Any]
    seconds: float
    reason: str = ""


class _OutOfTimeError(Exception):
    """The search's time is over in the middle of a trial."""


class Search:
    """The trials of one question in a file; `open_search` makes it."""

    def __init__(self, question: Question, study: optuna.Study) -> None:
        self._question = question
        self._study = study
        self._splits = question.splits()

    @property
    def trials(self) -> list[Trial]:
        """All trials that have an outcome, oldest first."""
        return [_trial(each) for each in self._study.get_trials(deepcopy=False) if _counts(each)]

    @property
    def best(self) -> Trial | None:
        """The best of those that ran to their end, the earlier of equals."""
        complete = [trial for trial in self.trials if trial.outcome == "complete" and trial.value is not None]
        return max(complete, key=lambda trial: trial.value or 0.0, default=None)

    @property
    def num_validation_users(self) -> int:
        """Users whose lists a trial's value is the mean of, all seeds together."""
        return sum(len(split.lists) for split in self._splits)

    def run(self, *, num_trials: int, minutes: float) -> Iterator[Trial]:
        """Tries until the file holds so many trials, earlier ones too, or the time is over.

        A trial that time or an interrupt breaks off stays without an outcome: the next search fails it.
        """
        deadline = time.monotonic() + 60 * minutes
        while len(self.trials) < num_trials and time.monotonic() < deadline:
            trial = self._next(deadline)
            if trial is None:
                return
            yield trial

    def _next(self, deadline: float) -> Trial | None:
        study = self._study
        # A sampler of the trial's own: a search that was broken off draws what an uninterrupted one would.
        seed = 1000 * self._question.seed + len(self.trials)
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        trial = study.ask()
        overrides = suggest(trial, self._question.space)
        trial.set_user_attr("hyperparameters", overrides)
        try:
            study.tell(trial, self._objective(trial, overrides, deadline))
        except optuna.TrialPruned as pruned:
            trial.set_user_attr(REASON, str(pruned))
            study.tell(trial, state=TrialState.PRUNED)
        except Untrainable as error:
            trial.set_user_attr(REASON, str(error))
            study.tell(trial, state=TrialState.FAIL)
        except _OutOfTimeError:
            return None
        return _trial(study.get_trials(deepcopy=False)[trial.number])

    def _objective(self, trial: optuna.Trial, overrides: dict[str, Any], deadline: float) -> float:
        question = self._question
        hyperparameters = hyperparameters_of(question.model, {**question.fixed, **overrides})
        values = []
        for place, split in enumerate(self._splits):

            def look(progress: Progress, *, is_first: bool = place == 0) -> None:
                if time.monotonic() > deadline:
                    raise _OutOfTimeError
                # Past the last step there is nothing left to save.
                if progress.is_news and progress.share < 1 and is_first:
                    _report(trial, progress.metrics["validations"])

            trainer = Trainer(
                question.data,
                hyperparameters,
                model=question.model,
                seed=question.seed + place,
                device=question.device,
                on_progress=look,
            )
            trainer.search_steps(split)
            values.append(trainer.best_value)
        return sum(values) / len(values)


def _report(trial: optuna.Trial, validations: list[dict[str, Any]]) -> None:
    """Tells the pruner the best so far."""
    best = max(each["ndcg@10"] for each in validations)
    step = validations[-1]["step"]
    trial.report(best, step)
    if trial.should_prune():
        raise optuna.TrialPruned(f"below the median of the trials before it at step {step}")


@contextmanager
def open_search(path: Path, question: Question, *, threads: int = 0) -> Iterator[Search]:
    """The search of this file, for as long as nobody else has it open; 0 threads are all cores.

    Conflict if another process has it, InvalidInput if the file is of another question.
    """
    torch.set_num_threads(threads or num_cores())
    prepare_memory()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(f"Another process is tuning with {path}.") from error
        _mend(path)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(path))),
            study_name=STUDY,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=20),
        )
        _prepare(study, question, path)
        yield Search(question, study)


def _mend(path: Path) -> None:
    """Takes away what a killed process left: a line that it had not written to its end, and its lock."""
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    written = path.read_bytes()
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        with path.open("r+b") as file:
            file.truncate(whole)


def _prepare(study: optuna.Study, question: Question, path: Path) -> None:
    fingerprint = question.fingerprint()
    asked = study.user_attrs.get("fingerprint")
    if asked is None:
        study.set_user_attr("fingerprint", fingerprint)
    elif asked != fingerprint:
        raise InvalidInput(
            f"{path} holds a study of other data, another model, space, seed or fixed values.",
            remedy="Give --study another name, or remove the file.",
        )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # Of a process that was killed: the file is ours alone.
        study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials(deepcopy=False)
    if not any(_counts(each) or each.state == TrialState.WAITING for each in trials):
        # The default first, so that the best is no worse.
        defaults = hyperparameters_of(question.model, question.fixed)
        study.enqueue_trial(parameters_of(defaults, question.space))


def _counts(trial: FrozenTrial) -> bool:
    """Whether the trial has an outcome of its own; one that was broken off failed without a reason."""
    return trial.state.is_finished() and (trial.state != TrialState.FAIL or REASON in trial.user_attrs)


def _trial(trial: FrozenTrial) -> Trial:
    value = trial.value if trial.state == TrialState.COMPLETE else None
    duration = trial.duration
    return Trial(
        trial.number,
        OUTCOMES[trial.state],
        value,
        dict(trial.user_attrs["hyperparameters"]),
        round(duration.total_seconds(), 2) if duration else 0.0,
        trial.user_attrs.get(REASON, ""),
    )
