"""The training subprocess, from a run folder to an artifact."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsec.core.artifact import open_artifact
from tests.unit.training.markets import write_snapshot

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "workers.training"]


def run_folder(
    path: Path, *, device: str = "cpu", hyperparameters: dict[str, Any] | None = None, **sizes: int
) -> Path:
    path.mkdir()
    write_snapshot(path / "snapshot", **sizes)
    job = {
        "training_id": "trn_1",
        "release_id": "rel_1",
        "model": "cosine-gcn",
        "seed": 3,
        "device": device,
        "threads": 1,
        "slate_length": 8,
        "hyperparameters": hyperparameters or {"dimensions": 16, "num_steps": 20},
    }
    (path / "job.json").write_text(json.dumps(job))
    return path


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def train(folder: Path) -> tuple[int, list[dict[str, Any]]]:
    process = subprocess.run(
        [*COMMAND, str(folder)], stdout=subprocess.PIPE, text=True, env=environment(), check=False
    )
    return process.returncode, [json.loads(line) for line in process.stdout.splitlines()]


def test_a_run_reports_progress_and_leaves_an_artifact(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    code, lines = train(folder)
    assert code == 0
    percents = [line["percent"] for line in lines]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert {line["phase"] for line in lines} == {"load", "select", "train", "rank", "write"}
    curve = lines[-1]["metrics"]["validations"]
    for each in curve:  # each validation has a line of its own, however fast the steps are
        [line] = [line for line in lines if line["message"].startswith(f"step {each['step']} of at most")]
        assert line["metrics"]["validations"][-1] == each
    assert lines[-1]["metrics"]["stopped_because"] in [line["message"] for line in lines]
    artifact = open_artifact(folder / "artifact", verify=True)
    assert artifact.manifest.metrics == lines[-1]["metrics"]
    assert artifact.manifest.release_id == "rel_1"
    assert artifact.manifest.snapshot_sha256 == f"{0:064x}"
    for row in range(len(artifact.user_ids)):
        products = artifact.slates[row][artifact.slates[row] >= 0]
        assert not set(products.tolist()) & set(artifact.bought(row).tolist())
    created_at = artifact.manifest.created_at
    assert train(folder)[0] == 0
    assert open_artifact(folder / "artifact").manifest.created_at == created_at


def test_a_run_can_select_on_the_latest_purchases(tmp_path: Path) -> None:
    reports = []
    for split in ("random", "time"):
        hyperparameters = {"dimensions": 16, "num_steps": 20, "validation_split": split}
        code, lines = train(run_folder(tmp_path / split, hyperparameters=hyperparameters))
        assert code == 0
        reports.append(lines[-1]["metrics"])
    assert reports[0]["num_validation_users"] != reports[1]["num_validation_users"]
    manifest = open_artifact(tmp_path / "time" / "artifact").manifest
    assert manifest.hyperparameters["validation_split"] == "time"


def test_a_run_is_held_against_the_champion_of_its_job_and_may_start_from_it(tmp_path: Path) -> None:
    first, second = (run_folder(tmp_path / name) for name in ("first", "second"))
    assert train(first)[0] == 0
    job = json.loads((second / "job.json").read_text())
    job |= {"champion": str(first / "artifact"), "warm_start": True, "release_id": "rel_2"}
    (second / "job.json").write_text(json.dumps(job))
    code, lines = train(second)
    assert code == 0
    manifest = open_artifact(second / "artifact", verify=True).manifest
    metrics = manifest.metrics
    assert metrics == lines[-1]["metrics"]
    assert metrics["over_champion"]["release_id"] == "rel_1"
    assert metrics["over_champion"]["num_users"] == metrics["num_validation_users"]
    assert metrics["warm_start"] == {"release_id": "rel_1"}
    asked = open_artifact(first / "artifact").manifest.hyperparameters
    assert manifest.hyperparameters == asked | {"num_steps": 11}
    assert "Against the champion, rel_1" in (second / "artifact" / "README.md").read_text()


def test_users_without_purchases_and_short_catalogues_pad_their_slates(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", num_users=10, num_products=5, num_buys=8)
    assert train(folder)[0] == 0
    artifact = open_artifact(folder / "artifact", verify=True)
    assert artifact.slates.shape == (10, 8)
    bought = np.diff(artifact.bought_indptr)
    assert (bought == 0).any()
    for row in range(10):
        expected = 5 - bought[row] if bought[row] else 0
        assert len(artifact.slate(row)) == expected


def test_bad_input_ends_with_status_3_and_its_reason(tmp_path: Path) -> None:
    empty = run_folder(tmp_path / "empty", num_buys=0)
    code, lines = train(empty)
    assert code == 3
    assert "no purchases" in lines[-1]["error"]
    assert not (empty / "artifact").exists()
    shutil.rmtree(empty / "snapshot")
    (empty / "job.json").write_text("{}")
    code, lines = train(empty)
    assert code == 3
    assert "job.json" in lines[-1]["error"]


def test_it_ends_when_its_parent_dies(tmp_path: Path) -> None:
    endless = {"num_steps": 1_000_000, "patience": 1_000_000}
    folder = run_folder(tmp_path / "run", hyperparameters=endless)
    program = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({[*COMMAND, str(folder)]!r}, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    still_running = is_running(child)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    assert not still_running


def is_running(pid: int) -> bool:
    """Whether the process is there; one that nobody has reaped yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
