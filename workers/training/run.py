"""One training run: from its folder's job and snapshot to its artifact, with progress on the way."""

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from lsec.core.artifact import MANIFEST, open_artifact
from lsec.core.errors import Untrainable
from workers.training.artifact_writer import write_artifact
from workers.training.checkpoint import Checkpoint
from workers.training.data import read_snapshot, snapshot_sha256
from workers.training.job import Job, read_job
from workers.training.progress import Phase, Progress
from workers.training.trainer import Trainer

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
    """Runs the folder named on the command line and returns the exit status."""
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
    """Trains and writes `artifact/`; a run that has one already is done."""
    job = read_job(folder / "job.json")
    artifact_folder = folder / "artifact"
    emitter = Emitter()
    if (artifact_folder / MANIFEST).exists():
        metrics = open_artifact(artifact_folder).manifest.metrics
        emitter.emit(Progress("write", 1, "artifact was written before", metrics))
        return
    torch.set_num_threads(job.threads or num_cores())
    device = chosen_device(job.device)
    emitter.emit(Progress("load", 0, f"reading the snapshot, training on {device.type}"))
    snapshot = folder / "snapshot"
    data = read_snapshot(snapshot)
    checkpoint = Checkpoint(folder / "checkpoint.pt", fingerprint=_fingerprint(job, snapshot, device))
    trainer = Trainer(
        data,
        job.hyperparameters,
        model=job.model,
        seed=job.seed,
        device=device,
        on_progress=emitter.emit,
        checkpoint=checkpoint,
    )
    trained = trainer.train()
    emitter.emit(Progress("rank", 0, "ranking all products for every user", trained.metrics))
    write_artifact(artifact_folder, trained, data, job=job, snapshot=snapshot, scoring=trained.scorer.scoring)
    emitter.emit(Progress("write", 1, "artifact written", trained.metrics))


def num_cores() -> int:
    """Cores that this process may use; macOS cannot tell, so all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def chosen_device(wanted: str) -> torch.device:
    """The device of that name; `auto` takes CUDA when there is one."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise Untrainable("CUDA is asked for, and torch sees no device.", remedy="Use device auto or cpu.")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


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


def _fingerprint(job: Job, snapshot: Path, device: torch.device) -> str:
    """Names everything that a step depends on."""
    parts = [snapshot_sha256(snapshot), job.model, job.seed, device.type, job.hyperparameters.to_dict()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _print_line(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()
