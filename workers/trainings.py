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
from lsec.core.errors import LsecError, Untrainable
from lsec.core.jobs import HOW_TO_PUBLISH, WHY_UNPUBLISHED, can_be_published, new_id
from lsec.core.ledger import Training, TrainingStatus
from lsec.core.settings import Settings
from workers import ledger
from workers.graph import open_driver
from workers.publish import publish
from workers.run import Cancelled, Interrupted, Run
from workers.snapshot import Scope, export_snapshot
from workers.trainer_process import supervise
from workers.training.presets import chosen_hyperparameters, presets_folder

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
        outcome["message"] = metrics.get("stopped_because", "")
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
    # Before the export: a job that cannot be trained must not wait for it.
    release_id = _release_id(settings, run)
    with open_driver(settings) as driver:
        with run.timed("export"):
            scope = _scope(run.training.request)
            export_snapshot(
                driver, run.folder / "snapshot", scope, check=lambda share: run.report("export", share)
            )
        with run.timed("train"):
            artifact_path = _train(settings, run, release_id)
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


def _release_id(settings: Settings, run: Run) -> str:
    """The release that the run's job names; the job is written once, so a preset is taken as it then was."""
    job_path = run.folder / "job.json"
    if not job_path.exists():
        durable.write_text(job_path, json.dumps(_job(settings, run.training), indent=2))
    return str(json.loads(job_path.read_text())["release_id"])


def _train(settings: Settings, run: Run, release_id: str) -> Path:
    """Train in a subprocess and move the artifact to its place; the artifact's folder."""
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
    """The job; Untrainable for what no training can do, or no publication after it."""
    request = training.request
    chosen = chosen_hyperparameters(request, folder=presets_folder(settings.data_dir))
    if request.get("publish", True) and not can_be_published(request["model"], chosen):
        reason = f"{request['model']} cannot be published: {WHY_UNPUBLISHED}."
        raise Untrainable(reason, remedy=HOW_TO_PUBLISH)
    return {
        "training_id": training.id,
        "release_id": new_id("rel"),
        "model": request["model"],
        "seed": request.get("seed", 0),
        "device": settings.device,
        "threads": settings.train_threads,
        "slate_length": settings.slate_length,
        "hyperparameters": chosen,
    }
