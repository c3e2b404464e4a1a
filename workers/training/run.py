"""One training run: from its folder's job and snapshot to its artifact, with progress on the way."""

import hashlib
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lsec.core.artifact import MANIFEST, open_artifact
from lsec.core.errors import Untrainable
from lsec.core.jobs import DEFAULT_MODEL
from workers.training import processes
from workers.training.artifact_writer import write_artifact
from workers.training.checkpoint import Checkpoint
from workers.training.data import read_snapshot, read_timeline, snapshot_sha256
from workers.training.hyperparameters import Hyperparameters
from workers.training.job import Job, read_job
from workers.training.progress import OnProgress, Phase, Progress
from workers.training.trainer import Trainer
from workers.training.validation import Validation, validation_of
from workers.training.warm_start import warm_start

BAD_INPUT_EXIT = 3
PHASE_PERCENT: dict[Phase, tuple[float, float]] = {
    "load": (0, 2),
    "select": (2, 50),
    "train": (50, 95),
    "rank": (95, 98),
    "write": (98, 100),
}
EMIT_EVERY_S = 0.25


def main(arguments: list[str]) -> int:
    """Runs the folder named on the command line and returns the exit status.

    Of several processes each that fails says so: it may be the only one, or the first, before the others end.
    """
    if len(arguments) != 1:
        _print_line({"error": "usage: python -m workers.training RUN_FOLDER"})
        return BAD_INPUT_EXIT
    try:
        run(Path(arguments[0]))
    except Untrainable as error:
        _print_line({"error": str(error)})
        return BAD_INPUT_EXIT
    return 0


def run(folder: Path) -> None:
    """Trains and writes `artifact/`; a run that has one already is done.

    Of the processes that `torchrun` starts, the first tells, saves and writes.
    """
    job = read_job(folder / "job.json")
    device = chosen_device(job.device)
    with processes.joined(device):
        require_shareable(job.model)
        emit = Emitter().emit if processes.is_first() else _tell_nobody
        try:
            _train(folder, job, device, emit)
        except torch.OutOfMemoryError as error:
            raise Untrainable(
                f"This training does not fit the GPU's memory: {str(error).partition('. GPU')[0]}.",
                remedy="Lower dimensions, or train on several GPUs with torchrun.",
            ) from error
        processes.wait_for_all()


def require_shareable(model: str) -> None:
    """Untrainable where several processes are to train a model that one alone can."""
    num = processes.num_processes()
    if num > 1 and model != DEFAULT_MODEL:
        raise Untrainable(
            f"{model} is trained in one process, not {num}.", remedy="Start it without torchrun."
        )


def _train(folder: Path, job: Job, device: torch.device, emit: OnProgress) -> None:
    artifact_folder = folder / "artifact"
    if (artifact_folder / MANIFEST).exists():
        metrics = open_artifact(artifact_folder).manifest.metrics
        emit(Progress("write", 1, "artifact was written before", metrics))
        return
    _, num_on_machine = processes.place_on_machine()
    torch.set_num_threads(job.threads or max(1, num_cores() // num_on_machine))
    emit(Progress("load", 0, f"reading the snapshot, training on {_described(device)}"))
    snapshot = folder / "snapshot"
    data = read_snapshot(snapshot)
    warm = warm_start(job.champion, job.hyperparameters) if job.warm_start else None
    if warm is not None:
        job = replace(job, hyperparameters=warm.with_fewer_steps(job.hyperparameters))
    checkpoint = Checkpoint(
        folder / "checkpoint.pt",
        fingerprint=fingerprint(job, snapshot, device),
        every_s=job.checkpoint_every_s,
    )
    trainer = Trainer(
        data,
        job.hyperparameters,
        model=job.model,
        seed=job.seed,
        device=device,
        on_progress=emit,
        checkpoint=checkpoint,
        validation=_validation_by_time(snapshot, job),
        champion=job.champion,
        warm_start=warm,
    )
    trained = trainer.train()
    if not processes.is_first():
        return
    emit(Progress("rank", 0, "ranking all products for every user", trained.metrics))
    write_artifact(artifact_folder, trained, data, job=job, snapshot=snapshot, scoring=trained.scorer.scoring)
    emit(Progress("write", 1, "artifact written", trained.metrics))


def _validation_by_time(snapshot: Path, job: Job) -> Validation | None:
    """The split by time where the job asks for it; a split at random needs no more than the data."""
    hp = job.hyperparameters
    if not isinstance(hp, Hyperparameters) or hp.validation_split != "time":
        return None
    return validation_of(read_timeline(snapshot), hp, split=hp.validation_split, seed=job.seed)


def _tell_nobody(_: Progress) -> None:
    pass


def _described(device: torch.device) -> str:
    num = processes.num_processes()
    return device.type if num == 1 else f"{device.type} in {num} processes"


def num_cores() -> int:
    """Cores that this process may use; macOS cannot tell, so all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def chosen_device(wanted: str) -> torch.device:
    """The device of that name; `auto` takes CUDA when there is one. Each process takes a GPU of its own."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise Untrainable("CUDA is asked for, and torch sees no device.", remedy="Use device auto or cpu.")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    place, num_on_machine = processes.place_on_machine()
    if num_on_machine > torch.cuda.device_count():
        raise Untrainable(
            f"{num_on_machine} processes are to share {torch.cuda.device_count()} GPUs.",
            remedy="Start as many processes as there are GPUs, or use device cpu.",
        )
    return torch.device("cuda", place) if num_on_machine > 1 else torch.device("cuda")


class Emitter:
    """Prints progress as JSON lines, not more often than a reader needs, with the time that is left."""

    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self._emitted_at = -float("inf")
        self._phase: Phase | None = None

    def emit(self, progress: Progress) -> None:
        """Prints a line when there is news, the phase is new or done, or the last line is old enough."""
        now = time.monotonic()
        must_be_told = progress.is_news or progress.phase != self._phase or progress.share >= 1
        if not must_be_told and now - self._emitted_at < EMIT_EVERY_S:
            return
        self._emitted_at, self._phase = now, progress.phase
        low, high = PHASE_PERCENT[progress.phase]
        percent = low + (high - low) * progress.share
        elapsed_s = now - self._started_at
        _print_line(
            {
                "phase": progress.phase,
                "percent": round(percent, 1),
                "eta_s": round(elapsed_s * (100 - percent) / percent, 1) if percent > low else None,
                "message": progress.message,
                "metrics": dict(progress.metrics),
            }
        )


def fingerprint(job: Job, snapshot: Path, device: torch.device) -> str:
    """Names everything that a step depends on."""
    parts = [snapshot_sha256(snapshot), job.model, job.seed, device.type, job.hyperparameters.to_dict()]
    parts += [job.champion.name if job.champion else "", job.warm_start]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _print_line(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()
