"""The workers' side of the ledger: claims, heartbeats and ends of training runs, and releases."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, create_engine, event, func, or_, select, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from lsec.core.artifact import Manifest
from lsec.core.ledger import ReleaseRecord, Training, TrainingStatus, sync_url, utc_now
from lsec.core.settings import Settings

LEASE = timedelta(seconds=20)
"""A running training without a heartbeat for so long has lost its worker."""
MAX_CLAIMS = 5
BUSY_TIMEOUT_MS = 10_000


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


def claim_training(engine: Engine, training_id: str) -> Training | None:
    """The training, now `running` under a lease of its own; None if it is final, unknown or held.

    A run whose workers were lost MAX_CLAIMS times ends as failed instead.
    """
    now = utc_now()
    claimable = or_(
        Training.status == TrainingStatus.QUEUED,
        (Training.status == TrainingStatus.RUNNING) & (Training.heartbeat_at < now - LEASE),
    )
    with Session(engine, expire_on_commit=False) as session, session.begin():
        claimed = session.execute(
            update(Training)
            .where(Training.id == training_id, claimable)
            .values(
                status=TrainingStatus.RUNNING,
                started_at=func.coalesce(Training.started_at, now),
                heartbeat_at=now,
                lease=uuid.uuid4().hex,
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
            training.error = f"Given up: its worker was lost or a service failed {MAX_CLAIMS} times."
            training.finished_at = now
            return None
        return training


def beat(engine: Engine, training: Training, **changes: Any) -> bool:
    """Renew the lease and write `changes`; whether the run may go on.

    False if a cancel was asked, the run has ended, or another claim holds it.
    """
    values: dict[str, Any] = {"heartbeat_at": utc_now(), **changes}
    if changes:
        values["version"] = Training.version + 1
    with Session(engine) as session, session.begin():
        row = session.execute(
            update(Training).where(*_held(training)).values(**values).returning(Training.cancel_requested_at)
        ).one_or_none()
        return row is not None and row[0] is None


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


def lost_trainings(engine: Engine, *, at_start: bool = False) -> list[str]:
    """Ids of runs whose job may be lost: running without a heartbeat, or queued for a while.

    A worker that starts (`at_start`) takes up all that is queued, however new. A job that is sent
    again needlessly is harmless: the claim sorts it out.
    """
    limit = utc_now() - LEASE
    queued = Training.status == TrainingStatus.QUEUED
    with Session(engine) as session:
        return list(
            session.scalars(
                select(Training.id)
                .where(
                    or_(
                        (Training.status == TrainingStatus.RUNNING) & (Training.heartbeat_at < limit),
                        queued if at_start else queued & (Training.created_at < limit),
                    )
                )
                .order_by(Training.created_at)
            )
        )


def record_release(engine: Engine, manifest: Manifest) -> None:
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
