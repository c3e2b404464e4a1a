"""Scores of all products for any vector, the best of them, and vectors of users who are new."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bench.memory_release import artifact_in_memory
from bench.small_market import small_sets
from lsec.core.artifact import Artifact, Scoring, open_artifact
from lsec.core.errors import ArtifactError
from lsec.core.fold_in import MAX_NEGATIVES, FoldIn
from lsec.core.half_precision import inner_products, to_single
from lsec.core.metrics import candidate_metrics
from tests.unit.test_artifact import written
from workers.training.artifact_writer import artifact_arrays
from workers.training.hyperparameters import Hyperparameters
from workers.training.trainer import Trained, Trainer

NOTHING = np.empty(0, np.int64)


def artifact_of(products: np.ndarray, bias: np.ndarray, **fields: Any) -> Artifact:
    """An artifact in memory with these products, their first bought by a single user."""
    num_products, dimensions = products.shape
    ids = np.array([f"p{row}".encode() for row in range(num_products)])
    user = np.array([b"u"])
    arrays = {
        "user_ids": user, "user_order": np.array([0]),
        "product_ids": ids, "product_order": np.argsort(ids),
        "streamer_ids": user, "streamer_order": np.array([0]),
        "user_vectors": np.ones((1, dimensions), np.float16),
        "product_vectors": products.astype(np.float16), "product_bias": bias.astype(np.float32),
        "streamer_vectors": np.ones((1, dimensions), np.float16),
        "slates": np.zeros((1, 1), np.int32), "slate_scores": np.zeros((1, 1), np.float32),
        "bought_indptr": np.array([0, 1]), "bought_indices": np.array([0], np.int32),
        "popular": np.array([0], np.int32),
    }  # fmt: skip
    return artifact_in_memory(arrays, temperature=0.5, **fields)


# Few different numbers, so that many scores are equal.
eighths = st.integers(-8, 8).map(lambda number: number / 8)


@given(data=st.data())
def test_the_best_are_those_of_brute_force(data: st.DataObject) -> None:
    """Of all products but the excluded, sorted by score and then by row."""
    num_products, dimensions = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 3))
    products, bias, vector = (
        data.draw(npst.arrays(np.float32, shape, elements=eighths))
        for shape in ((num_products, dimensions), (num_products,), (dimensions,))
    )
    excluded = data.draw(st.lists(st.integers(0, num_products - 1), max_size=40))
    k = data.draw(st.integers(0, 40))
    artifact = artifact_of(products, bias)
    scores = [float(row @ vector) / 0.5 + float(b) for row, b in zip(products, bias, strict=True)]
    expected = sorted(set(range(num_products)) - set(excluded), key=lambda row: (-scores[row], row))[:k]
    rows, found = artifact.top(vector, k, np.array(excluded, np.int32))
    assert rows.tolist() == expected
    assert found.tolist() == [scores[row] for row in expected]


@pytest.mark.parametrize("scoring", ["cosine", "inner_product"])
def test_a_users_own_vector_gives_the_users_scores(tmp_path: Path, scoring: Scoring) -> None:
    artifact = open_artifact(written(tmp_path, scoring=scoring)[0])
    for user in (0, 17):
        every = artifact.pair_scores(np.full(40, user), np.arange(40))
        scores = artifact.vector_scores(artifact.user_vector(user))
        np.testing.assert_allclose(scores, every, rtol=1e-5, atol=1e-5)
        some = np.array([7, 3, 3, 39])
        np.testing.assert_allclose(
            artifact.vector_scores(artifact.user_vector(user), some), every[some], rtol=1e-5, atol=1e-5
        )
        assert not len(artifact.vector_scores(artifact.user_vector(user), NOTHING))


def test_the_best_for_a_users_own_vector_are_the_users_slate(tmp_path: Path) -> None:
    artifact = open_artifact(written(tmp_path)[0])
    for user in range(60):
        if slate := artifact.slate(user):
            rows, _ = artifact.top(artifact.user_vector(user), 3, artifact.bought(user))
            # Rounding may change the places of two that are almost alike.
            assert {artifact.product_id(row) for row in rows.tolist()} <= {id_ for id_, _ in slate[:5]}


def test_a_network_scores_by_no_vector() -> None:
    artifact = artifact_of(np.ones((2, 2)), np.zeros(2), scoring="mlp")
    with pytest.raises(ArtifactError, match="network"):
        artifact.vector_scores(np.ones(2, np.float32))
    with pytest.raises(ArtifactError, match="network"):
        artifact.top(np.ones(2, np.float32), 1)
    with pytest.raises(ArtifactError, match="network"):
        FoldIn.of(artifact)


@pytest.fixture(scope="module")
def market() -> tuple[Trained, Artifact]:
    """A trained small market, and its artifact in memory."""
    data = small_sets()[0].train
    hyperparameters = Hyperparameters.from_mapping({"dimensions": 32, "num_steps": 40})
    trained = Trainer(data, hyperparameters, seed=0, device=torch.device("cpu")).train()
    artifact = artifact_in_memory(
        artifact_arrays(trained, data, slate_length=10),
        temperature=trained.temperature,
        hyperparameters=hyperparameters.to_dict(),
        counts={"follows": len(data.follows), "views": 0},
    )
    return trained, artifact


def test_half_precision_ranks_as_single_precision_does(market: tuple[Trained, Artifact]) -> None:
    trained, artifact = market
    lists = small_sets()[0].test
    assert lists is not None
    scores = artifact.pair_scores(
        np.broadcast_to(lists.users[:, None], lists.products.shape)[lists.is_valid],
        lists.products[lists.is_valid],
    )
    in_half = np.full(lists.products.shape, -np.inf)
    in_half[lists.is_valid] = scores
    figures = candidate_metrics(lists, in_half)
    expected = candidate_metrics(lists, trained.scorer.candidates(lists))
    assert figures == pytest.approx(expected, abs=2e-3)


def test_a_user_who_is_folded_in_is_near_their_trained_vector(market: tuple[Trained, Artifact]) -> None:
    trained, artifact = market
    follows = small_sets()[0].train.follows
    fold_in = FoldIn.of(artifact)
    own = trained.vectors.users.numpy()
    ranks = []
    for user in range(0, 300, 10):
        vector = fold_in.user_vector(artifact.bought(user), follows.targets[follows.sources == user])
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        ranks.append(int((own @ vector > own[user] @ vector).sum()))
    # Of 300 users, the one that was folded in is among the few nearest.
    assert np.median(ranks) <= 3


def test_folding_in_takes_the_weights_of_the_training(market: tuple[Trained, Artifact]) -> None:
    _, artifact = market
    fold_in = FoldIn.of(artifact)
    counts = artifact.manifest.counts
    assert fold_in.follow_weight == pytest.approx(0.2 * counts["buys"] / counts["follows"])
    assert (fold_in.view_weight, fold_in.view_edge) == (0.3, 0.3)
    assert np.array_equal(fold_in.degrees, artifact.degrees)
    many_views = msgspec.structs.replace(artifact.manifest, counts=counts | {"views": 10 * counts["buys"]})
    assert FoldIn.of(replace(artifact, manifest=many_views)).view_weight == pytest.approx(0.03)


def test_without_follows_in_the_training_a_follow_says_nothing(market: tuple[Trained, Artifact]) -> None:
    _, artifact = market
    manifest = msgspec.structs.replace(artifact.manifest, counts=artifact.manifest.counts | {"follows": 0})
    fold_in = FoldIn.of(replace(artifact, manifest=manifest))
    assert not fold_in.user_vector(NOTHING, np.array([1, 2])).any()
    bought = artifact.bought(0)
    assert np.array_equal(fold_in.user_vector(bought, np.array([1])), fold_in.user_vector(bought, NOTHING))


def test_a_single_view_says_what_a_user_may_like(market: tuple[Trained, Artifact]) -> None:
    _, artifact = market
    vector = FoldIn.of(artifact).user_vector(NOTHING, NOTHING, viewed=np.array([13]))
    cosines = inner_products(artifact.product_vectors, vector)
    assert np.argmax(cosines) == 13


def test_two_processes_fold_in_alike() -> None:
    rng = np.random.default_rng(0)
    products = rng.normal(size=(MAX_NEGATIVES + 500, 4))
    artifact = artifact_of(
        products / np.linalg.norm(products, axis=1, keepdims=True), np.zeros(len(products))
    )
    vectors = [FoldIn.of(artifact).user_vector(np.array([5, 4000]), NOTHING) for _ in range(2)]
    assert np.array_equal(vectors[0], vectors[1])
    assert to_single(artifact.product_vectors[5]) @ vectors[0] > 0
