"""An artifact that is missing, damaged or of another version is refused with a remedy."""

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from lsec.core.artifact import MANIFEST, open_artifact
from lsec.core.artifact_layout import FILES
from lsec.core.errors import ArtifactError, Untrainable
from tests.unit.test_artifact import JOB, untrained, written
from tests.unit.training.markets import write_snapshot
from workers.training.artifact_writer import write_artifact
from workers.training.data import read_snapshot


def refused(path: Path, *, verify: bool = False) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        open_artifact(path, verify=verify)
    assert caught.value.remedy
    return caught.value


def test_a_missing_artifact_is_refused(tmp_path: Path) -> None:
    assert "no artifact" in str(refused(tmp_path / "nowhere"))


@pytest.mark.parametrize("verify", [False, True])
def test_a_changed_file_is_found_by_its_hash(tmp_path: Path, verify: bool) -> None:
    path, _, _ = written(tmp_path)
    open_artifact(path, verify=verify)
    content = bytearray((path / "user_vectors.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "user_vectors.safetensors").write_bytes(content)
    assert "user_vectors" in str(refused(path, verify=verify))


def test_vectors_beyond_half_precision_are_not_written(tmp_path: Path) -> None:
    snapshot = write_snapshot(tmp_path / "snapshot")
    data = read_snapshot(snapshot)
    result = untrained(data, "inner_product")
    result.vectors.products[7, 3] = 1e5
    with pytest.raises(Untrainable, match="half precision"):
        write_artifact(tmp_path / "artifact", result, data, job=JOB, snapshot=snapshot)
    assert not (tmp_path / "artifact").exists()


def test_a_cut_or_missing_file_is_refused(tmp_path: Path) -> None:
    path, _, _ = written(tmp_path)
    content = (path / "slates.safetensors").read_bytes()
    (path / "slates.safetensors").write_bytes(content[:-10])
    assert "slates" in str(refused(path))
    (path / "slates.safetensors").unlink()
    assert "slates" in str(refused(path))
    assert "slates" in str(refused(path, verify=True))


def test_another_version_or_other_counts_are_refused(tmp_path: Path) -> None:
    path, _, _ = written(tmp_path)
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | {"counts": manifest["counts"] | {"users": 61}}))
    assert "shape" in str(refused(path))
    for version in (1, 2, 4):
        (path / MANIFEST).write_text(json.dumps(manifest | {"version": version}))
        assert f"has version {version}, this code reads 3" in str(refused(path))
    (path / MANIFEST).write_text(json.dumps(manifest)[:-20])
    assert "damaged" in str(refused(path))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: change_manifest(path, temperature=None),
        lambda path: change_manifest(path, temperature="warm"),
        lambda path: change_manifest(path, temperature=0),
        lambda path: change_manifest(path, scoring="guessed"),
        lambda path: change_manifest(path, counts={}),
        lambda path: change_manifest(path, colour="blue"),
        lambda path: change_items(path, popular=np.array([40], np.int32)),
        lambda path: change_items(path, popular=np.array([0.5])),
        lambda path: change_items(path, popular=np.array([0.5], np.float32)),
        lambda path: change_items(path, popular=np.zeros((1, 1), np.int32)),
        lambda path: change_items(path, product_ids=np.arange(40)),
        lambda path: change_items(path, product_ids=np.full((40, 1), 255, np.uint8)),
        lambda path: change_items(path, product_ids=np.empty((40, 0), np.uint8)),
        lambda path: change_items(path, product_vectors=np.zeros((40, 9), np.float16)),
        lambda path: change_items(path, product_vectors=np.zeros((40, 8), np.float32)),
        lambda path: change(path, "bought", bought_indices=np.full(len_of(path), 40, np.int32)),
        lambda path: change(path, "bought", bought_indices=np.full(len_of(path), -1, np.int32)),
        lambda path: change_items(path, one_more=np.zeros(1, np.float32)),
    ],
    ids=[
        "no temperature",
        "a word as temperature",
        "a temperature of 0",
        "a scoring that does not exist",
        "no counts",
        "an unknown field",
        "an unknown product",
        "numbers of an unknown type",
        "half a product",
        "a table of the popular",
        "numbers as ids",
        "ids that are not UTF-8",
        "ids without a byte",
        "other dimensions than the users'",
        "vectors in single precision",
        "a purchase of an unknown product",
        "a purchase of a product below 0",
        "one tensor more",
    ],
)
def test_contents_that_do_not_fit_together_are_refused(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path, _, _ = written(tmp_path)
    damage(path)
    assert re.search("damaged|cannot be read", str(refused(path)))


def change_manifest(path: Path, **changes: Any) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | changes))


def change_items(path: Path, **changes: Any) -> None:
    change(path, "items", **changes)


def change(path: Path, name: str, **changes: Any) -> None:
    """Write other arrays, and the hash that they have."""
    file = path / f"{name}.safetensors"
    arrays = {name: array.copy() for name, array in load_file(file).items()}
    save_file(arrays | changes, file)
    files = json.loads((path / MANIFEST).read_text())["files"]
    change_manifest(path, files=files | {file.name: hashlib.sha256(file.read_bytes()).hexdigest()})


def len_of(path: Path) -> int:
    return int(json.loads((path / MANIFEST).read_text())["counts"]["buys"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("small"), num_users=6, num_products=9, num_buys=20)[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(data=st.data())
def test_damage_anywhere_is_told_or_does_not_show(small: Path, data: st.DataObject) -> None:
    """Bytes cut off, changed or put in: a file of tensors that is not what was written is refused."""
    file = small / data.draw(st.sampled_from([*FILES, MANIFEST]))
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, min(len(content) - 1, 400)))
    put = data.draw(st.binary(max_size=8))
    kept = at + data.draw(st.integers(0, 8)) if data.draw(st.booleans()) else len(content)
    damaged = content[:at] + put + content[kept:]
    try:
        file.write_bytes(damaged)
        if damaged != content and file.name != MANIFEST:
            refused(small)
        with suppress(ArtifactError):
            open_artifact(small)
    finally:
        file.write_bytes(content)
