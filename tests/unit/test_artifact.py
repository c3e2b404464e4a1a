"""Artifacts are read back as they were written, and score as the model did."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn import functional

from lsec.core.artifact import Scoring, open_artifact
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
HALF = 0.02
"""Scores of these vectors differ by less after their rounding to half precision."""
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
    for found, trained in (
        (artifact.user_vectors, result.vectors.users),
        (artifact.product_vectors, result.vectors.products),
        (artifact.streamer_vectors, result.vectors.streamers),
    ):
        assert np.array_equal(found, trained.numpy().astype(np.float16))
    counts = {"buys": len(data.buys), "follows": len(data.follows), "views": len(data.viewed)}
    assert artifact.manifest.counts == {"users": 60, "products": 40, "streamers": 5} | counts
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
    assert artifact.degrees.tolist() == np.bincount(data.buys.targets, minlength=40).tolist()


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
    np.testing.assert_allclose(scores, expected, atol=HALF)
    for row in range(60):
        slate = artifact.slate(row)
        known = artifact.scores(row, [product_id for product_id, _ in slate] + ["unknown"])
        assert known == pytest.approx(dict(slate), abs=HALF)
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
