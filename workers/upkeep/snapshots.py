"""Keeping snapshots in order: what nobody needs goes, and what was lost is told."""

import logging
import shutil
from pathlib import Path

from sqlalchemy import ColumnElement, Engine, delete, or_, select, update
from sqlalchemy.orm import Session

from lsec.core.ledger import utc_now
from lsec.core.release_ledger import SnapshotRecord, SnapshotState
from lsec.core.settings import Settings
from workers.exports import LEASE
from workers.snapshots import is_free
from workers.upkeep.snapshot_cleaning import CLEANED, folders_of, id_of

EXPORTING = SnapshotRecord.state == SnapshotState.EXPORTING

log = logging.getLogger(__name__)


def keep_in_order(settings: Settings, engine: Engine) -> list[str]:
    """Delete snapshots that nobody needs, and files that belong to none; ids of exports to be sent again.

    Those stay that somebody keeps, that a run under way uses, and the newest `kept_snapshots` of the others.
    """
    _fail_those_without_files(settings, engine)
    _delete_superfluous(engine, num_kept=settings.kept_snapshots)
    # Before the records: one that begins in between has no folder here.
    folders = folders_of(settings)
    with Session(engine) as session:
        rows = session.execute(select(SnapshotRecord.id, SnapshotRecord.state))
        states = {row.id: row.state for row in rows}
    for folder in folders:
        if _is_litter(folder, states.get(id_of(folder))):
            shutil.rmtree(folder, ignore_errors=True)
    return _lost_exports(engine)


def _is_litter(folder: Path, state: str | None) -> bool:
    """Whether the folder is of no snapshot, or what an export left that is over."""
    is_part = folder.name.startswith(".") and not folder.name.endswith(CLEANED)
    return state is None or (is_part and state != SnapshotState.EXPORTING)


def _delete_superfluous(engine: Engine, *, num_kept: int) -> None:
    """Delete the records, ready or failed, that nobody keeps or uses, but for the newest."""
    idle = select(SnapshotRecord.id).where(~EXPORTING, ~SnapshotRecord.is_kept, is_free())
    newest_first = idle.order_by(SnapshotRecord.created_at.desc(), SnapshotRecord.id.desc())
    with Session(engine) as session:
        found = session.scalars(newest_first.offset(num_kept)).all()
    for snapshot_id in found:
        with Session(engine) as session, session.begin():
            session.execute(
                delete(SnapshotRecord)
                .where(SnapshotRecord.id == snapshot_id, ~SnapshotRecord.is_kept, is_free())
                .execution_options(synchronize_session=False)
            )
        log.info("snapshot %s is no longer needed", snapshot_id)


def _fail_those_without_files(settings: Settings, engine: Engine) -> None:
    """Have the records say so whose export ended with its run, or whose folder is gone."""
    ended = EXPORTING & SnapshotRecord.training_id.is_not(None) & is_free()
    _fail(engine, ended, "The run that exported it ended before it was done.")
    with Session(engine) as session:
        is_ready = SnapshotRecord.state == SnapshotState.READY
        ready = session.scalars(select(SnapshotRecord.id).where(is_ready)).all()
    # After the records, as the folder of one that is ready came before. One that is cleaned may have another.
    present = {id_of(folder) for folder in folders_of(settings)}
    for snapshot_id in ready:
        if snapshot_id not in present:
            _fail(engine, SnapshotRecord.id == snapshot_id, "Its files are gone.")


def _fail(engine: Engine, where: ColumnElement[bool], reason: str) -> None:
    failed = {"state": SnapshotState.FAILED, "error": reason}
    with Session(engine) as session, session.begin():
        session.execute(
            update(SnapshotRecord).where(where).values(failed).execution_options(synchronize_session=False)
        )


def _lost_exports(engine: Engine) -> list[str]:
    """Ids of exports of their own whose job or worker may be lost; the claim makes a duplicate harmless."""
    limit = utc_now() - LEASE
    silent = or_(
        SnapshotRecord.heartbeat_at < limit,
        SnapshotRecord.heartbeat_at.is_(None) & (SnapshotRecord.created_at < limit),
    )
    of_nobody = SnapshotRecord.training_id.is_(None)
    with Session(engine) as session:
        return list(session.scalars(select(SnapshotRecord.id).where(EXPORTING, of_nobody, silent)))
