"""Artifacts are read back as written, or refused with a remedy."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from torch.nn import functional

from lsec.core.artifact import MANIFEST, Artifact, Scoring, open_artifact
from lsec.core.artifact_layout import FILES
from lsec.core.errors import ArtifactError
from lsec.core.list_evaluation import evaluate_lists
from lsec.core.tensor_file import map_tensors
from tests.unit.training.markets import write_snapshot
from workers.training.artifact_writer import write_artifact
from workers.training.data import Interactions, read_snapshot
from workers.training.hyperparameters import Hyperparameters
from workers.training.job import Job
from workers.training.model import Vectors
from workers.training.model_card import CARD
from workers.training.trainer import Trained

JOB = Job("trn_1", "rel_1", "cosine-gcn", 0, "cpu", 1, 6, Hyperparameters())
METRICS = {"candidates": {"ndcg@10": 0.41234}, "popularity": {"candidates": {"ndcg@10": 0.3}}, "num_steps": 3}


def untrained(data: Interactions, scoring: Scoring = "cosine") -> Trained:
    """Random vectors in place of a training, of unit length where the score is a cosine."""
    generator = torch.Generator().manual_seed(0)
    sizes = data.num_users, data.num_products, data.num_streamers
    drawn = [torch.randn(n, 8, generator=generator) for n in sizes]
    if scoring == "cosine":
        drawn = [functional.normalize(values, dim=1) for values in drawn]
    temperature = 0.2 if scoring == "cosine" else 1.0
    return Trained(Vectors(*drawn), torch.randn(data.num_products, generator=generator), temperature, METRICS)


def written(
    tmp_path: Path, *, scoring: Scoring = "cosine", **sizes: int
) -> tuple[Path, Interactions, Trained]:
    snapshot = write_snapshot(tmp_path / "snapshot", **sizes)
    data = read_snapshot(snapshot)
    result = untrained(data, scoring)
    write_artifact(tmp_path / "artifact", result, data, job=JOB, snapshot=snapshot, scoring=scoring)
    return tmp_path / "artifact", data, result


def test_an_artifact_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path, data, result = written(tmp_path)
    artifact = open_artifact(path, verify=True)
    assert not (tmp_path / "artifact.partial").exists()
    assert np.array_equal(artifact.user_vectors, result.vectors.users.numpy())
    assert artifact.manifest.counts == {"users": 60, "products": 40, "streamers": 5, "buys": len(data.buys)}
    assert (artifact.manifest.scoring, artifact.manifest.temperature) == ("cosine", 0.2)
    for row, id_ in enumerate(data.user_ids.tolist()):
        assert artifact.user_row(id_.decode()) == row
        bought = data.buys.targets[data.buys.sources == row]
        assert artifact.bought(row).tolist() == bought.tolist()
    assert artifact.product_row("p7") == 7
    assert artifact.product_id(7) == "p7"
    popular = [f"p{row}" for row in data.popular_order()]
    assert list(artifact.popular_products(3)) == popular[:3]
    assert list(artifact.popular_products(1000)) == popular


@pytest.mark.parametrize("unknown", ["", "u", "u999", "a" * 1000, "u1\0", "ü"])
def test_an_unknown_id_has_no_row(tmp_path: Path, unknown: str) -> None:
    artifact = open_artifact(written(tmp_path)[0])
    assert artifact.user_row(unknown) is None


@pytest.mark.parametrize("scoring", ["cosine", "inner_product"])
def test_scores_and_slates_agree_with_the_model(tmp_path: Path, scoring: Scoring) -> None:
    path, data, result = written(tmp_path, scoring=scoring)
    artifact = open_artifact(path)
    expected = result.scorer.all_products(torch.arange(data.num_users)).numpy()
    users, products = np.divmod(np.arange(60 * 40), 40)
    scores = artifact.pair_scores(users, products).reshape(60, 40)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    for row in range(60):
        slate = artifact.slate(row)
        known = artifact.scores(row, [product_id for product_id, _ in slate] + ["unknown"])
        assert known == pytest.approx(dict(slate), rel=1e-4, abs=1e-5)
        assert [score for _, score in slate] == sorted((score for _, score in slate), reverse=True)
        assert len(slate) == 6


def test_a_networks_scores_are_not_made_of_vectors(tmp_path: Path) -> None:
    artifact = open_artifact(written(tmp_path, scoring="mlp")[0], verify=True)
    product_id, _ = artifact.slate(0)[0]
    with pytest.raises(ArtifactError, match="network") as caught:
        artifact.scores(0, [product_id])
    assert caught.value.remedy


def test_no_streamers_is_fine(tmp_path: Path) -> None:
    path, _, _ = written(tmp_path, num_streamers=0, num_follows=0)
    artifact = open_artifact(path, verify=True)
    assert artifact.streamer_vectors.shape == (0, 8)
    assert artifact.streamers.row("s1") is None


def test_lists_are_scored_by_the_model_or_by_popularity(tmp_path: Path) -> None:
    path, data, _ = written(tmp_path)
    artifact = open_artifact(path)
    best, second = (product_id for product_id, _ in artifact.slate(0)[:2])
    popular = [f"p{row}" for row in data.popular_order()]
    rows = [
        ("u0", best, True),
        ("u0", second, False),
        ("u0", "p-unknown", False),
        ("stranger", popular[0], True),
        ("stranger", popular[-1], False),
    ]
    evaluation = evaluate_lists(artifact, *(list(column) for column in zip(*rows, strict=True)))
    assert evaluation.metrics["auc"] == evaluation.metrics["ndcg@10"] == 1.0
    assert evaluation.num_lists == 2
    assert evaluation.num_users_by_popularity == 1
    assert evaluation.num_unknown_products == 1


def test_the_library_reads_the_same_and_all_are_views_of_the_files(tmp_path: Path) -> None:
    path, _, _ = written(tmp_path)
    for name, held in FILES.items():
        expected, found = load_file(path / name), map_tensors(path / name)
        assert set(expected) == set(found) == set(held)
        for key, array in found.items():
            assert array.dtype == expected[key].dtype
            assert np.array_equal(array, expected[key])
            assert array.flags.aligned
            assert not array.flags.owndata
            assert not array.flags.writeable


def test_an_artifact_is_read_without_torch_and_safetensors(tmp_path: Path) -> None:
    path, _, _ = written(tmp_path)
    code = (
        "import sys; from pathlib import Path; from lsec.core.artifact import open_artifact\n"
        "print(len(open_artifact(Path(sys.argv[1]), verify=True).slate(0)))\n"
        "print([name for name in ('torch', 'safetensors', 'workers') if name in sys.modules])"
    )
    assert outcome(code, str(path), cwd=tmp_path).split("\n") == ["6", "[]"]


@pytest.mark.parametrize("scoring", ["cosine", "inner_product", "mlp"])
def test_the_cards_code_ranks_as_the_artifact_does(tmp_path: Path, scoring: Scoring) -> None:
    path, _, _ = written(tmp_path, scoring=scoring, num_users=10, num_buys=20)
    artifact = open_artifact(path)
    user = next(row for row in range(10) if artifact.slate(row))
    [code] = re.findall(r"```python\n(.*?)```", (path / CARD).read_text(), re.DOTALL)
    user_id = artifact.user_ids[user].decode()
    found = re.findall(r"b'(.*?)'", outcome(code.replace("USER_ID", user_id), cwd=path))
    if scoring == "mlp":
        assert found == [product_id for product_id, _ in artifact.slate(user)]
    else:
        products = [id_.decode() for id_ in artifact.product_ids.tolist()]
        scores = artifact.scores(user, products)
        assert found == sorted(products, key=lambda product_id: -scores[product_id])[:10]


def outcome(code: str, *arguments: str, cwd: Path) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=cwd, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


def refused(path: Path, *, verify: bool = False) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        open_artifact(path, verify=verify)
    assert caught.value.remedy
    return caught.value


def test_a_missing_artifact_is_refused(tmp_path: Path) -> None:
    assert "no artifact" in str(refused(tmp_path / "nowhere"))


def test_a_changed_file_is_found_by_its_hash(tmp_path: Path) -> None:
    path, _, _ = written(tmp_path)
    content = bytearray((path / "user_vectors.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "user_vectors.safetensors").write_bytes(content)
    assert isinstance(open_artifact(path), Artifact)
    assert "user_vectors" in str(refused(path, verify=True))


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
    (path / MANIFEST).write_text(json.dumps(manifest | {"version": 1}))
    assert "version 1" in str(refused(path))
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
        lambda path: change_items(path, product_vectors=np.zeros((40, 9), np.float32)),
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
    file = path / "items.safetensors"
    arrays = {name: array.copy() for name, array in load_file(file).items()}
    save_file(arrays | changes, file)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("small"), num_users=6, num_products=9, num_buys=20)[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(data=st.data())
def test_damage_anywhere_is_told_or_does_not_show(small: Path, data: st.DataObject) -> None:
    """Bytes cut off, changed or put in; with `verify`, whatever is not what was written is refused."""
    file = small / data.draw(st.sampled_from([*FILES, MANIFEST]))
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, min(len(content) - 1, 400)))
    put = data.draw(st.binary(max_size=8))
    kept = at + data.draw(st.integers(0, 8)) if data.draw(st.booleans()) else len(content)
    damaged = content[:at] + put + content[kept:]
    try:
        file.write_bytes(damaged)
        if damaged != content and file.name != MANIFEST:
            refused(small, verify=True)
        with suppress(ArtifactError):
            open_artifact(small)
    finally:
        file.write_bytes(content)
