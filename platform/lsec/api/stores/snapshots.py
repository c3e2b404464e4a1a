"""Snapshots in the ledger: asked for, listed, kept, deleted; each change leaves an audit record."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import celery
from sqlalchemy import ColumnElement, or_, select, update

from lsec.api.stores.ledger import Ledger
from lsec.api.stores.trainings import SEND_TIMEOUT_S
from lsec.core.errors import Conflict, NotFound, Unavailable
from lsec.core.jobs import EXPORT_JOB, SNAPSHOTS_JOB, TRAIN_QUEUE, UPKEEP_QUEUE, new_id
from lsec.core.ledger import AuditRecord, Training, TrainingStatus
from lsec.core.release_ledger import SnapshotRecord, SnapshotState

_FINAL = tuple(status for status in TrainingStatus if status.is_final)

log = logging.getLogger(__name__)


class SnapshotStore:
    """The snapshots, and the sending of their jobs once they are committed; the files are the workers'."""

    def __init__(self, ledger: Ledger, sender: celery.Celery) -> None:
        self._ledger = ledger
        self._sender = sender

    async def create(self, scope: dict[str, Any], *, keep: bool, key_id: str) -> SnapshotRecord:
        """A snapshot whose export is sent to the workers; Unavailable if the broker does not take the job."""
        record = SnapshotRecord(
            id=new_id("snp"), training_id=None, scope=scope, is_kept=keep, requested_by=key_id
        )
        async with self._ledger.write() as session:
            session.add(record)
            session.add(_audit(key_id, "snapshot.create", record.id, {**scope, "keep": keep}))
        try:
            await self._send(EXPORT_JOB, record.id, queue=TRAIN_QUEUE)
        # Celery lets its broker library's, the transport's and the socket's errors through.
        except Exception as error:
            reason = f"The job could not be sent to the workers: {error or type(error).__name__}"
            await self._fail(record.id, reason)
            raise Unavailable(
                f"Snapshot {record.id} failed: its job could not be sent to the workers.",
                remedy="See that the broker runs, then ask for a snapshot again.",
                snapshot_id=record.id,
            ) from error
        return record

    async def _send(self, job: str, *args: str, queue: str) -> None:
        def send() -> None:
            self._sender.send_task(job, args=list(args), queue=queue, retry=False)

        await asyncio.wait_for(asyncio.to_thread(send), SEND_TIMEOUT_S)

    async def _fail(self, snapshot_id: str, reason: str) -> None:
        async with self._ledger.write() as session:
            await session.execute(
                update(SnapshotRecord)
                .where(SnapshotRecord.id == snapshot_id, SnapshotRecord.state == SnapshotState.EXPORTING)
                .values(state=SnapshotState.FAILED, error=reason)
            )

    async def list(self, *, limit: int) -> Sequence[SnapshotRecord]:
        """The newest snapshots, newest first."""
        newest = select(SnapshotRecord).order_by(SnapshotRecord.created_at.desc(), SnapshotRecord.id.desc())
        async with self._ledger.read() as session:
            return (await session.scalars(newest.limit(limit))).all()

    async def get(self, snapshot_id: str) -> SnapshotRecord:
        """The snapshot of that id; NotFound if there is none."""
        async with self._ledger.read() as session:
            return _found(await session.get(SnapshotRecord, snapshot_id), snapshot_id)

    async def check_usable(self, snapshot_id: str) -> None:
        """NotFound if there is no such snapshot, Conflict if it is not ready to be trained on."""
        record = await self.get(snapshot_id)
        if record.state != SnapshotState.READY:
            reason = f": {record.error}" if record.error else "."
            raise Conflict(
                f"Snapshot {snapshot_id} cannot be trained on, it is {record.state}{reason}",
                remedy="`lsec snapshots list` shows those that are ready.",
            )

    async def keep(self, snapshot_id: str, *, key_id: str) -> SnapshotRecord:
        """Keep a snapshot until it is deleted; one that is kept stays so. Conflict if it failed."""
        async with self._ledger.write() as session:
            record = _found(await session.get(SnapshotRecord, snapshot_id), snapshot_id)
            if record.state == SnapshotState.FAILED:
                raise Conflict(f"Snapshot {snapshot_id} failed: there is nothing to keep. {record.error}")
            if not record.is_kept:
                record.is_kept = True
                session.add(_audit(key_id, "snapshot.keep", snapshot_id, {}))
        return record

    async def delete(self, snapshot_id: str, *, key_id: str) -> SnapshotRecord:
        """Delete a snapshot, kept or not; the record as it was. Its files go with the workers' next look.

        NotFound if there is none, Conflict while a run that waits or is under way uses it.
        """
        async with self._ledger.write() as session:
            record = _found(await session.get(SnapshotRecord, snapshot_id), snapshot_id)
            if user := await session.scalar(select(Training.id).where(*_uses(record)).limit(1)):
                raise Conflict(
                    f"Training {user} uses snapshot {snapshot_id}.",
                    remedy="Wait for its end, or cancel it, and delete the snapshot then.",
                    training_id=user,
                )
            await session.delete(record)
            session.add(_audit(key_id, "snapshot.delete", snapshot_id, {"was_kept": record.is_kept}))
        # If the broker does not take it, the schedule sends that job, too.
        [outcome] = await asyncio.gather(
            self._send(SNAPSHOTS_JOB, queue=UPKEEP_QUEUE), return_exceptions=True
        )
        if outcome is not None:
            log.warning("the files of snapshot %s go later: %r", snapshot_id, outcome)
        return record


def _uses(record: SnapshotRecord) -> tuple[ColumnElement[bool], ...]:
    """That a training is not over, and trains on the snapshot, or will."""
    named = Training.request["snapshot"].as_string() == record.id
    used = or_(Training.snapshot_id == record.id, named, Training.id == record.training_id)
    return Training.status.not_in(_FINAL), used


def _found(record: SnapshotRecord | None, snapshot_id: str) -> SnapshotRecord:
    if record is None:
        raise NotFound(f"There is no snapshot {snapshot_id}.")
    return record


def _audit(key_id: str, action: str, target: str, detail: dict[str, Any]) -> AuditRecord:
    return AuditRecord(key_id=key_id, action=action, target=target, detail=detail)
