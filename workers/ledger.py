"""The workers' side of the ledger: claims, heartbeats and ends of training runs, and releases."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, create_engine, event, or_, select, update
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from lsec.core.artifact import Manifest
from lsec.core.ledger import ReleaseRecord, Training, TrainingStatus, sync_url, utc_now
from lsec.core.settings import Settings

LEASE = timedelta(seconds=20)
"""A running training without a heartbeat for so long has lost its worker."""
BUSY_TIMEOUT_MS = 10_000


def open_ledger(settings: Settings) -> Engine:
    """An engine for the ledger: SQLite in WAL mode, or Postgres."""
    url = sync_url(settings.ledger_url)
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.close()


def claim_training(engine: Engine, training_id: str) -> Training | None:
    """The training, now `running` and ours; None if it is final, unknown, or another worker has it."""
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
                started_at=now,
                heartbeat_at=now,
                version=Training.version + 1,
            )
            .returning(Training.id)
        ).scalar_one_or_none()
        return session.get_one(Training, training_id) if claimed else None


def beat(engine: Engine, training_id: str, **changes: Any) -> bool:
    """Renew the lease and write `changes`; whether the run may go on (False: cancel was asked)."""
    with Session(engine) as session, session.begin():
        values: dict[str, Any] = {"heartbeat_at": utc_now(), **changes}
        if changes:
            values["version"] = Training.version + 1
        row = session.execute(
            update(Training)
            .where(Training.id == training_id, Training.status == TrainingStatus.RUNNING)
            .values(**values)
            .returning(Training.cancel_requested_at)
        ).one_or_none()
        return row is not None and row[0] is None


def end_training(engine: Engine, training_id: str, status: TrainingStatus, **changes: Any) -> None:
    """Bring a running training to its final state; one that is final already stays as it is."""
    with Session(engine) as session, session.begin():
        session.execute(
            update(Training)
            .where(Training.id == training_id, Training.status == TrainingStatus.RUNNING)
            .values(
                status=status,
                finished_at=utc_now(),
                eta_s=None,
                version=Training.version + 1,
                **changes,
            )
        )


def requeue_training(engine: Engine, training_id: str) -> None:
    """Give a running training back to the queue, for a worker that shuts down."""
    with Session(engine) as session, session.begin():
        session.execute(
            update(Training)
            .where(Training.id == training_id, Training.status == TrainingStatus.RUNNING)
            .values(status=TrainingStatus.QUEUED, message="interrupted", version=Training.version + 1)
        )


def lost_trainings(engine: Engine, *, at_start: bool = False) -> list[str]:
    """Ids of runs that no worker holds: running without a heartbeat, or queued while none runs.

    A worker that starts (`at_start`) takes up all that is queued, however new.
    """
    limit = utc_now() - LEASE
    with Session(engine) as session:
        runs = session.execute(
            select(Training.id, Training.status, Training.heartbeat_at, Training.created_at)
            .where(Training.status.in_((TrainingStatus.RUNNING, TrainingStatus.QUEUED)))
            .order_by(Training.created_at)
        ).all()
    stale = [r.id for r in runs if r.status == TrainingStatus.RUNNING and r.heartbeat_at < limit]
    queued = [r for r in runs if r.status == TrainingStatus.QUEUED]
    if at_start:
        return stale + [r.id for r in queued]
    if len(stale) + len(queued) < len(runs):
        return stale  # a live run: the queue is being worked through
    return stale + [r.id for r in queued if r.created_at < limit]


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
