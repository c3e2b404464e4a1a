"""One training run: export, a supervised training subprocess, artifact, release, publication."""

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import neo4j
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from lsec.core import durable
from lsec.core.artifact import open_artifact
from lsec.core.errors import LsecError
from lsec.core.jobs import new_id
from lsec.core.ledger import Training, TrainingStatus
from lsec.core.settings import Settings
from workers import ledger
from workers.graph import open_driver
from workers.publish import publish
from workers.run import Cancelled, Interrupted, Run
from workers.snapshot import Scope, export_snapshot
from workers.trainer_process import supervise

log = logging.getLogger(__name__)

OUTAGES = (neo4j.exceptions.DriverError, neo4j.exceptions.TransientError, OperationalError)
"""A service was away: the run waits in the queue and goes on from its finished steps."""


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
        ledger.requeue_training(engine, training, message="interrupted", orderly=True)
        return TrainingStatus.QUEUED
    except OUTAGES as error:
        log.warning("training %s goes back to the queue: %s", training.id, error)
        ledger.requeue_training(engine, training, message=f"waiting: {error}", orderly=False)
        return TrainingStatus.QUEUED
    except Cancelled:
        status, outcome = TrainingStatus.CANCELLED, {"message": "cancelled"}
    except LsecError as error:
        status, outcome = TrainingStatus.FAILED, {"error": str(error)}
    except Exception as error:  # the run's end must be written whatever it was
        reason = f"{type(error).__name__}: {error}"
        ledger.end_training(engine, training, TrainingStatus.FAILED, error=reason)
        raise
    ledger.end_training(engine, training, status, timings_s=dict(run.timings_s), **outcome)
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
        durable.write_text(job_path, json.dumps(_job(settings, run.training), indent=2))
    release_id = json.loads(job_path.read_text())["release_id"]
    target: Path = settings.artifacts_path / release_id
    if target.exists():
        return target
    made = run.folder / "artifact"
    if not made.exists():
        supervise(run)
    durable.move_folder(made, target)
    (run.folder / "checkpoint.pt").unlink(missing_ok=True)
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
