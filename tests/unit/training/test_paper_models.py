"""The paper's seven models learn, repeat themselves bit by bit, and are published only where they can be."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import neo4j
import numpy as np
import pytest
import torch
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray

from lsec.api.training_request import parse_request
from lsec.core.artifact import open_artifact
from lsec.core.errors import Conflict, Untrainable
from lsec.core.jobs import PAPER_MODELS, can_be_published
from lsec.core.metrics import candidate_metrics
from tests.integration.small_release import write_artifact
from tests.unit.training.markets import interactions, write_snapshot
from workers.publish import publish
from workers.training.data import Interactions, distinct_pairs
from workers.training.evaluation import popularity_scorer
from workers.training.learners import Learner, make_learner
from workers.training.model_hyperparameters import AnyHyperparameters, hyperparameters_of
from workers.training.paper.preset import PaperHyperparameters
from workers.training.ranking import Scorer
from workers.training.run import run
from workers.training.validation import validation_split

pytestmark = pytest.mark.slow

SMALL = {
    "layer_dimensions": [64, 32, 16],
    "attention_heads": 2,
    "ncf_dimensions": 16,
    "predictor_dimensions": 32,
    "learning_rate": 0.04,
}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> Interactions:
    """Four tastes: users buy products of theirs, and follow the streamers that sell them."""
    rng = np.random.default_rng(0)
    users, streamers = np.repeat(np.arange(200), 10), np.repeat(np.arange(8), 10)

    def of_taste(rows: NDArray[np.int64], num_targets: int) -> NDArray[np.int64]:
        """For each row a target of its taste, or one time in ten any."""
        any_targets = rng.integers(0, num_targets, len(rows))
        return np.where(rng.random(len(rows)) < 0.9, any_targets // 4 * 4 + rows % 4, any_targets)

    buys = list(zip(users.tolist(), of_taste(users, 80).tolist(), strict=True))
    return replace(
        interactions(buys, num_users=200, num_products=80),
        streamer_ids=np.array([f"s{i}" for i in range(8)], np.bytes_),
        follows=distinct_pairs(users[::5], of_taste(users[::5], 8)),
        sells=distinct_pairs(streamers, of_taste(streamers, 80)),
    )


def small(model: str, **overrides: Any) -> AnyHyperparameters:
    return hyperparameters_of(model, SMALL | overrides)


def learner(model: str, data: Interactions, *, seed: int = 0, **overrides: Any) -> Learner:
    return make_learner(model, data, small(model, **overrides), seed=seed, device=CPU)


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_each_model_finds_the_tastes_of_the_market(data: Interactions, model: str) -> None:
    validation = validation_split(data, small(model), seed=0)
    trained = learner(model, validation.train)
    losses = [trained.step(step) for step in range(80)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.02
    figures, popularity = (
        candidate_metrics(validation.lists, ranker.candidates(validation.lists))
        for ranker in (trained.scorer(), popularity_scorer(validation.train))
    )
    assert figures["auc"] > popularity["auc"] + 0.1


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_the_same_seed_gives_the_same_bits_and_a_resumed_run_too(data: Interactions, model: str) -> None:
    straight, stopped = learner(model, data), learner(model, data)
    losses = [straight.step(step) for step in range(4)]
    assert [stopped.step(step) for step in range(2)] == losses[:2]
    resumed = learner(model, data)
    resumed.restore(stopped.parameters, stopped.optimizer_state)
    assert [resumed.step(step) for step in (2, 3)] == losses[2:]
    for name, values in straight.parameters.items():
        assert torch.equal(values, resumed.parameters[name]), name
    assert learner(model, data, seed=1).step(0) != losses[0]


def test_making_a_learner_leaves_the_global_generator_alone(data: Interactions) -> None:
    state = torch.get_rng_state()
    learner("het-gat", data).step(0)
    assert torch.equal(state, torch.get_rng_state())


def test_small_batches_are_steps_of_their_own(data: Interactions) -> None:
    whole, parts = learner("gcn", data), learner("gcn", data, batch_size=50)
    whole.step(0)
    parts.step(0)
    steps = [made.optimizer_state["steps"][0].item() for made in (whole, parts)]
    assert steps == [1, 4]


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_a_market_with_two_purchases_and_nothing_else_trains(model: str) -> None:
    tiny = interactions([(0, 0), (1, 1)], num_users=3, num_products=2)
    made = learner(model, tiny)
    assert np.isfinite(made.step(0))
    assert made.scorer().all_products(torch.arange(3)).isfinite().all()


@pytest.mark.parametrize("model", [model for model in PAPER_MODELS if model != "ncf"])
def test_with_inner_products_the_scores_are_those_of_the_vectors(data: Interactions, model: str) -> None:
    made = learner(model, data, predictor="inner_product")
    made.step(0)
    ranker = made.scorer()
    assert isinstance(ranker, Scorer)
    assert ranker.scoring == "inner_product"
    expected = ranker.users @ ranker.products.T
    torch.testing.assert_close(ranker.all_products(torch.arange(200)), expected)
    assert can_be_published(model, {"predictor": "inner_product"})


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"heads": 2}, "Unknown hyperparameters: heads"),
        ({"layer_dimensions": [8]}, "layer_dimensions must be 2 to 9"),
        ({"layer_dimensions": [8, True]}, "layer_dimensions must be 2 to 9"),
        ({"predictor": "dot"}, "predictor must be one of mlp, inner_product"),
        ({"ncf_dimensions": 6}, "multiple of 4"),
        ({"num_negatives": 0}, "num_negatives must be int from 1"),
        ({"batch_size": 1.5}, "batch_size must be int"),
    ],
)
def test_a_wrong_hyperparameter_is_named(overrides: dict[str, Any], reason: str) -> None:
    with pytest.raises(Untrainable, match=reason):
        hyperparameters_of("het-gcn", overrides)


def test_the_preset_reads_back_as_it_was_written() -> None:
    preset = hyperparameters_of("gat", {"layer_dimensions": [8, 4]})
    assert isinstance(preset, PaperHyperparameters)
    assert (preset.learning_rate, preset.layer_dimensions) == (0.005, (8, 4))
    assert hyperparameters_of("gat", preset.to_dict()) == preset


def test_an_unknown_model_and_a_predictor_for_ncf_are_refused() -> None:
    with pytest.raises(Untrainable, match="no model 'ngcf', only cosine-gcn"):
        hyperparameters_of("ngcf", {})
    with pytest.raises(Untrainable, match="ncf is a predictor itself"):
        hyperparameters_of("ncf", {"predictor": "inner_product"})


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_a_request_to_publish_what_cannot_be_names_the_field_and_what_to_do(model: str) -> None:
    with pytest.raises(RequestValidationError) as caught:
        parse_request(f'{{"model": "{model}"}}'.encode())
    error = caught.value.errors()[0]
    assert error["loc"] == ("publish",)
    assert "Train it without publishing" in error["msg"]
    assert parse_request(f'{{"model": "{model}", "publish": false}}'.encode()).model == model


def test_a_request_to_publish_inner_products_is_taken_but_not_for_ncf() -> None:
    body = '{{"model": "{}", "hyperparameters": {{"predictor": "inner_product"}}}}'
    assert parse_request(body.format("het-gcn").encode()).publish
    with pytest.raises(RequestValidationError):
        parse_request(body.format("ncf").encode())


@pytest.mark.parametrize(
    ("model", "predictor", "scoring"),
    [("ncf", "mlp", "mlp"), ("gat", "mlp", "mlp"), ("het-gcn", "inner_product", "inner_product")],
)
def test_a_run_by_the_models_name_leaves_an_artifact_that_says_how_it_scores(
    tmp_path: Path, model: str, predictor: str, scoring: str
) -> None:
    write_snapshot(tmp_path / "snapshot")
    job = {
        "training_id": "trn_1",
        "release_id": "rel_1",
        "model": model,
        "seed": 0,
        "device": "cpu",
        "threads": 1,
        "slate_length": 6,
        "hyperparameters": SMALL | {"predictor": predictor, "num_steps": 4, "validate_every": 2},
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    run(tmp_path)
    artifact = open_artifact(tmp_path / "artifact", verify=True)
    assert (artifact.manifest.model, artifact.manifest.scoring) == (model, scoring)
    assert artifact.manifest.hyperparameters["layer_dimensions"] == SMALL["layer_dimensions"]
    assert artifact.manifest.metrics["candidates"]["ndcg@10"] > 0
    assert len(artifact.slate(0)) == 6


def test_an_artifact_of_a_network_is_not_published(tmp_path: Path) -> None:
    write_artifact(tmp_path / "rel_1", {"u1": ["p1"]}, products=["p1", "p2"], popular=["p1"])
    artifact = open_artifact(tmp_path / "rel_1")
    compared = replace(artifact, manifest=msgspec.structs.replace(artifact.manifest, scoring="mlp"))
    # The driver has nowhere to connect to: it is refused before anything is read or written.
    with (
        neo4j.GraphDatabase.driver("bolt://127.0.0.1:1") as driver,
        pytest.raises(Conflict, match="rel_1 of cosine-gcn cannot be published") as caught,
    ):
        publish(driver, compared)
    assert "inner_product" in caught.value.remedy
