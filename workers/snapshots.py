"""Snapshots as things of their own: recorded, on disk until nobody needs them, and used by runs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import neo4j
from sqlalchemy import ColumnElement, Engine, select, update
from sqlalchemy.orm import Session

from lsec.core.errors import Untrainable
from lsec.core.jobs import new_id
from lsec.core.ledger import Training
from lsec.core.release_ledger import SnapshotRecord, SnapshotState, is_used
from lsec.core.settings import Settings
from workers.run import Run
from workers.snapshot import MANIFEST, Check, export_snapshot, scope_of

LINK = "snapshot"
"""In a run's folder: where the snapshot that it trains on lies."""
PHASE = "export"


def snapshot_for(settings: Settings, run: Run, driver: neo4j.Driver) -> Path:
    """The folder of the snapshot that a run trains on: the one that it names, else one that is made for it.

    Called again for the same run it finds the same one. `run.folder` holds a link to it. Untrainable if the
    one that is named is not there, Cancelled or Interrupted if the run must stop.
    """
    link = run.folder / LINK
    if link.is_dir() and not link.is_symlink():
        # Exported before snapshots had a folder of their own.
        return link
    if named := run.training.request.get("snapshot"):
        record = _named(run.engine, settings, str(named))
    else:
        record = _own(run)
    run.report(PHASE, 0.0, snapshot_id=record.id)
    folder = settings.snapshots_path / record.id
    if not named:
        export(run.engine, record, driver, folder, check=lambda share: run.report(PHASE, share))
    _link(link, folder)
    return folder


def is_free() -> ColumnElement[bool]:
    """Of a SnapshotRecord: that no run which is under way, or waits for it, uses the snapshot."""
    used_by = select(Training.id).where(is_used(SnapshotRecord.id, SnapshotRecord.training_id))
    return ~used_by.correlate(SnapshotRecord).exists()


def _named(engine: Engine, settings: Settings, snapshot_id: str) -> SnapshotRecord:
    """The record of a snapshot that can be read; Untrainable if there is none of that id."""
    with Session(engine, expire_on_commit=False) as session:
        record = session.get(SnapshotRecord, snapshot_id)
    if record is None or record.state != SnapshotState.READY or not _is_there(settings, snapshot_id):
        raise Untrainable(
            f"There is no snapshot {snapshot_id}, or not any more.",
            remedy="`lsec snapshots list` shows those that can be used.",
        )
    return record


def _is_there(settings: Settings, snapshot_id: str) -> bool:
    return (settings.snapshots_path / snapshot_id / MANIFEST).is_file()


def _own(run: Run) -> SnapshotRecord:
    """The record of the run's own snapshot, written before its files are."""
    of_run = select(SnapshotRecord).where(SnapshotRecord.training_id == run.training.id)
    with Session(run.engine, expire_on_commit=False) as session, session.begin():
        record = session.scalar(of_run)
        if record is None:
            record = SnapshotRecord(
                id=new_id("snp"),
                training_id=run.training.id,
                scope=scope_of(run.training.request).as_json(),
                requested_by=run.training.requested_by,
            )
            session.add(record)
        return record


def export(
    engine: Engine, record: SnapshotRecord, driver: neo4j.Driver, folder: Path, *, check: Check
) -> None:
    """Export a snapshot, unless it is there, and note what it holds."""
    manifest = export_snapshot(driver, folder, scope_of(record.scope), check=check)
    note_contents(engine, record.id, folder, manifest)


def note_contents(engine: Engine, snapshot_id: str, folder: Path, manifest: Mapping[str, Any]) -> None:
    """Note in a snapshot's record what its folder holds: from now on it can be used."""
    values = {name: manifest[name] for name in ("positions", "counts", "sha256")}
    values["num_bytes"] = sum(path.stat().st_size for path in folder.iterdir())
    values |= {"state": SnapshotState.READY, "percent": 100.0, "error": None}
    with Session(engine) as session, session.begin():
        session.execute(update(SnapshotRecord).where(SnapshotRecord.id == snapshot_id).values(**values))


def _link(link: Path, folder: Path) -> None:
    """Have the link lead to the folder, by a path that stays right when both are moved together."""
    aside = link.with_name(f"{link.name}.partial")
    aside.unlink(missing_ok=True)
    aside.symlink_to(os.path.relpath(folder.resolve(), link.parent.resolve()), target_is_directory=True)
    aside.replace(link)
