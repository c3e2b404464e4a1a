"""Files forget users: artifacts are rewritten, runs that are over lose what they hold."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lsec.core.artifact import MANIFEST, Artifact, open_artifact
from lsec.core.errors import ArtifactError
from lsec.core.selection_vectors import SelectionVectors, read_selection_vectors
from lsec.core.settings import Settings
from tests.unit.test_artifact import JOB, written
from tests.unit.training.markets import write_snapshot
from workers.training.artifact_files import write_arrays
from workers.training.artifact_writer import write_artifact
from workers.training.model_card import CARD, model_card
from workers.upkeep.files import clean_artifacts, clean_run
from workers.upkeep.scrub import recover, scrub

GONE = ["u7", "u59"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An artifact among others of a folder."""
    made, _, _ = written(tmp_path / "made")
    (tmp_path / "artifacts").mkdir()
    return made.rename(tmp_path / "artifacts" / "rel_1")


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    """An artifact that keeps its selection model too."""
    generator = torch.Generator().manual_seed(1)
    made, data, result = written(tmp_path / "made")
    shutil.rmtree(made)
    selection = {
        "gate_user_vectors": torch.randn(data.num_users, 8, generator=generator).half(),
        "gate_product_vectors": torch.randn(data.num_products, 8, generator=generator).half(),
        "gate_product_bias": torch.randn(data.num_products, generator=generator),
    }
    folder = tmp_path / "artifacts" / "rel_1"
    folder.parent.mkdir()
    result = replace(result, selection=selection)
    write_artifact(folder, result, data, job=JOB, snapshot=tmp_path / "made/snapshot")
    return folder


def kept_of(folder: Path) -> SelectionVectors:
    """What the artifact keeps of its selection model; all files are as the manifest says."""
    found = read_selection_vectors(folder, open_artifact(folder, verify=True).manifest)
    assert found is not None
    return found


def held(artifact: Artifact, user_id: str) -> tuple[list[tuple[str, float]], list[int], list[float]]:
    row = artifact.user_row(user_id)
    assert row is not None
    return artifact.slate(row), artifact.bought(row).tolist(), artifact.user_vectors[row].tolist()


def test_erased_users_are_gone_and_all_others_as_before(folder: Path) -> None:
    before = open_artifact(folder)
    users = [id_.decode() for id_ in before.user_ids.tolist()]
    kept = {user_id: held(before, user_id) for user_id in users if user_id not in GONE}
    num_gone = sum(len(held(before, user_id)[1]) for user_id in GONE)
    assert num_gone
    assert scrub(folder, [*GONE, "nobody"])
    after = open_artifact(folder, verify=True)
    assert [after.user_row(user_id) for user_id in GONE] == [None, None]
    assert {user_id: held(after, user_id) for user_id in kept} == kept
    assert after.manifest.counts["buys"] == before.manifest.counts["buys"] - num_gone
    for row in (users.index(user_id) for user_id in GONE):
        assert after.slate(row) == []
        assert not after.bought(row).size
        assert not after.user_vectors[row].any()
    assert all(each.is_relative_to(folder) for each in folder.parent.rglob("*") if each != folder)


def test_no_file_holds_the_ids(folder: Path) -> None:
    scrub(folder, ["u59"])
    assert not [path for path in folder.iterdir() if b"u59" in path.read_bytes()]


def test_only_files_that_hold_users_are_written_anew(folder: Path) -> None:
    manifest = open_artifact(folder).manifest
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert scrub(folder, GONE)
    after = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] == after[name]} == {"items.safetensors"}
    scrubbed = open_artifact(folder).manifest
    assert (folder / CARD).read_text() == model_card(scrubbed) != model_card(manifest)


def test_the_selection_model_forgets_them_too(gated: Path) -> None:
    before = kept_of(gated)
    inodes = {path.name: path.stat().st_ino for path in gated.iterdir()}
    assert scrub(gated, GONE)
    after = kept_of(gated)
    gone = [7, 59]
    assert before.users[gone].any(axis=1).all()
    assert not after.users[gone].any()
    kept = np.setdiff1d(np.arange(60), gone)
    assert np.array_equal(after.users[kept], before.users[kept])
    assert np.array_equal(after.products, before.products)
    unchanged = {path.name for path in gated.iterdir() if inodes[path.name] == path.stat().st_ino}
    assert unchanged == {"items.safetensors", "gate_items.safetensors"}


def test_a_damaged_selection_model_is_not_scrubbed_into_a_sound_one(gated: Path) -> None:
    path = gated / "gate_users.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    # Nobody who serves it reads this file.
    assert open_artifact(gated).user_row("u7") == 7
    with pytest.raises(ArtifactError, match="gate_users"):
        scrub(gated, GONE)
    with pytest.raises(ArtifactError, match="gate_users"):
        open_artifact(gated, verify=True)


def test_a_damaged_artifact_is_not_scrubbed_into_a_sound_one(folder: Path) -> None:
    vectors = folder / "user_vectors.safetensors"
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(content)
    with pytest.raises(ArtifactError, match="user_vectors"):
        scrub(folder, GONE)
    assert vectors.read_bytes() == content


def test_scrubbing_again_changes_nothing(folder: Path) -> None:
    assert scrub(folder, GONE)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert not scrub(folder, GONE)
    assert scrub(folder, ["u8"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} != before
    assert open_artifact(folder, verify=True).user_row("u8") is None


def test_an_artifact_that_is_open_stays_readable(folder: Path) -> None:
    opened = open_artifact(folder)
    before = held(opened, "u8")
    scrub(folder, GONE)
    assert held(opened, "u8") == before


@pytest.mark.parametrize("left", ["scrubbed.partial", "scrubbed", "before and scrubbed", "before"])
def test_a_kill_at_any_point_leaves_an_artifact_that_the_next_time_cleans(folder: Path, left: str) -> None:
    old = shutil.copytree(folder, folder.parent / "copy")
    scrub(folder, GONE)
    new = folder.rename(folder.parent / "new")
    beside = {name: folder.with_name(f".rel_1.{name}") for name in ("scrubbed.partial", "scrubbed", "before")}
    if left == "scrubbed.partial":
        old.rename(folder)
        beside[left].mkdir()
        (new / "user_ids.safetensors").rename(beside[left] / "user_ids.safetensors")
    elif left == "scrubbed":
        old.rename(folder)
        new.rename(beside["scrubbed"])
    elif left == "before and scrubbed":
        old.rename(beside["before"])
        new.rename(beside["scrubbed"])
    else:
        old.rename(beside["before"])
        new.rename(folder)
    shutil.rmtree(new, ignore_errors=True)
    recover(folder.parent)
    scrub(folder, GONE)
    artifact = open_artifact(folder, verify=True)
    assert [artifact.user_row(user_id) for user_id in GONE] == [None, None]
    assert [path.name for path in folder.parent.iterdir()] == ["rel_1"]


def test_a_damaged_artifact_is_told_only_if_it_holds_a_user(folder: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    (folder / "slates.safetensors").write_bytes(b"")
    assert clean_artifacts(settings, ["nobody"]) == []
    [reason] = clean_artifacts(settings, GONE)
    assert reason.startswith("the artifact of release rel_1, to be deleted by hand: ")
    assert "slates.safetensors" in reason


def test_an_artifact_of_an_older_version_is_told_only_if_it_holds_a_user(
    folder: Path, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    (folder / "user_ids.safetensors").unlink()
    np.save(folder / "user_ids.npy", ids("u7", "u8")["user_ids"])
    (folder / MANIFEST).write_text(json.dumps({"version": 1}))
    assert clean_artifacts(settings, ["nobody"]) == []
    [reason] = clean_artifacts(settings, GONE)
    assert "has version 1" in reason


def test_an_artifact_whose_files_fail_is_told_and_the_others_are_cleaned(
    folder: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(folder, folder.with_name("rel_2"))
    (folder / "no file").mkdir()
    [reason] = clean_artifacts(Settings(data_dir=tmp_path), GONE)
    assert reason.startswith("the artifact of release rel_1: ")
    assert "no file" in reason
    assert open_artifact(other, verify=True).user_row(GONE[0]) is None
    (folder / "no file").rmdir()
    assert clean_artifacts(Settings(data_dir=tmp_path), GONE) == []
    assert open_artifact(folder, verify=True).user_row(GONE[0]) is None


def test_a_folder_that_cannot_be_put_in_order_is_told(folder: Path, tmp_path: Path) -> None:
    folder.with_name(".rel_1.before").write_text("no folder")
    [reason] = clean_artifacts(Settings(data_dir=tmp_path), GONE)
    assert reason.startswith("the folder of artifacts: ")


def test_what_a_lost_run_was_moving_goes_with_the_user_in_it(folder: Path, tmp_path: Path) -> None:
    part = folder.with_name(".rel_2.partial")
    part.mkdir()
    write_arrays(part, ids("u7"))
    settings = Settings(data_dir=tmp_path)
    clean_artifacts(settings, ["u8"])
    assert part.exists()
    clean_artifacts(settings, ["u7"])
    assert not part.exists()


def test_what_a_run_under_way_is_moving_stays(folder: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    part = folder.with_name(".rel_2.partial")
    part.mkdir()
    write_arrays(part, ids("u70"))
    run = settings.runs_path / "trn_2"
    run.mkdir(parents=True)
    (run / "job.json").write_text('{"release_id": "rel_2"}')
    clean_artifacts(settings, ["u7"], under_way=["trn_2", "trn_3"])
    assert part.exists()
    clean_artifacts(settings, ["u7"], under_way=["trn_3"])
    assert not part.exists()


def ids(*user_ids: str) -> dict[str, np.ndarray[Any, Any]]:
    encoded = np.array([user_id.encode() for user_id in user_ids])
    return {"user_ids": encoded, "user_order": np.argsort(encoded)}


def run_folder(path: Path) -> Path:
    write_snapshot(path / "snapshot")
    for name in ("job.json", "trainer.log", "checkpoint.pt"):
        (path / name).write_text("{}")
    return path


def test_a_run_loses_its_snapshot_with_the_user_in_it_and_no_other(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    (run / "snapshot.partial").mkdir()
    clean_run(run, ["nobody"])
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoint.pt",
        "job.json",
        "snapshot",
        "trainer.log",
    ]
    clean_run(run, ["nobody", "u7"])
    assert sorted(path.name for path in run.iterdir()) == ["job.json", "trainer.log"]
    clean_run(run, ["u7"])


@pytest.mark.parametrize("half", ["users.parquet", "checkpoint.pt"])
def test_a_run_that_was_cleaned_half_way_is_cleaned_to_the_end(tmp_path: Path, half: str) -> None:
    run = run_folder(tmp_path / "run")
    if half == "users.parquet":
        (run / "snapshot" / half).unlink()
    else:
        shutil.rmtree(run / "snapshot")
    clean_run(run, ["u7"])
    assert sorted(path.name for path in run.iterdir()) == ["job.json", "trainer.log"]
