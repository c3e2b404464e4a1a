"""One training run: export, a supervised training subprocess, artifact, release, publication."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from lsec.core.artifact import open_artifact
from lsec.core.errors import LsecError
from lsec.core.jobs import new_id
from lsec.core.ledger import Training, TrainingStatus
from lsec.core.settings import Settings
from workers import ledger
from workers.graph import open_driver
from workers.publish import publish
from workers.snapshot import Scope, export_snapshot

BEAT_S = 1.0
GRACE_S = 3.0
STOPPING = threading.Event()
"""Set when this worker shuts down: its runs go back to the queue."""
PHASE_SHARES = {"export": (0, 10), "train": (10, 90), "publish": (90, 100)}


class Cancelled(Exception):
    """The run was cancelled, or its lease went to another worker."""


class Interrupted(Exception):
    """This worker shuts down; another, or the next, goes on with the run."""


class TrainingFailed(LsecError):
    """The training subprocess could not finish; carries its own message."""


@dataclass
class Run:
    """A claimed run: its lease, kept by a thread, and what is reported of it."""

    engine: Engine
    training: Training
    folder: Path
    timings_s: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lost: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _changes: dict[str, Any] = field(default_factory=dict)

    @contextlib.contextmanager
    def lease(self) -> Iterator[None]:
        """Keep the lease by a heartbeat while inside."""
        keeper = threading.Thread(target=self._keep, name=f"lease-{self.training.id}", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._stop.set()
            keeper.join()

    def _keep(self) -> None:
        while not self._stop.wait(BEAT_S):
            self._write()

    def _write(self) -> None:
        with self._lock:
            changes, self._changes = self._changes, {}
        if not ledger.beat(self.engine, self.training.id, **changes):
            self._lost.set()

    def report(self, phase: str, share: float, **changes: Any) -> None:
        """Say how far `phase` is (share in 0 to 1); Cancelled if the run must stop."""
        low, high = PHASE_SHARES[phase]
        percent = round(low + (high - low) * min(max(share, 0.0), 1.0), 1)
        with self._lock:
            self._changes |= {"phase": phase, "percent": percent, **changes}
        self.check()

    @property
    def must_stop(self) -> bool:
        """Whether the run was cancelled, its lease lost, or this worker shuts down."""
        return self._lost.is_set() or STOPPING.is_set()

    def check(self) -> None:
        """Raise Cancelled or Interrupted if the run must stop."""
        if self._lost.is_set():
            raise Cancelled
        if STOPPING.is_set():
            raise Interrupted

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Report the phase's begin at once and note its wall time at its end."""
        self.report(phase, 0.0, message="", eta_s=None)
        self._write()
        self.check()
        started = time.monotonic()
        yield
        self.timings_s[phase] = round(time.monotonic() - started, 2)
        self.report(phase, 1.0, timings_s=dict(self.timings_s))
        self._write()
        self.check()


def run_training(settings: Settings, training_id: str) -> TrainingStatus | None:
    """Run a training from where it stands to its end; None if there is nothing to do.

    Safe to call again for the same id: one worker at a time holds the run, and finished
    steps (snapshot, artifact, release) are not done twice.
    """
    engine = ledger.open_ledger(settings)
    try:
        training = ledger.claim_training(engine, training_id)
        if training is None:
            return None
        return _run_claimed(settings, engine, training)
    finally:
        engine.dispose()


def _run_claimed(settings: Settings, engine: Engine, training: Training) -> TrainingStatus:
    run = Run(engine, training, settings.runs_path / training.id)
    outcome: dict[str, Any]
    try:
        with run.lease():
            release_id, metrics = _run_steps(settings, run)
        status = TrainingStatus.SUCCEEDED
        outcome = {"release_id": release_id, "metrics": metrics, "percent": 100.0, "phase": "done"}
    except Interrupted:
        ledger.requeue_training(engine, training.id)
        return TrainingStatus.QUEUED
    except Cancelled:
        status, outcome = TrainingStatus.CANCELLED, {"message": "cancelled"}
    except LsecError as error:
        status, outcome = TrainingStatus.FAILED, {"error": str(error)}
    except Exception as error:  # the run's end must be written whatever it was
        ledger.end_training(
            engine, training.id, TrainingStatus.FAILED, error=f"{type(error).__name__}: {error}"
        )
        raise
    ledger.end_training(engine, training.id, status, timings_s=dict(run.timings_s), **outcome)
    return status


def _run_steps(settings: Settings, run: Run) -> tuple[str, dict[str, Any]]:
    run.folder.mkdir(parents=True, exist_ok=True)
    with open_driver(settings) as driver:
        with run.timed("export"):
            scope = _scope(run.training.request)
            export_snapshot(
                driver, run.folder / "snapshot", scope, check=lambda share: run.report("export", share)
            )
        with run.timed("train"):
            artifact_path = _train(settings, run)
        artifact = open_artifact(artifact_path, verify=True)
        ledger.record_release(run.engine, artifact.manifest)
        if run.training.request.get("publish", True):
            with run.timed("publish"):
                publish(
                    driver,
                    artifact,
                    keep=settings.kept_releases,
                    check=lambda share: run.report("publish", share),
                )
            ledger.mark_published(run.engine, artifact.manifest.release_id)
        return artifact.manifest.release_id, dict(artifact.manifest.metrics)


def _scope(request: dict[str, Any]) -> Scope:
    return Scope(
        since=_moment(request.get("since")),
        until=_moment(request.get("until")),
        categories=tuple(request.get("categories") or ()),
        streamers=tuple(request.get("streamers") or ()),
        min_purchases=request.get("min_purchases", 1),
    )


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _train(settings: Settings, run: Run) -> Path:
    """Train in a subprocess and move the artifact to its place; the artifact's folder."""
    job_path = run.folder / "job.json"
    if not job_path.exists():
        job_path.write_text(json.dumps(_job(settings, run.training), indent=2))
    release_id = json.loads(job_path.read_text())["release_id"]
    target: Path = settings.artifacts_path / release_id
    if target.exists():
        return target
    made = run.folder / "artifact"
    if not made.exists():
        _supervise(run)
    target.parent.mkdir(parents=True, exist_ok=True)
    moving = target.with_name(f".{release_id}.moving")
    shutil.rmtree(moving, ignore_errors=True)
    shutil.copytree(made, moving)
    moving.rename(target)
    shutil.rmtree(made)
    return target


def _job(settings: Settings, training: Training) -> dict[str, Any]:
    return {
        "training_id": training.id,
        "release_id": new_id("rel"),
        "model": training.request["model"],
        "seed": training.request.get("seed", 0),
        "device": settings.device,
        "threads": settings.train_threads,
        "slate_length": settings.slate_length,
        "hyperparameters": {},
    }


def _supervise(run: Run) -> None:
    """Run the training subprocess to its end, passing its progress on; stop it when cancelled."""
    command = [sys.executable, "-m", "workers.training", str(run.folder)]
    with (
        (run.folder / "trainer.log").open("a") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        ) as process,
    ):
        assert process.stdout is not None
        watcher = threading.Thread(target=_stop_when_lost, args=(run, process), daemon=True)
        watcher.start()
        last = _follow(run, process.stdout)
        code = process.wait()
        watcher.join()
    run.check()
    if code != 0:
        reason = last.get("error") or f"the training process ended with code {code}"
        raise TrainingFailed(reason, remedy=f"Its log is {run.folder / 'trainer.log'}.")


def _follow(run: Run, lines: Iterable[str]) -> dict[str, Any]:
    """Report each progress line; the last one."""
    last: dict[str, Any] = {}
    for line in lines:
        last = json.loads(line)
        # A cancelled run's process is stopped by the watcher; the rest of its lines is read and dropped.
        with contextlib.suppress(Cancelled, Interrupted):
            known = {k: last[k] for k in ("eta_s", "message", "metrics") if k in last}
            run.report("train", last.get("percent", 0.0) / 100, **known)
    return last


def _stop_when_lost(run: Run, process: subprocess.Popen[str]) -> None:
    """End the training's process group soon after the run was cancelled or its lease lost."""
    while process.poll() is None:
        time.sleep(0.2)
        if run.must_stop:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            return
