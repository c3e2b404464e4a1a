"""A candidate against the champion: on the same lists, by models that have not seen what these hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lsec.core.artifact import open_artifact
from lsec.core.selection_vectors import read_selection_vectors
from tests.unit.test_artifact import JOB
from tests.unit.training.markets import market
from workers.training.artifact_writer import write_artifact
from workers.training.champion import over_champion
from workers.training.checkpoint import Stage
from workers.training.data import Interactions
from workers.training.evaluation import popularity_scorer
from workers.training.hyperparameters import Hyperparameters
from workers.training.learners import make_learner
from workers.training.ranking import Scorer
from workers.training.selection_model import Kept, kept_of
from workers.training.trainer import Trained, Trainer
from workers.training.validation import Validation, validation_split
from workers.training.warm_start import warm_start

SMALL = Hyperparameters.from_mapping(
    {"dimensions": 16, "num_steps": 10, "validate_every": 5, "num_candidates": 60, "validation_share": 0.2}
)
SIZES = {"num_users": 200, "num_products": 120, "num_buys": 3000}


def train(data: Interactions, *, champion: Path | None = None, hp: Hyperparameters = SMALL) -> Trained:
    return Trainer(data, hp, seed=0, device=torch.device("cpu"), champion=champion).train()


def release(path: Path, data: Interactions, trained: Trained, *, name: str = "rel_1") -> Path:
    """The artifact's folder."""
    job = replace(JOB, release_id=name, hyperparameters=SMALL)
    write_artifact(path / name, trained, data, job=job, snapshot=path / "snapshot")
    return path / name


def split(data: Interactions) -> Validation:
    return validation_split(data, SMALL, seed=0)


def scorer_of(kept: Kept) -> Scorer:
    users, products, bias = kept.values()
    return Scorer(users.float(), products.float(), bias, SMALL.temperature)


def part_of(data: Interactions, *, without: int) -> Interactions:
    """The market in other rows, without its last users and products and a tenth of the purchases."""
    users, products = (
        np.random.default_rng(seed).permutation(num - without)
        for seed, num in enumerate((data.num_users, data.num_products))
    )
    of_user, of_product = (np.full(num, -1) for num in (data.num_users, data.num_products))
    of_user[users], of_product[products] = np.arange(len(users)), np.arange(len(products))
    buys = data.buys[np.random.default_rng(2).random(len(data.buys)) < 0.9]
    sources, targets = of_user[buys.sources], of_product[buys.targets]
    known = (sources >= 0) & (targets >= 0)
    order = np.lexsort((targets[known], sources[known]))
    kept = replace(buys[known], sources=sources[known][order], targets=targets[known][order])
    nothing = data.viewed[np.zeros(len(data.viewed), bool)]
    return replace(
        data,
        user_ids=data.user_ids[users],
        product_ids=data.product_ids[products],
        buys=kept,
        viewed=nothing,
        follows=nothing,
        watched=nothing,
        sells=nothing,
    )


def test_a_champion_that_is_the_candidate_differs_by_nothing(tmp_path: Path) -> None:
    data = market(tmp_path, **SIZES)
    first = train(data)
    again = train(data, champion=release(tmp_path, data, first))
    found = again.metrics["over_champion"]
    assert (found["release_id"], found["judged_by"]) == ("rel_1", "selection model")
    assert found["num_users"] == again.metrics["num_validation_users"] > 100
    assert found["candidate"] == found["champion"]
    for figure in ("ndcg@10", "recall@10"):
        assert found["candidate"][figure] == pytest.approx(again.metrics["candidates"][figure], abs=0.01)
        assert set(found["difference"][figure].values()) == {0.0, 1.0}  # no difference, for sure
    for kind in ("users", "products"):
        assert sum(segment["num_users"] for segment in found["segments"][kind].values()) > 100


def taste(data: Interactions, *, likes: float) -> Kept:
    """Knows which products are of the users' own parity, and scores them by `likes`."""
    users, products = (
        torch.nn.functional.one_hot(torch.tensor([int(id_[1:]) % 2 for id_ in ids.tolist()]), 2).half()
        for ids in (data.user_ids, data.product_ids)
    )
    noise = torch.rand(len(products), generator=torch.Generator().manual_seed(0)) / 10
    return {
        "gate_user_vectors": users * likes,
        "gate_product_vectors": products,
        "gate_product_bias": noise,
    }


def test_a_worse_champion_is_beaten_for_sure_and_the_other_way_round(tmp_path: Path) -> None:
    data = market(tmp_path, **SIZES)
    trained, validation = train(data), split(data)
    good, bad = taste(data, likes=1), taste(data, likes=-1)
    worse = release(tmp_path, data, replace(trained, selection=bad))
    found = over_champion(worse, scorer_of(good), good, validation)
    assert found["difference"]["ndcg@10"]["low"] > 0
    assert found["candidate"]["ndcg@10"] > found["champion"]["ndcg@10"] > 0
    better = release(tmp_path, data, replace(trained, selection=good), name="rel_2")
    found = over_champion(better, scorer_of(bad), bad, validation)
    assert found["difference"]["ndcg@10"]["high"] < 0
    assert found["segments"]["users"]["light"]["difference"]["ndcg@10"]["high"] < 0


def test_an_earlier_champion_is_found_by_ids_and_judged_on_what_both_know(tmp_path: Path) -> None:
    data = market(tmp_path, **SIZES)
    earlier = part_of(data, without=20)
    path = release(tmp_path, earlier, train(earlier))
    validation = split(data)
    found = over_champion(path, popularity_scorer(validation.train), {}, validation)
    lists = validation.lists
    known = lists.users < data.num_users - 20
    is_known = lists.products < data.num_products - 20
    has_list = (lists.is_positive & is_known).any(axis=1) & known
    assert found["num_users"] == int(has_list.sum()) < len(lists)
    # By hand: the champion's selection vectors of those ids, over the candidates that it knows.
    artifact = open_artifact(path, verify=True)
    selection = read_selection_vectors(path, artifact.manifest)
    assert selection is not None
    gains = []
    for row in np.flatnonzero(has_list):
        listed = lists.products[row][lists.is_valid[row] & is_known[row]]
        positives = set(lists.products[row][lists.is_positive[row]].tolist())
        rows = artifact.products.find(data.product_ids[listed])
        user = artifact.users.find(data.user_ids[lists.users[row : row + 1]])[0]
        vector = selection.users[user].astype(np.float32)
        scores = selection.products[rows].astype(np.float32) @ vector / 0.2 + selection.bias[rows]
        top = listed[np.argsort(-scores, kind="stable")[:10]].tolist()
        num_known = len(positives & set(listed.tolist()))
        gains.append(sum(product in positives for product in top) / num_known)
    assert found["champion"]["recall@10"] == pytest.approx(np.mean(gains))


def test_what_the_champion_has_seen_is_left_out(tmp_path: Path) -> None:
    data = market(tmp_path, **SIZES)
    held_out_less = replace(SMALL, validation_share=0.1)
    trained = train(data, hp=held_out_less)
    job = replace(JOB, hyperparameters=held_out_less)
    write_artifact(tmp_path / "rel_1", trained, data, job=job, snapshot=tmp_path / "snapshot")
    validation = split(data)
    found = over_champion(tmp_path / "rel_1", popularity_scorer(validation.train), {}, validation)
    unseen = validation_split(data, held_out_less, seed=0).held_out
    listed = validation.held_out[np.isin(validation.held_out.sources, validation.lists.users)]
    fair = listed.without(listed.without(unseen))
    assert found["num_users"] == len(np.unique(fair.sources)) < len(validation.lists)


def test_a_champion_without_a_selection_is_judged_on_purchases_that_are_new_to_it(tmp_path: Path) -> None:
    data = market(tmp_path, **SIZES)
    earlier = part_of(data, without=20)
    older = release(tmp_path, earlier, replace(train(earlier), selection={}))
    assert read_selection_vectors(older, open_artifact(older, verify=True).manifest) is None
    validation = split(data)
    found = over_champion(older, popularity_scorer(validation.train), {}, validation)
    assert found["judged_by"] == "released vectors"
    assert 0 < found["num_users"] < len(validation.lists) / 3
    same = release(tmp_path, data, replace(train(data), selection={}), name="rel_2")
    nothing = over_champion(same, popularity_scorer(validation.train), {}, validation)
    assert nothing == {
        "release_id": "rel_2",
        "num_users": 0,
        "reason": "it knows no user with a held-out purchase new to it",
    }


def test_a_champion_that_cannot_be_read_or_scores_by_a_network_is_none_to_compare_with(
    tmp_path: Path,
) -> None:
    data = market(tmp_path, **SIZES)
    validation = split(data)
    popular = popularity_scorer(validation.train)
    gone = over_champion(tmp_path / "rel_9", popular, {}, validation)
    assert gone["release_id"] == "rel_9"
    assert "cannot be read" in gone["reason"]
    write_artifact(
        tmp_path / "rel_1", train(data), data, job=JOB, snapshot=tmp_path / "snapshot", scoring="mlp"
    )
    assert "network" in over_champion(tmp_path / "rel_1", popular, {}, validation)["reason"]


def test_what_is_kept_of_a_selection_scores_as_it_did(tmp_path: Path) -> None:
    data = market(tmp_path, **SIZES)
    trainer = Trainer(data, SMALL, seed=0, device=torch.device("cpu"))
    validation = split(data)
    learner = trainer.search_steps(validation)
    assert learner is not None
    ranker = learner.scorer()
    kept = kept_of(ranker)
    assert torch.equal(kept["gate_user_vectors"], train(data).selection["gate_user_vectors"])
    difference = scorer_of(kept).candidates(validation.lists) - ranker.candidates(validation.lists)
    assert np.abs(difference).max() < 0.02


def test_a_warm_start_begins_where_the_champion_ended(tmp_path: Path) -> None:
    data = market(tmp_path, **SIZES)
    earlier = part_of(data, without=20)
    champion = release(tmp_path, earlier, train(earlier))
    warm = warm_start(champion, SMALL)
    assert warm.report == {"release_id": "rel_1"}
    artifact = open_artifact(champion)
    selection = read_selection_vectors(champion, artifact.manifest)
    assert selection is not None
    row = artifact.users.row("u5")
    sources: dict[Stage, NDArray[np.float16]] = {"select": selection.users, "train": artifact.user_vectors}
    for stage, vectors in sources.items():
        start = warm.start(stage, data)
        assert start is not None
        learner = make_learner("cosine-gcn", data, SMALL, seed=0, device=torch.device("cpu"), start=start)
        taken = torch.nn.functional.normalize(start.users[5], dim=0).numpy()
        assert taken @ vectors[row].astype(np.float32) == pytest.approx(1, abs=1e-3)
        # Of the users who are new there is nothing but the noise that all have.
        assert not start.users[-20:].any()
        noise = learner.parameters["users"] - start.users
        assert 0 < noise.norm(dim=1).max() < 2.5 * SMALL.initial_std
    trained = Trainer(data, SMALL, seed=0, device=torch.device("cpu"), warm_start=warm).train()
    assert trained.metrics["warm_start"] == {"release_id": "rel_1"}
    assert warm.with_fewer_steps(SMALL) == replace(SMALL, num_steps=6)
    assert not torch.equal(trained.vectors.users, train(data).vectors.users)


def test_a_training_that_cannot_start_warm_says_why(tmp_path: Path) -> None:
    data = market(tmp_path, **SIZES)
    champion = release(tmp_path, data, train(data))
    for path, hp, reason in (
        (None, SMALL, "there is no release"),
        (tmp_path / "rel_9", SMALL, "cannot be read"),
        (champion, replace(SMALL, dimensions=8), "has 16 dimensions, not 8"),
        (champion, replace(SMALL, validation_share=0.3), "has seen purchases"),
        (champion, replace(SMALL, validation_split="time"), "has seen purchases"),
    ):
        warm = warm_start(path, hp)
        assert warm.start("select", data) is None
        assert reason in warm.report["reason"]
        assert warm.with_fewer_steps(hp) == hp
    older = release(tmp_path, data, replace(train(data), selection={}), name="rel_2")
    assert "selection" in warm_start(older, SMALL).report["reason"]
