"""Snapshots in the ledger: asked for, listed, kept, deleted; each change leaves an audit record."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from lsec.api.stores.jobs import Jobs
from lsec.api.stores.ledger import Ledger, audit
from lsec.core.errors import Conflict, NotFound, Unavailable
from lsec.core.jobs import EXPORT_JOB, SNAPSHOTS_JOB, TRAIN_QUEUE, UPKEEP_QUEUE, new_id
from lsec.core.ledger import Training
from lsec.core.release_ledger import SnapshotRecord, SnapshotState, is_used


class SnapshotStore:
    """The snapshots, and the sending of their jobs once they are committed; the files are the workers'."""

    def __init__(self, ledger: Ledger, jobs: Jobs) -> None:
        self._ledger = ledger
        self._jobs = jobs

    async def create(self, scope: dict[str, Any], *, keep: bool, key_id: str) -> SnapshotRecord:
        """A snapshot whose export is sent to the workers; Unavailable if the broker does not take the job."""
        record = SnapshotRecord(
            id=new_id("snp"), training_id=None, scope=scope, is_kept=keep, requested_by=key_id
        )
        async with self._ledger.write() as session:
            session.add(record)
            session.add(audit(key_id, "snapshot.create", record.id, {**scope, "keep": keep}))
        try:
            await self._jobs.send(EXPORT_JOB, record.id, queue=TRAIN_QUEUE)
        except Exception as error:
            reason = f"The job could not be sent to the workers: {error or type(error).__name__}"
            await self._fail(record.id, reason)
            raise Unavailable(
                f"Snapshot {record.id} failed: its job could not be sent to the workers.",
                remedy="See that the broker runs, then ask for a snapshot again.",
                snapshot_id=record.id,
            ) from error
        return record

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
                session.add(audit(key_id, "snapshot.keep", snapshot_id, {}))
        return record

    async def delete(self, snapshot_id: str, *, key_id: str) -> SnapshotRecord:
        """Delete a snapshot, kept or not; the record as it was. Its files go with the workers' next look.

        NotFound if there is none, Conflict while a run that waits or is under way uses it.
        """
        async with self._ledger.write() as session:
            record = _found(await session.get(SnapshotRecord, snapshot_id), snapshot_id)
            if user := await session.scalar(
                select(Training.id).where(is_used(record.id, record.training_id)).limit(1)
            ):
                raise Conflict(
                    f"Training {user} uses snapshot {snapshot_id}.",
                    remedy="Wait for its end, or cancel it, and delete the snapshot then.",
                    training_id=user,
                )
            await session.delete(record)
            session.add(audit(key_id, "snapshot.delete", snapshot_id, {"was_kept": record.is_kept}))
        await self._jobs.hurry(SNAPSHOTS_JOB, queue=UPKEEP_QUEUE)
        return record


def _found(record: SnapshotRecord | None, snapshot_id: str) -> SnapshotRecord:
    if record is None:
        raise NotFound(f"There is no snapshot {snapshot_id}.")
    return record
