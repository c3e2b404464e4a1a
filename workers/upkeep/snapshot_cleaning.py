"""Taking erased users out of snapshots: one that somebody keeps is written anew without them."""

import logging
import shutil
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from lsec.core import durable
from lsec.core.ledger import AuditRecord
from lsec.core.release_ledger import SnapshotRecord, SnapshotState
from lsec.core.settings import Settings
from workers.snapshot import MANIFEST, read_manifest, write_manifest
from workers.snapshot_tables import EDGES, Table, new_tables
from workers.snapshots import is_free, note_contents

CLEANED = ".cleaned"
"""How the folder's name ends in which a snapshot is written anew."""
DELETED_ACTION, CLEANED_ACTION = "snapshot.deleted_for_erasure", "snapshot.cleaned_for_erasure"

log = logging.getLogger(__name__)


def folders_of(settings: Settings) -> list[Path]:
    """The folders of snapshots and of those that are not finished: `snp_…` and `.snp_….…`."""
    path = settings.snapshots_path
    if not path.exists():
        return []
    return [each for each in path.iterdir() if each.name.lstrip(".").startswith("snp_") and each.is_dir()]


def id_of(folder: Path) -> str:
    """The id of the snapshot that such a folder is of."""
    return folder.name.lstrip(".").partition(".")[0]


def clean_snapshots(
    settings: Settings, engine: Engine, user_ids: Collection[str]
) -> list[tuple[datetime, str]]:
    """Take these users out of every snapshot that is not in use; when those that are were made, in words.

    One that somebody keeps is written anew without them, another one is deleted. One that is kept and cannot
    be read is deleted, too: a person's right goes before. Either leaves an audit record. OSError where a file
    cannot be changed.
    """
    _finish_cleaning(settings, engine)
    with Session(engine, expire_on_commit=False) as session:
        free = session.scalars(select(SnapshotRecord).where(is_free())).all()
        known = set(session.scalars(select(SnapshotRecord.id)))
    records = {record.id: record for record in free if record.state != SnapshotState.EXPORTING}
    for folder in folders_of(settings):
        record = records.get(id_of(folder))
        if record is None and id_of(folder) in known:
            continue
        if folder.name.startswith("."):
            shutil.rmtree(folder)
        elif holds(folder, user_ids):
            _clean(engine, folder, record, user_ids)
    # After the cleaning: a run that began meanwhile may have read what was there before.
    in_use = ~is_free() | (SnapshotRecord.state == SnapshotState.EXPORTING)
    with Session(engine) as session:
        used = session.execute(select(SnapshotRecord.created_at, SnapshotRecord.id).where(in_use))
        return [(row.created_at, f"snapshot {row.id}, which is in use") for row in used]


def _clean(engine: Engine, folder: Path, record: SnapshotRecord | None, user_ids: Collection[str]) -> None:
    if record is not None and record.is_kept:
        try:
            part = _write_without(folder, user_ids)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            log.warning("snapshot %s cannot be written anew, so it is deleted: %s", folder.name, error)
            shutil.rmtree(_anew(folder), ignore_errors=True)
        else:
            _put_in_place(engine, part, folder)
            return
    shutil.rmtree(folder)
    with Session(engine) as session, session.begin():
        session.execute(delete(SnapshotRecord).where(SnapshotRecord.id == folder.name))
        detail = {"was_kept": record is not None and record.is_kept}
        session.add(AuditRecord(key_id="", action=DELETED_ACTION, target=folder.name, detail=detail))


def holds(snapshot: Path, user_ids: Collection[str]) -> bool:
    """Whether a snapshot has one of these users; so it does if it cannot be read."""
    wanted = pa.array(list(user_ids), pa.string())
    try:
        with pq.ParquetFile(snapshot / "users.parquet") as file:
            batches = file.iter_batches(columns=["id"])
            return any(pc.any(pc.is_in(batch["id"], value_set=wanted)).as_py() for batch in batches)
    except (OSError, KeyError, pa.ArrowException):
        return True


def _anew(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}{CLEANED}")


def _write_without(folder: Path, user_ids: Collection[str]) -> Path:
    """Write a snapshot anew without these users and all that they did; where it is, to be put in place.

    The rows of those who come after them move up.
    """
    manifest = read_manifest(folder)
    part = _anew(folder)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    with new_tables(part) as tables:
        rows = _users_without(folder, tables["users"], user_ids)
        for name in ("products", "streamers", *EDGES):
            _copy(folder, tables[name], rows if "user" in EDGES.get(name, ()) else None)
        write_manifest(part, tables, scope=manifest["scope"], positions=manifest["positions"])
    return part


def _users_without(folder: Path, users: Table, user_ids: Collection[str]) -> pa.Array:
    """Write the users but for these; the new row of each old one, null for those who are left out."""
    wanted = pa.array(list(user_ids), pa.string())
    new_rows = []
    with pq.ParquetFile(folder / "users.parquet") as file:
        for batch in file.iter_batches():
            stays = pc.invert(pc.is_in(batch["id"], value_set=wanted))
            places = pc.add(pc.cumulative_sum(pc.cast(stays, pa.int32())), users.num_rows - 1)
            new_rows.append(pc.if_else(stays, pc.cast(places, pa.int32()), None))
            left = batch.filter(stays)
            users.append({name: left[name] for name in ("index", "id")})
    return pa.chunked_array(new_rows, pa.int32()).combine_chunks()


def _copy(folder: Path, table: Table, rows: pa.Array | None) -> None:
    """Copy a table; with `rows`, its users' rows become these, and rows of those without one go."""
    with pq.ParquetFile(folder / table.path.name) as file:
        for batch in file.iter_batches():
            columns = {name: batch[name] for name in batch.schema.names}
            if rows is not None:
                columns["user"] = rows.take(columns["user"])
                stays = pc.is_valid(columns["user"])
                columns = {name: column.filter(stays) for name, column in columns.items()}
            table.append(columns)


def _put_in_place(engine: Engine, part: Path, folder: Path) -> None:
    """Have what was written anew take the place of a snapshot; cut off, `_finish_cleaning` does it again."""
    note_contents(engine, folder.name, part, read_manifest(part))
    with Session(engine) as session, session.begin():
        session.add(AuditRecord(key_id="", action=CLEANED_ACTION, target=folder.name, detail={}))
    if folder.exists():
        shutil.rmtree(folder)
    durable.move_folder(part, folder)


def _finish_cleaning(settings: Settings, engine: Engine) -> None:
    """Put in place what was written anew and not moved; what is not whole is deleted."""
    for part in settings.snapshots_path.glob(f".snp_*{CLEANED}"):
        if (part / MANIFEST).exists():
            _put_in_place(engine, part, settings.snapshots_path / id_of(part))
        else:
            shutil.rmtree(part)
