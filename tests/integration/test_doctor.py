"""The doctor on a real stack: nothing is broken while it is well, and each thing that is broken is named."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from lsec.cli.main import app
from lsec.client import Client
from lsec.core.inspections import Finding, FindingState
from lsec.core.jobs import TRAIN_QUEUE, UPKEEP_QUEUE
from lsec.core.ledger import DeadLetter, Erasure, ReleaseRecord, Scope, Training, TrainingStatus, utc_now
from lsec.core.release_ledger import Inspection, SnapshotRecord, SnapshotState
from lsec.core.settings import Settings
from lsec.local.readiness import beat_answers, worker_answers
from lsec.local.services import environment
from lsec.local.sockets import free_port
from tests.integration.api_server import wait_until
from tests.integration.inspected import Installation, states
from workers.collect import collect
from workers.inspection.inspect import inspect_and_record, record

LONG_AGO = timedelta(days=2)


@pytest.fixture(scope="module")
def _processes(stack_settings: Settings) -> Iterator[None]:
    """A worker that listens to both queues and knows no job, and beat."""
    celery = (sys.executable, "-m", "celery")
    broker = stack_settings.broker_url.get_secret_value()
    queues = f"{TRAIN_QUEUE},{UPKEEP_QUEUE}"
    worker = ("-b", broker, "worker", "--pool", "threads", "--queues", queues, "--hostname", "all@%h")
    environ = os.environ | environment(stack_settings)
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        subprocess.Popen((*celery, *worker), **quiet) as all_queues,
        subprocess.Popen((*celery, "-A", "workers.celery_app:app", "beat"), env=environ, **quiet) as beat,
        redis.Redis.from_url(broker) as client,
    ):
        try:
            wait_until(lambda: worker_answers(stack_settings, "all"), timeout_s=60)
            wait_until(lambda: beat_answers(stack_settings), timeout_s=60)
            yield
        finally:
            for process in (beat, all_queues):
                process.terminate()
                process.wait(timeout=20)
            for key in client.scan_iter("redbeat*"):
                client.delete(key)


def doctor(settings: Settings, *arguments: str, **env: str) -> Result:
    """The command, with these settings as its environment."""
    return CliRunner().invoke(app, ["doctor", *arguments], env=environment(settings) | env)


@pytest.mark.usefixtures("_processes")
def test_nothing_is_broken_where_all_is_well(
    installation: Installation, api_url: str, keys: dict[Scope, str]
) -> None:
    result = doctor(installation.settings, "--json", "--deep", "--url", api_url, "--key", keys[Scope.READ])
    found = json.loads(result.output)
    assert [each for each in found if each["state"] == "broken"] == []
    assert result.exit_code == 0
    names = {each["name"] for each in found}
    assert names >= {"stack", "memory", "java", "api", "neo4j", "beat", "workers", "clocks", "key", "disk"}
    assert names >= {"release.active", "artifact.active", "graph.active", "schema.ledger", "schema.graph"}
    assert all(each["detail"] and bool(each["remedy"]) == (each["state"] != "ok") for each in found)


@pytest.mark.usefixtures("_processes")
def test_each_fault_of_ledger_graph_and_disk_is_named_with_its_remedy(installation: Installation) -> None:
    at, settings = utc_now() - LONG_AGO, installation.settings
    common: dict[str, Any] = {"request": {}, "requested_by": "k", "created_at": at, "heartbeat_at": at}
    release: dict[str, Any] = {"model": "m", "metrics": {}, "counts": {}, "snapshot_sha256": ""}
    installation.add(
        Training(id="trn_stuck", status=TrainingStatus.RUNNING, **common),
        Training(id="trn_gpu", status=TrainingStatus.QUEUED, queue="trainings-gpu", **common),
        ReleaseRecord(id="rel_lost", training_id="trn_lost", promotion_asked_at=at, **release),
        SnapshotRecord(id="snp_lost", state=SnapshotState.READY, scope={}, requested_by="k"),
        SnapshotRecord(
            id="snp_slow", state=SnapshotState.EXPORTING, scope={}, requested_by="k", created_at=at
        ),
        Erasure(id="era_1", user_hash="h", requested_at=at, requested_by="k", event_id="e", shard=0),
        DeadLetter(
            id="dl_1", epoch="e", shard=0, entry_id="1-0", position=0, event_id="", payload=b"", reason=""
        ),
    )
    for path in (settings.artifacts_path / "rel_left", settings.snapshots_path / "snp_left"):
        installation.folder(path)
    installation.folder(settings.runs_path / "trn_left")
    installation.folder(settings.runs_path / "trn_fresh", hours_old=0)
    installation.driver.execute_query(
        "CREATE (:Release {id: 'rel_unknown', created_at: datetime(), is_complete: true}), "
        "(:Slate {release_id: 'rel_gone', user_id: 'u1'}), "
        "(:Vector {release_id: 'rel_gone', kind: 'product', item_id: 'p1'})"
    )
    found = installation.look()
    broken = {name: each for name, each in found.items() if each.state == FindingState.BROKEN}
    assert set(broken) == {
        "trainings.running",
        "trainings.queued",
        "releases.artifacts",
        "releases.promotions",
        "snapshots",
        "snapshots.exports",
        "erasures",
    }
    warned = {name: each for name, each in found.items() if each.state == FindingState.WARNING}
    assert set(warned) - {"disk", "memory"} == {
        "artifacts.folders",
        "snapshots.folders",
        "runs.folders",
        "releases.nodes",
        "graph.orphans",
        "dead-letters",
        "keys",
    }
    assert "trn_stuck" in found["trainings.running"].detail
    assert "--queues trainings-gpu" in found["trainings.queued"].remedy
    assert "lsec releases delete rel_lost" in found["releases.artifacts"].remedy
    assert found["runs.folders"].remedy.endswith(f"rm -r {settings.runs_path / 'trn_left'}")
    assert "1 slates and 1 vectors are of releases that are gone: rel_gone." in found["graph.orphans"].detail
    # Both remedies are statements after which the upkeep collects what is left.
    installation.follow(found["graph.orphans"].remedy)
    installation.follow(found["releases.nodes"].remedy)
    collect(installation.driver, keep=3, pause=False)
    healed = installation.in_graph()
    assert states(healed, "releases.nodes", "graph.orphans", "releases.unfinished") == {FindingState.OK}


def test_what_is_down_is_a_finding_within_seconds(stack_settings: Settings, tmp_path: Path) -> None:
    log = f"redis://127.0.0.1:{free_port()}"
    changes = {"data_dir": tmp_path, "bolt_port": free_port(), "api_port": free_port()}
    changes |= {"neo4j_url": f"bolt://127.0.0.1:{changes['bolt_port']}", "valkey_port": free_port()}
    settings = Settings.model_validate(changes | {"log_url": f"{log}/0", "broker_url": f"{log}/1"})
    started = time.monotonic()
    result = doctor(settings, "--json", "--key", "lsec_unknown")
    assert time.monotonic() - started < 30
    assert result.exit_code == 1
    found = {each["name"]: each for each in json.loads(result.output)}
    broken = {name for name, each in found.items() if each["state"] == "broken"}
    assert broken >= {"neo4j", "valkey", "ledger", "api", "workers", "beat"}
    assert found["stack"]["state"] == "warning"
    assert {"port.bolt", "memory", "java"} <= set(found)
    assert all("lsec up" in found[name]["remedy"] for name in ("neo4j", "valkey", "ledger", "api"))
    # Looking has made nothing.
    assert list(tmp_path.iterdir()) == []


def test_bad_settings_are_a_finding(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor"], env={"LSEC_DATA_DIR": str(tmp_path), "LSEC_SHARDS": "none"})
    assert result.exit_code == 1
    assert "LSEC_SHARDS" in result.output
    assert "What to do" in result.output


def test_the_last_inspection_is_on_record_and_says_since_when(
    installation: Installation, api_url: str, keys: dict[Scope, str], caplog: pytest.LogCaptureFixture
) -> None:
    at = utc_now() - LONG_AGO
    stuck = {"status": TrainingStatus.RUNNING, "created_at": at, "heartbeat_at": at}
    installation.add(Training(id="trn_stuck", request={}, requested_by="k", **stuck))
    inspect_and_record(installation.settings)
    assert "trainings.running is broken: 1 runs" in caplog.text
    caplog.clear()
    with Session(installation.engine) as session:
        since = session.get_one(Inspection, "trainings.running").since
    record(installation.engine, [Finding("trainings.running", FindingState.BROKEN, "Still.", "Start one.")])
    assert caplog.text == ""
    with Client(api_url, keys[Scope.ADMIN]) as client:
        broken = client.inspections(state="broken")
        found = {each.name: each for each in broken.inspections}
        assert (found["trainings.running"].since, found["trainings.running"].detail) == (since, "Still.")
        everything = client.inspections()
        assert everything.counts["broken"] == len(broken.inspections) > 0
        assert [each.state for each in everything.inspections[: len(found)]] == ["broken"] * len(found)
        assert f'lsec_inspections{{state="broken"}} {len(found)}.0' in client.metrics()
    answer = httpx2.get(
        f"{api_url}/v1/inspections", headers={"Authorization": f"Bearer {keys[Scope.ANALYST]}"}
    )
    assert answer.status_code == 403
