"""Exports that are asked for by themselves: claimed by one worker, kept alive, brought to an end."""

import contextlib
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, or_, update
from sqlalchemy.orm import Session

from lsec.core.errors import LsecError
from lsec.core.ledger import utc_now
from lsec.core.release_ledger import SnapshotRecord, SnapshotState
from lsec.core.settings import Settings
from workers.graph import open_driver
from workers.ledger import open_ledger
from workers.run import STOPPING, Interrupted
from workers.snapshot import Check, discard_parts
from workers.snapshots import export
from workers.trainings import OUTAGES

LEASE = timedelta(seconds=60)
"""An export without a sign of life for so long has lost its worker."""
BEAT_EVERY_S = 1.0
MAX_CLAIMS = 5

log = logging.getLogger(__name__)


class _Gone(Exception):
    """The snapshot was deleted while it was exported, or another worker has taken it over."""


def run_export(settings: Settings, snapshot_id: str) -> SnapshotState | None:
    """Export a snapshot that was asked for by itself; None if there is nothing to do.

    Safe to call again for the same id: one worker at a time holds it, by the number of its claim. A worker
    that shuts down and one whose service is away leave it to the next.
    """
    engine = open_ledger(settings)
    try:
        record = _claim(engine, snapshot_id)
        if record is None:
            return None
        with _ended(engine, record) as outcome, open_driver(settings) as driver:
            folder = settings.snapshots_path / record.id
            export(engine, record, driver, folder, check=_heartbeat(engine, record))
            outcome.append(SnapshotState.READY)
        if not outcome:
            discard_parts(settings.snapshots_path / record.id)
        return outcome[0] if outcome else None
    finally:
        engine.dispose()


@contextlib.contextmanager
def _ended(engine: Engine, record: SnapshotRecord) -> Iterator[list[SnapshotState]]:
    """Write down how an export ended that did not come to its end inside."""
    outcome: list[SnapshotState] = []
    try:
        yield outcome
    except _Gone:
        log.info("snapshot %s is no longer wanted here", record.id)
    except (Interrupted, *OUTAGES) as error:
        log.warning("snapshot %s waits for the next worker: %s", record.id, error or "interrupted")
        _change(engine, record, heartbeat_at=None)
    except LsecError as error:
        outcome.append(SnapshotState.FAILED)
        _change(engine, record, state=SnapshotState.FAILED, error=str(error))
    except Exception as error:  # its end must be written whatever it was
        reason = f"{type(error).__name__}: {error}"
        _change(engine, record, state=SnapshotState.FAILED, error=reason)
        raise


def _claim(engine: Engine, snapshot_id: str) -> SnapshotRecord | None:
    """The record, held by this worker; None if it is over, unknown or held.

    One whose workers were lost MAX_CLAIMS times has failed instead.
    """
    now = utc_now()
    lost = or_(SnapshotRecord.heartbeat_at.is_(None), SnapshotRecord.heartbeat_at < now - LEASE)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        claimed = session.scalar(
            update(SnapshotRecord)
            .where(SnapshotRecord.id == snapshot_id, SnapshotRecord.state == SnapshotState.EXPORTING, lost)
            .values(heartbeat_at=now, num_claims=SnapshotRecord.num_claims + 1)
            .returning(SnapshotRecord.id)
        )
        if claimed is None:
            return None
        record = session.get_one(SnapshotRecord, snapshot_id)
        if record.num_claims > MAX_CLAIMS:
            record.state = SnapshotState.FAILED
            record.error = f"Given up: its worker was lost or a service failed {MAX_CLAIMS} times."
            return None
        return record


def _heartbeat(engine: Engine, record: SnapshotRecord) -> Check:
    """What keeps the claim while the export goes on, and stops it if it must."""
    written_at = 0.0

    def check(share: float) -> None:
        nonlocal written_at
        if STOPPING.is_set():
            raise Interrupted
        if time.monotonic() - written_at < BEAT_EVERY_S:
            return
        if not _change(engine, record, heartbeat_at=utc_now(), percent=round(100 * share, 1)):
            raise _Gone
        written_at = time.monotonic()

    return check


def _change(engine: Engine, record: SnapshotRecord, **values: Any) -> bool:
    """Change a record that this claim still holds; whether it does."""
    with Session(engine) as session, session.begin():
        changed = session.scalar(
            update(SnapshotRecord).where(*_held(record)).values(**values).returning(SnapshotRecord.id)
        )
    return changed is not None


def _held(record: SnapshotRecord) -> tuple[ColumnElement[bool], ...]:
    return (
        SnapshotRecord.id == record.id,
        SnapshotRecord.state == SnapshotState.EXPORTING,
        SnapshotRecord.num_claims == record.num_claims,
    )
