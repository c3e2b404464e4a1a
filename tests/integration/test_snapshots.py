"""Snapshots as things of their own: made by runs and by themselves, used again, kept, deleted."""

import shutil
from collections.abc import Iterator
from typing import Any

import httpx2
import neo4j
import polars
import pytest
import redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from lsec.core.errors import Untrainable
from lsec.core.jobs import EXPORT_JOB, TRAIN_QUEUE, UPKEEP_QUEUE
from lsec.core.ledger import AuditRecord, Scope, TrainingStatus
from lsec.core.release_ledger import SnapshotRecord, SnapshotState
from lsec.core.settings import Settings
from tests.integration.conftest import bearer
from tests.integration.test_trainings import MARKET, queue
from workers import ledger
from workers.exports import run_export
from workers.run import Run
from workers.snapshot import read_manifest
from workers.snapshots import snapshot_for
from workers.training.data import read_timeline
from workers.upkeep.snapshots import keep_in_order


@pytest.fixture
def engine(stack_settings: Settings, neo4j_driver: neo4j.Driver, clean_stack: None) -> Iterator[Engine]:
    """The ledger beside a small market; folders and queues are empty in the end."""
    neo4j_driver.execute_query(MARKET)
    engine = ledger.open_ledger(stack_settings)
    yield engine
    engine.dispose()
    for path in (stack_settings.runs_path, stack_settings.snapshots_path):
        shutil.rmtree(path, ignore_errors=True)
    with redis.Redis.from_url(stack_settings.broker_url.get_secret_value()) as client:
        client.delete(TRAIN_QUEUE, UPKEEP_QUEUE)


def claimed(settings: Settings, engine: Engine, **request: Any) -> Run:
    training = ledger.claim_training(engine, queue(settings, **request))
    assert training is not None
    run = Run(engine, training, settings.runs_path / training.id)
    run.folder.mkdir(parents=True)
    return run


def end(engine: Engine, run: Run) -> None:
    ledger.end_training(engine, run.training, TrainingStatus.SUCCEEDED)


def records(engine: Engine) -> dict[str, SnapshotRecord]:
    with Session(engine, expire_on_commit=False) as session:
        return {record.id: record for record in session.scalars(select(SnapshotRecord))}


def set_of(engine: Engine, snapshot_id: str, **values: Any) -> None:
    with Session(engine) as session, session.begin():
        record = session.get_one(SnapshotRecord, snapshot_id)
        for name, value in values.items():
            setattr(record, name, value)


def test_a_run_finds_its_snapshot_again_and_another_uses_it(
    engine: Engine, stack_settings: Settings, neo4j_driver: neo4j.Driver
) -> None:
    run = claimed(stack_settings, engine)
    folder = snapshot_for(stack_settings, run, neo4j_driver)
    link = run.folder / "snapshot"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == folder.resolve()
    assert len(read_timeline(link).buys) == 320
    record = records(engine)[folder.name]
    manifest = read_manifest(folder)
    assert (record.state, record.training_id) == (SnapshotState.READY, run.training.id)
    assert (record.sha256, record.counts) == (manifest["sha256"], manifest["counts"])
    assert record.num_bytes == sum(path.stat().st_size for path in folder.iterdir())
    # As after a kill that lost all but the record and the files.
    neo4j_driver.execute_query("MATCH ()-[b:BOUGHT]->() DELETE b")
    link.unlink()
    assert snapshot_for(stack_settings, run, neo4j_driver) == folder
    # As after a kill in the middle of the export: what it had written goes.
    shutil.rmtree(folder)
    part = folder.with_name(f".{folder.name}.0.partial")
    part.mkdir()
    assert snapshot_for(stack_settings, run, neo4j_driver) == folder
    assert not part.exists()
    assert read_manifest(folder)["counts"]["buys"] == 0
    other = claimed(stack_settings, engine, snapshot=folder.name)
    assert snapshot_for(stack_settings, other, neo4j_driver) == folder
    assert (other.folder / "snapshot").resolve() == folder.resolve()
    assert list(records(engine)) == [folder.name]
    lost = claimed(stack_settings, engine, snapshot="snp_none")
    with pytest.raises(Untrainable, match="no snapshot snp_none"):
        snapshot_for(stack_settings, lost, neo4j_driver)


def test_what_nobody_keeps_or_uses_goes_but_for_the_newest(
    engine: Engine, stack_settings: Settings, neo4j_driver: neo4j.Driver
) -> None:
    runs = [claimed(stack_settings, engine, seed=n) for n in range(5)]
    ids = [snapshot_for(stack_settings, run, neo4j_driver).name for run in runs]
    settings = stack_settings.model_copy(update={"kept_snapshots": 1})
    folder = settings.snapshots_path
    set_of(engine, ids[0], is_kept=True)
    for run in (*runs[:1], *runs[2:]):
        end(engine, run)
    for name in ("snp_nobodys", ".snp_nobodys.1.partial", f".{ids[0]}.1.partial"):
        (folder / name).mkdir()
    assert keep_in_order(settings, engine) == []
    # Kept, used by a run under way, and the newest.
    assert set(records(engine)) == {ids[0], ids[1], ids[4]} == {path.name for path in folder.iterdir()}
    # A run that is to use one again.
    queue(settings, snapshot=ids[4])
    end(engine, runs[1])
    assert keep_in_order(settings.model_copy(update={"kept_snapshots": 0}), engine) == []
    assert set(records(engine)) == {ids[0], ids[4]}
    shutil.rmtree(folder / ids[0])
    keep_in_order(settings, engine)
    assert (records(engine)[ids[0]].state, records(engine)[ids[0]].error) == (
        SnapshotState.FAILED,
        "Its files are gone.",
    )


def test_a_snapshot_is_asked_for_exported_kept_and_deleted_over_http(
    engine: Engine, stack_settings: Settings, api_client: httpx2.Client, keys: dict[Scope, str]
) -> None:
    answer = api_client.post("/v1/snapshots", json={"min_purchases": 2, "keep": False})
    assert answer.status_code == 202, answer.text
    snapshot = answer.json()
    url = answer.headers["location"]
    assert (snapshot["state"], snapshot["percent"], snapshot["is_kept"]) == ("exporting", 0.0, False)
    refused = api_client.post("/v1/trainings", json={"snapshot": snapshot["id"]})
    assert (refused.status_code, "exporting" in refused.json()["detail"]) == (409, True)
    with redis.Redis.from_url(stack_settings.broker_url.get_secret_value()) as broker:
        assert EXPORT_JOB.encode() in broker.lpop(TRAIN_QUEUE)
    assert run_export(stack_settings, snapshot["id"]) == SnapshotState.READY
    assert run_export(stack_settings, snapshot["id"]) is None
    analyst = bearer(keys[Scope.ANALYST])
    shown = api_client.get(url, headers=analyst).json()
    assert (shown["state"], shown["percent"], shown["counts"]["buys"]) == ("ready", 100.0, 320)
    assert shown["positions"] == [{"shard": 0, "seq": 1, "position": "1-0"}]
    assert "requested_by" not in shown
    assert api_client.get("/v1/snapshots", headers=analyst).json() == {"snapshots": [shown]}
    assert api_client.post(f"{url}/keep", headers=analyst).status_code == 403
    assert api_client.post(f"{url}/keep").json()["is_kept"]
    both = api_client.post("/v1/trainings", json={"snapshot": snapshot["id"], "categories": ["c"]})
    assert (both.status_code, both.json()["field"]) == (400, "categories")
    training = api_client.post("/v1/trainings", json={"snapshot": snapshot["id"]}).json()
    in_use = api_client.delete(url)
    assert (in_use.status_code, in_use.json()["training_id"]) == (409, training["id"])
    api_client.post(f"/v1/trainings/{training['id']}/cancel")
    assert api_client.delete(url).json()["id"] == snapshot["id"]
    assert api_client.get(url).status_code == 404
    assert api_client.post("/v1/trainings", json={"snapshot": snapshot["id"]}).status_code == 404
    assert keep_in_order(stack_settings, engine) == []
    assert not (stack_settings.snapshots_path / snapshot["id"]).exists()
    with Session(engine) as session:
        actions = session.scalars(select(AuditRecord.action).order_by(AuditRecord.id)).all()
    assert [action for action in actions if action.startswith("snapshot")] == [
        "snapshot.create",
        "snapshot.keep",
        "snapshot.delete",
    ]


def test_an_export_whose_worker_is_lost_is_sent_again_and_one_that_is_deleted_ends(
    engine: Engine, stack_settings: Settings, api_client: httpx2.Client
) -> None:
    first, second = (api_client.post("/v1/snapshots", json={}).json()["id"] for _ in range(2))
    assert keep_in_order(stack_settings, engine) == []
    long_ago = records(engine)[first].created_at.replace(year=2020)
    set_of(engine, first, heartbeat_at=long_ago, num_claims=1, created_at=long_ago)
    assert keep_in_order(stack_settings, engine) == [first]
    assert run_export(stack_settings, first) == SnapshotState.READY
    set_of(engine, second, num_claims=5)
    assert run_export(stack_settings, second) is None
    assert records(engine)[second].state == SnapshotState.FAILED


def test_a_snapshot_is_read_with_polars_as_the_docs_say(
    engine: Engine, stack_settings: Settings, neo4j_driver: neo4j.Driver
) -> None:
    folder = snapshot_for(stack_settings, claimed(stack_settings, engine), neo4j_driver)
    users = polars.read_parquet(folder / "users.parquet")["id"]
    products = polars.read_parquet(folder / "products.parquet")["id"]
    buys = polars.read_parquet(folder / "buys.parquet").select(
        user=users.gather(polars.read_parquet(folder / "buys.parquet")["user"]),
        product=products.gather(polars.read_parquet(folder / "buys.parquet")["product"]),
        at=polars.from_epoch("at_ms", time_unit="ms").dt.replace_time_zone("UTC"),
    )
    assert buys.shape == (320, 3)
    assert buys["user"].n_unique() == 40
