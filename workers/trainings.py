"""One training run: export, a supervised training subprocess, artifact, release, publication."""

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import neo4j
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from lsec.core import durable
from lsec.core.artifact import Manifest, open_artifact
from lsec.core.errors import LsecError, Untrainable
from lsec.core.gate import lets_pass
from lsec.core.jobs import GPU_QUEUE, HOW_TO_PUBLISH, WHY_UNPUBLISHED, can_be_published, new_id
from lsec.core.ledger import Training, TrainingStatus
from lsec.core.settings import Settings
from workers import ledger
from workers.code_version import code_version
from workers.gate import Rejected, bounds_of, judge_release, reason_of
from workers.graph import answers, end_statements, open_driver
from workers.publish import active_release, publish
from workers.run import Cancelled, Interrupted, LeaseLost, Run, Stalled
from workers.snapshots import snapshot_for
from workers.trainer_process import TrainerKilled, supervise
from workers.training.presets import chosen_hyperparameters, presets_folder

log = logging.getLogger(__name__)

OUTAGES = (neo4j.exceptions.DriverError, neo4j.exceptions.TransientError, OperationalError)
"""A service was away: the run waits in the queue and goes on from its finished steps."""


def run_training(settings: Settings, training_id: str, *, worker: str = "") -> TrainingStatus | None:
    """Run a training from where it stands to its end; None if there is nothing to do, or no graph there.

    `worker` is the name of the one that runs it. Safe to call again for the same id: one worker at a time
    holds the run, and finished steps (snapshot, artifact, release) are not done twice.
    """
    engine = ledger.open_ledger(settings)
    try:
        # Else each look for a service that is away for long would be one of the run's few claims.
        training = ledger.claim_training(engine, training_id, worker=worker) if answers(settings) else None
        if training is None:
            return None
        return _run_claimed(settings, engine, training)
    finally:
        engine.dispose()


def _run_claimed(settings: Settings, engine: Engine, training: Training) -> TrainingStatus:
    run = _open_run(settings, engine, training)
    outcome: dict[str, Any]
    try:
        with run.lease():
            release_id, metrics = _run_or_stop(settings, run)
        status = TrainingStatus.SUCCEEDED
        outcome = {"release_id": release_id, "metrics": metrics, "percent": 100.0, "phase": "done"}
        outcome["message"] = metrics.get("stopped_because", "")
    except Interrupted:
        ledger.requeue_training(engine, training, message="interrupted", orderly=True)
        return TrainingStatus.QUEUED
    except (*OUTAGES, LeaseLost, Stalled, TrainerKilled) as error:
        log.warning("training %s goes back to the queue: %r", training.id, error)
        message = f"waiting: {error}" if isinstance(error, OUTAGES) else str(error) or "its lease was lost"
        run.note(message)
        # Refused where another worker has it.
        ledger.requeue_training(engine, training, message=message, orderly=False)
        return TrainingStatus.QUEUED
    except Cancelled:
        status, outcome = TrainingStatus.CANCELLED, {"message": "cancelled"}
    except Rejected as end:
        status = TrainingStatus.REJECTED
        outcome = {"release_id": end.release_id, "metrics": end.metrics, "error": str(end)}
    except LsecError as error:
        status, outcome = TrainingStatus.FAILED, {"error": str(error)}
    except Exception as error:  # the run's end must be written whatever it was
        reason = f"{type(error).__name__}: {error}"
        ledger.end_training(engine, training, TrainingStatus.FAILED, error=reason)
        raise
    run.note(f"{status}: {outcome.get('error') or outcome.get('message') or outcome.get('release_id')}")
    ledger.end_training(engine, training, status, timings_s=dict(run.timings_s), **outcome)
    return status


def _open_run(settings: Settings, engine: Engine, training: Training) -> Run:
    """The claimed run in its folder, with what ends the statements that it waits for."""
    run = Run(
        engine,
        training,
        settings.runs_path / training.id,
        stall_s=settings.training_stall_s,
        expected_s=ledger.last_timings(engine, training),
        break_off=lambda: log.info("statements ended: %s", end_statements(settings, _driver_name(training))),
    )
    run.folder.mkdir(parents=True, exist_ok=True)
    run.note(f"takes up the run, claim {training.num_claims} of {ledger.MAX_CLAIMS}")
    return run


def _driver_name(training: Training) -> str:
    return f"lsec-training/{training.lease}"


def _run_or_stop(settings: Settings, run: Run) -> tuple[str, dict[str, Any]]:
    """As `_run_steps`; what a step raises that was broken off means the stop, and nothing else."""
    try:
        return _run_steps(settings, run)
    except Exception:
        run.check()
        raise


def _run_steps(settings: Settings, run: Run) -> tuple[str, dict[str, Any]]:
    with open_driver(settings, name=_driver_name(run.training)) as driver:
        # Before the export: a job that cannot be trained must not wait for it.
        release_id = _release_id(settings, run, driver)
        with run.timed("export"):
            snapshot_for(settings, run, driver)
        with run.timed("train"):
            artifact_path = _train(settings, run, release_id)
        artifact = open_artifact(artifact_path, verify=True)
        metrics = _judged(settings, run, artifact.manifest, active_release(driver))
        if run.training.request.get("publish", True):
            if not lets_pass(metrics["gate"]):
                raise Rejected(reason_of(metrics["gate"]), release_id=release_id, metrics=metrics)
            with run.timed("publish", is_last=True):
                publish(
                    driver,
                    artifact,
                    check=partial(_check_publication, run),
                )
            ledger.mark_published(run.engine, artifact.manifest.release_id)
        return artifact.manifest.release_id, metrics


def _judged(settings: Settings, run: Run, manifest: Manifest, champion: str | None) -> dict[str, Any]:
    """The release's metrics with the gate's verdict, both of which its row keeps."""
    files = (settings.artifacts_path / manifest.release_id).iterdir()
    ledger.record_release(
        run.engine,
        manifest,
        requested_by=run.training.requested_by,
        code_version=code_version(),
        num_bytes=sum(path.stat().st_size for path in files),
    )
    gate = judge_release(
        run.engine,
        run.training,
        release_id=manifest.release_id,
        metrics=manifest.metrics,
        bounds=bounds_of(settings),
        champion=champion,
    )
    return {**manifest.metrics, "gate": gate}


def _check_publication(run: Run, share: float) -> None:
    """Report the share; right before the flip, which nothing takes back, ask the ledger whose the run is."""
    run.report("publish", share)
    if share >= 1.0:
        run.confirm()


def _release_id(settings: Settings, run: Run, driver: neo4j.Driver) -> str:
    """The release that the run's job names; the job is written once, so a preset is taken as it then was."""
    job_path = run.folder / "job.json"
    if not job_path.exists():
        durable.write_text(job_path, json.dumps(_job(settings, run.training, driver), indent=2))
    return str(json.loads(job_path.read_text())["release_id"])


def _train(settings: Settings, run: Run, release_id: str) -> Path:
    """Train in a subprocess and move the artifact to its place; the artifact's folder."""
    target: Path = settings.artifacts_path / release_id
    if target.exists():
        return target
    made = run.folder / "artifact"
    if not made.exists():
        supervise(run)
    run.confirm()
    durable.move_folder(made, target)
    (run.folder / "checkpoint.pt").unlink(missing_ok=True)
    return target


def _device(settings: Settings, training: Training) -> str:
    """What the request asks for, else what its queue stands for, else this worker's setting."""
    asked = str(training.request.get("device", "auto"))
    if asked == "auto":
        return "cuda" if training.queue == GPU_QUEUE else settings.device
    return asked


def _job(settings: Settings, training: Training, driver: neo4j.Driver) -> dict[str, Any]:
    """The job; Untrainable for what no training can do, or no publication after it."""
    request = training.request
    chosen = chosen_hyperparameters(request, folder=presets_folder(settings.data_dir))
    if request.get("publish", True) and not can_be_published(request["model"], chosen):
        reason = f"{request['model']} cannot be published: {WHY_UNPUBLISHED}."
        raise Untrainable(reason, remedy=HOW_TO_PUBLISH)
    champion = active_release(driver)
    return {
        "training_id": training.id,
        "release_id": new_id("rel"),
        "model": request["model"],
        "seed": request.get("seed", 0),
        "device": _device(settings, training),
        "threads": settings.train_threads,
        "slate_length": settings.slate_length,
        "checkpoint_every_s": settings.checkpoint_s,
        "hyperparameters": chosen,
        "champion": str((settings.artifacts_path / champion).absolute()) if champion else None,
        "warm_start": bool(request.get("warm_start", False)),
    }
