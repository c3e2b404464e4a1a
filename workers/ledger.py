"""The workers' side of the ledger: claims, heartbeats and ends of training runs; releases and experiments."""

import uuid
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Engine, create_engine, event, func, or_, select, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from lsec.core.artifact import Manifest
from lsec.core.jobs import LEASE_S, TRAIN_QUEUE
from lsec.core.ledger import ReleaseRecord, Training, TrainingStatus, sync_url, utc_now
from lsec.core.release_ledger import Experiment, ExperimentStatus
from lsec.core.settings import Settings

LEASE = timedelta(seconds=LEASE_S)
MAX_CLAIMS = 5
BUSY_TIMEOUT_MS = 10_000


class Hold(StrEnum):
    """What has become of a claim."""

    HELD = "held"
    CANCELLED = "cancelled"
    """Held, and a cancel was asked for."""
    LOST = "lost"
    """The run has ended, or another claim holds it."""


def open_ledger(settings: Settings) -> Engine:
    """An engine for the ledger: SQLite in WAL mode, or Postgres."""
    url = sync_url(settings.ledger_url)
    # Parameters are ids of people, and errors are logged.
    engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # What is deleted is overwritten, so that the file forgets whom it should.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.close()


def claim_training(engine: Engine, training_id: str, *, worker: str = "") -> Training | None:
    """The training, now `running` under a lease of its own; None if it is final, unknown or held.

    None, too, while another run of its scope is running: the database refuses a second one. A run whose
    workers were lost MAX_CLAIMS times ends as failed instead.
    """
    with Session(engine, expire_on_commit=False) as session:
        try:
            with session.begin():
                return _claim(session, training_id, worker=worker)
        except IntegrityError:
            return None


def _claim(session: Session, training_id: str, *, worker: str) -> Training | None:
    now = utc_now()
    claimable = or_(
        Training.status == TrainingStatus.QUEUED,
        (Training.status == TrainingStatus.RUNNING) & (Training.heartbeat_at < now - LEASE),
    )
    claimed = session.execute(
        update(Training)
        .where(Training.id == training_id, claimable)
        .values(
            status=TrainingStatus.RUNNING,
            started_at=func.coalesce(Training.started_at, now),
            heartbeat_at=now,
            lease=uuid.uuid4().hex,
            worker=worker,
            num_claims=Training.num_claims + 1,
            version=Training.version + 1,
        )
        .returning(Training.id)
    ).scalar_one_or_none()
    if claimed is None:
        return None
    training = session.get_one(Training, training_id)
    if training.num_claims > MAX_CLAIMS:
        training.status = TrainingStatus.FAILED
        last = f" The last time: {training.message}" if training.message else ""
        training.error = f"Given up: its worker was lost or a service failed {MAX_CLAIMS} times.{last}"
        training.finished_at = now
        training.lease = None
        return None
    return training


def renew(engine: Engine, training: Training, **changes: Any) -> Hold:
    """Renew the lease and write `changes`; what has become of the claim."""
    values: dict[str, Any] = {"heartbeat_at": utc_now(), **changes}
    if changes:
        values["version"] = Training.version + 1
    with Session(engine) as session, session.begin():
        row = session.execute(
            update(Training).where(*_held(training)).values(**values).returning(Training.cancel_requested_at)
        ).one_or_none()
    if row is None:
        return Hold.LOST
    return Hold.HELD if row[0] is None else Hold.CANCELLED


def end_training(engine: Engine, training: Training, status: TrainingStatus, **changes: Any) -> None:
    """Bring a held training to its final state; one that ended or changed hands stays as it is."""
    _hand_over(engine, training, status=status, finished_at=utc_now(), eta_s=None, **changes)


def requeue_training(engine: Engine, training: Training, *, message: str, orderly: bool) -> None:
    """Give a held training back to the queue; an `orderly` hand-over is no reason to give it up."""
    claims = {"num_claims": 0} if orderly else {}
    _hand_over(engine, training, status=TrainingStatus.QUEUED, message=message, **claims)


def _hand_over(engine: Engine, training: Training, **values: Any) -> None:
    with Session(engine) as session, session.begin():
        session.execute(
            update(Training)
            .where(*_held(training))
            .values(lease=None, version=Training.version + 1, **values)
        )


def _held(training: Training) -> tuple[ColumnElement[bool], ...]:
    """That the run is still held by this claim."""
    return (
        Training.id == training.id,
        Training.status == TrainingStatus.RUNNING,
        Training.lease == training.lease,
    )


def lost_trainings(engine: Engine, *, at_start: bool = False) -> dict[str, str]:
    """Ids and queues of runs whose job may be lost: running without a heartbeat, or queued for a while.

    A worker that starts (`at_start`) takes up all that is queued, however new. A job that is sent
    again needlessly is harmless: the claim sorts it out.
    """
    limit = utc_now() - LEASE
    queued = Training.status == TrainingStatus.QUEUED
    lost = (Training.status == TrainingStatus.RUNNING) & (Training.heartbeat_at < limit)
    waits = queued if at_start else queued & (Training.created_at < limit)
    return _jobs(engine, or_(lost, waits))


def queued_in_scope(engine: Engine, training_id: str) -> dict[str, str]:
    """Ids and queues of the runs that wait for this one to end."""
    scope = select(Training.scope_key).where(Training.id == training_id, Training.scope_key != "")
    return _jobs(
        engine, Training.scope_key.in_(scope.scalar_subquery()), Training.status == TrainingStatus.QUEUED
    )


def _jobs(engine: Engine, *which: ColumnElement[bool]) -> dict[str, str]:
    """The queue of each of these runs by its id, in the order in which they were asked for."""
    found = select(Training.id, Training.queue).where(*which).order_by(Training.created_at, Training.id)
    with Session(engine) as session:
        return {training_id: queue or TRAIN_QUEUE for training_id, queue in session.execute(found)}


def give_back(engine: Engine, worker: str) -> list[str]:
    """Put what a worker of that name held into the queue again: it was killed, this one has its place."""
    if not worker:
        return []
    with Session(engine) as session, session.begin():
        return list(
            session.scalars(
                update(Training)
                .where(Training.worker == worker, Training.status == TrainingStatus.RUNNING)
                .values(status=TrainingStatus.QUEUED, lease=None, version=Training.version + 1)
                .returning(Training.id)
            )
        )


def end_cancelled(engine: Engine) -> list[str]:
    """End the runs that were to be cancelled while nobody held them; their ids."""
    now = utc_now()
    nobodys = or_(Training.status == TrainingStatus.QUEUED, Training.heartbeat_at < now - LEASE)
    with Session(engine) as session, session.begin():
        return list(
            session.scalars(
                update(Training)
                .where(
                    Training.status.in_((TrainingStatus.QUEUED, TrainingStatus.RUNNING)),
                    nobodys,
                    Training.cancel_requested_at.is_not(None),
                )
                .values(
                    status=TrainingStatus.CANCELLED,
                    message="cancelled",
                    finished_at=now,
                    lease=None,
                    eta_s=None,
                    version=Training.version + 1,
                )
                .returning(Training.id)
            )
        )


def last_timings(engine: Engine, training: Training) -> dict[str, float]:
    """Seconds of each phase of the last run of this scope, or of any, that succeeded; {} if there is none."""
    finished = (
        select(Training.timings_s)
        .where(Training.status == TrainingStatus.SUCCEEDED)
        .order_by((Training.scope_key == training.scope_key).desc(), Training.finished_at.desc())
        .limit(1)
    )
    with Session(engine) as session:
        return dict(session.scalar(finished) or {})


def record_release(
    engine: Engine, manifest: Manifest, *, requested_by: str = "", code_version: str = "", num_bytes: int = 0
) -> None:
    """Write the release's row; the same release again changes nothing."""
    with Session(engine) as session, session.begin():
        if session.get(ReleaseRecord, manifest.release_id) is None:
            session.add(
                ReleaseRecord(
                    id=manifest.release_id,
                    training_id=manifest.training_id,
                    model=manifest.model,
                    metrics=manifest.metrics,
                    counts=manifest.counts,
                    snapshot_sha256=manifest.snapshot_sha256,
                    seed=manifest.seed,
                    hyperparameters=manifest.hyperparameters,
                    scope=manifest.scope or {},
                    code_version=code_version,
                    num_bytes=num_bytes,
                    requested_by=requested_by,
                    created_at=datetime.fromisoformat(manifest.created_at),
                )
            )


def mark_published(engine: Engine, release_id: str) -> None:
    """Note when the release was first published."""
    with Session(engine) as session, session.begin():
        session.execute(
            update(ReleaseRecord)
            .where(ReleaseRecord.id == release_id, ReleaseRecord.published_at.is_(None))
            .values(published_at=utc_now())
        )


def running_experiment(engine: Engine) -> Experiment | None:
    """The experiment that runs, if one does."""
    running = select(Experiment).where(Experiment.status == ExperimentStatus.RUNNING)
    with Session(engine, expire_on_commit=False) as session:
        return session.scalar(running)
