"""An erased user leaves every snapshot: one that is kept is written anew, another one goes."""

import shutil
from collections.abc import Iterator
from datetime import timedelta

import httpx2
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from lsec.core.ledger import AuditRecord, Training, TrainingStatus, utc_now
from lsec.core.release_ledger import SnapshotRecord
from tests.integration.forgetting import OTHER, USER, acts, add_run, ask, eager, pass_minutes, state, step
from tests.integration.ingest_stack import IngestStack
from workers.snapshot import Scope, export_snapshot, read_manifest
from workers.snapshots import note_contents
from workers.training.data import read_timeline

KEPT, UNKEPT, DAMAGED = "snp_kept", "snp_unkept", "snp_damaged"


@pytest.fixture
def stack(stack: IngestStack) -> Iterator[IngestStack]:
    """The stack with what a few users did; its folders are empty in the end."""
    now = utc_now()
    first = acts("person-00first", now, prefix="c")
    stack.append(first + acts(USER, now, prefix="a") + acts(OTHER, now, prefix="b"))
    stack.drain()
    yield stack
    for path in (stack.settings.snapshots_path, stack.settings.runs_path):
        shutil.rmtree(path, ignore_errors=True)


def add_snapshot(stack: IngestStack, snapshot_id: str, *, is_kept: bool) -> None:
    folder = stack.settings.snapshots_path / snapshot_id
    manifest = export_snapshot(stack.driver, folder, Scope())
    with Session(stack.engine) as session, session.begin():
        scope = Scope().as_json()
        session.add(SnapshotRecord(id=snapshot_id, scope=scope, is_kept=is_kept, requested_by="k"))
    note_contents(stack.engine, snapshot_id, folder, manifest)


def test_a_kept_snapshot_is_written_anew_without_the_user(
    stack: IngestStack, api_client: httpx2.Client
) -> None:
    for snapshot_id, is_kept in ((KEPT, True), (UNKEPT, False), (DAMAGED, True)):
        add_snapshot(stack, snapshot_id, is_kept=is_kept)
    folder = stack.settings.snapshots_path
    before = read_timeline(folder / KEPT)
    assert before.user_ids.tolist() == [b"person-00first", USER.encode(), OTHER.encode()]
    (folder / DAMAGED / "buys.parquet").write_bytes(b"no Parquet")
    (folder / f".{KEPT}.1.partial").mkdir()
    erasure_id = ask(api_client)["id"]
    stack.drain()
    pass_minutes(stack)
    assert step(stack, eager(stack)) == []
    assert state(api_client, erasure_id)["state"] == "done"

    assert {path.name for path in folder.iterdir()} == {KEPT}
    after = read_timeline(folder / KEPT)
    assert after.user_ids.tolist() == [b"person-00first", OTHER.encode()]
    assert after.product_ids.tolist() == before.product_ids.tolist()
    for name in ("buys", "viewed", "watched"):
        records = getattr(after, name)
        assert records.sources.tolist() == [0, 1]
        assert records.targets.tolist() == getattr(before, name).targets[[0, 2]].tolist()
        assert records.at.tolist() == getattr(before, name).at[[0, 2]].tolist()
    assert pq.read_table(folder / KEPT / "users.parquet")["id"].to_pylist() == ["person-00first", OTHER]
    manifest = read_manifest(folder / KEPT)
    with Session(stack.engine) as session:
        [record] = session.scalars(select(SnapshotRecord)).all()
        assert (record.id, record.sha256, record.counts) == (KEPT, manifest["sha256"], manifest["counts"])
        audited = {
            each.target: (each.action, each.detail)
            for each in session.scalars(select(AuditRecord))
            if each.action.startswith("snapshot.")
        }
    assert audited == {
        KEPT: ("snapshot.cleaned_for_erasure", {}),
        UNKEPT: ("snapshot.deleted_for_erasure", {"was_kept": False}),
        DAMAGED: ("snapshot.deleted_for_erasure", {"was_kept": True}),
    }


def test_a_snapshot_that_a_later_run_uses_is_waited_for(
    stack: IngestStack, api_client: httpx2.Client
) -> None:
    add_snapshot(stack, KEPT, is_kept=True)
    ask(api_client)
    stack.drain()
    pass_minutes(stack)
    # It began after the graph had forgotten the user, on what was exported before.
    add_run(stack, "trn_2", TrainingStatus.RUNNING, started_at=utc_now() + timedelta(hours=1))
    with Session(stack.engine) as session, session.begin():
        session.get_one(Training, "trn_2").request = {"snapshot": KEPT}
    run = stack.settings.runs_path / "trn_2"
    run.mkdir(parents=True)
    (run / "snapshot").symlink_to(stack.settings.snapshots_path / KEPT)
    [waiting] = step(stack, eager(stack))
    assert waiting.waiting_for == [f"snapshot {KEPT}, which is in use"]
    (run / "checkpoint.pt").write_text(USER)
    with Session(stack.engine) as session, session.begin():
        session.get_one(Training, "trn_2").status = TrainingStatus.SUCCEEDED
    assert step(stack, eager(stack)) == []
    assert not (run / "checkpoint.pt").exists()
    assert USER.encode() not in read_timeline(run / "snapshot").user_ids.tolist()
