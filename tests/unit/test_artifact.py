"""Artifacts are read back as written, or refused with a remedy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from lsec.core.artifact import MANIFEST, Artifact, evaluate_lists, open_artifact
from lsec.core.errors import ArtifactError
from tests.unit.training.markets import write_snapshot
from workers.training.artifact_writer import write_artifact
from workers.training.data import Interactions, read_snapshot
from workers.training.hyperparameters import Hyperparameters
from workers.training.job import Job
from workers.training.model import Vectors
from workers.training.trainer import Trained

JOB = Job("trn_1", "rel_1", "lightgcn", 0, "cpu", 1, 6, Hyperparameters())


def untrained(data: Interactions) -> Trained:
    """Random unit vectors in place of a training."""
    generator = torch.Generator().manual_seed(0)
    sizes = data.num_users, data.num_products, data.num_streamers
    vectors = Vectors(*(functional.normalize(torch.randn(n, 8, generator=generator), dim=1) for n in sizes))
    return Trained(vectors, torch.randn(data.num_products, generator=generator), 0.2, {"num_steps": 3})


def written(tmp_path: Path, **sizes: int) -> tuple[Path, Interactions, Trained]:
    snapshot = write_snapshot(tmp_path / "snapshot", **sizes)
    data = read_snapshot(snapshot)
    result = untrained(data)
    write_artifact(tmp_path / "artifact", result, data, job=JOB, snapshot=snapshot)
    return tmp_path / "artifact", data, result


def test_an_artifact_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path, data, result = written(tmp_path)
    artifact = open_artifact(path, verify=True)
    assert not (tmp_path / "artifact.partial").exists()
    assert np.array_equal(artifact.user_vectors, result.vectors.users.numpy())
    assert artifact.manifest.counts == {"users": 60, "products": 40, "streamers": 5, "buys": len(data.buys)}
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


def test_scores_and_slates_agree_with_the_model(tmp_path: Path) -> None:
    path, data, result = written(tmp_path)
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


def refused(path: Path, *, verify: bool = False) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        open_artifact(path, verify=verify)
    assert caught.value.remedy
    return caught.value


def test_a_missing_artifact_is_refused(tmp_path: Path) -> None:
    assert "no artifact" in str(refused(tmp_path / "nowhere"))


def test_a_changed_file_is_found_by_its_hash(tmp_path: Path) -> None:
    path, _, _ = written(tmp_path)
    content = bytearray((path / "product_bias.npy").read_bytes())
    content[-1] ^= 1
    (path / "product_bias.npy").write_bytes(content)
    assert isinstance(open_artifact(path), Artifact)
    assert "product_bias" in str(refused(path, verify=True))


def test_a_cut_or_missing_file_is_refused(tmp_path: Path) -> None:
    path, _, _ = written(tmp_path)
    content = (path / "slates.npy").read_bytes()
    (path / "slates.npy").write_bytes(content[:-10])
    assert "slates" in str(refused(path))
    (path / "slates.npy").unlink()
    assert "slates" in str(refused(path))


def test_another_version_or_other_counts_are_refused(tmp_path: Path) -> None:
    path, _, _ = written(tmp_path)
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | {"counts": manifest["counts"] | {"users": 61}}))
    assert "shape" in str(refused(path))
    (path / MANIFEST).write_text(json.dumps(manifest | {"version": 2}))
    assert "version 2" in str(refused(path))
    (path / MANIFEST).write_text(json.dumps(manifest)[:-20])
    assert "damaged" in str(refused(path))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: change_manifest(path, hyperparameters={}),
        lambda path: change_manifest(path, hyperparameters={"temperature": "warm"}),
        lambda path: np.save(path / "popular.npy", np.array([40], np.int32)),
        lambda path: np.save(path / "popular.npy", np.array([0.5])),
        lambda path: np.save(path / "product_ids.npy", np.arange(40)),
        lambda path: np.save(path / "product_ids.npy", np.full(40, b"\xff")),
    ],
    ids=[
        "no temperature",
        "a word as temperature",
        "an unknown product",
        "half a product",
        "numbers as ids",
        "ids that are not UTF-8",
    ],
)
def test_contents_that_do_not_fit_together_are_refused(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path, _, _ = written(tmp_path)
    damage(path)
    assert "damaged" in str(refused(path))


def change_manifest(path: Path, **changes: Any) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | changes))
