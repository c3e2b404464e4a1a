"""Training learns, repeats itself bit by bit, and resumes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lsec.core.errors import Untrainable
from tests.unit.training.markets import interactions, market
from workers.training.checkpoint import MAX_VALIDATIONS, Checkpoint, TrainingState
from workers.training.data import Interactions
from workers.training.hyperparameters import Hyperparameters
from workers.training.learners import Learner
from workers.training.model_hyperparameters import hyperparameters_of
from workers.training.progress import OnProgress, Progress
from workers.training.trainer import Trained, Trainer

SMALL = Hyperparameters.from_mapping({"dimensions": 16, "num_steps": 40, "validate_every": 5})


def trained(
    data: Interactions,
    hyperparameters: Hyperparameters = SMALL,
    *,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    on_progress: OnProgress | None = None,
) -> Trained:
    device = torch.device("cpu")
    return Trainer(
        data, hyperparameters, seed=seed, device=device, checkpoint=checkpoint, on_progress=on_progress
    ).train()


def same_bits(first: Trained, second: Trained) -> bool:
    """Of the released vectors, and of what is kept of the selection."""
    both = [[*each.vectors, each.bias, *each.selection.values()] for each in (first, second)]
    return all(torch.equal(a, b) for a, b in zip(*both, strict=True))


def test_it_finds_the_two_tastes_of_the_market(tmp_path: Path) -> None:
    figures = trained(market(tmp_path, num_users=500, num_products=300, num_buys=8000)).metrics
    assert figures["candidates"]["auc"] > figures["popularity"]["candidates"]["auc"] + 0.03
    assert figures["full_ranking"].keys() == {"recall@20", "ndcg@20"}
    assert 1 <= figures["num_steps"] <= 40


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path: Path) -> None:
    data = market(tmp_path)
    first = trained(data)
    assert same_bits(first, trained(data))
    assert not same_bits(first, trained(data, seed=1))


class Stop(Exception):
    """Ends a training in its middle, as a kill would."""


@pytest.mark.parametrize(("phase", "share"), [("select", 0.3), ("train", 0.3)])
def test_a_run_that_was_killed_resumes_to_the_same_bits(tmp_path: Path, phase: str, share: float) -> None:
    data = market(tmp_path)

    def checkpoint() -> Checkpoint:
        return Checkpoint(tmp_path / "checkpoint.pt", fingerprint="f", every_s=0)

    def stop(progress: Progress) -> None:
        if progress.phase == phase and progress.share >= share:
            raise Stop

    with pytest.raises(Stop):
        trained(data, checkpoint=checkpoint(), on_progress=stop)
    seen: list[Progress] = []
    resumed = trained(data, checkpoint=checkpoint(), on_progress=seen.append)
    assert seen[0].phase == phase
    assert seen[0].share > 0.02
    uninterrupted = trained(data)
    assert len(uninterrupted.selection) == 3
    assert same_bits(resumed, uninterrupted)
    assert learnt(resumed) == learnt(uninterrupted)


def learnt(result: Trained) -> list[dict[str, Any]]:
    """The curve without what depends on the machine."""
    measured = ("step_ms", "seconds", "peak_mb")
    curve = result.metrics["validations"]
    return [{name: each[name] for name in each if name not in measured} for each in curve]


@pytest.mark.parametrize("model", ["ncf", "het-gcn"])
def test_a_run_of_a_paper_model_resumes_to_the_same_bits_too(tmp_path: Path, model: str) -> None:
    data = market(tmp_path)
    few_steps = hyperparameters_of(model, {"num_steps": 6, "validate_every": 2, "batch_size": 200})

    def learner(checkpoint: Checkpoint, on_progress: OnProgress | None = None) -> Learner:
        return Trainer(
            data,
            few_steps,
            model=model,
            seed=4,
            device=torch.device("cpu"),
            checkpoint=checkpoint,
            on_progress=on_progress,
        ).fit()

    def stop(progress: Progress) -> None:
        if progress.phase == "select" and progress.share >= 0.5:
            raise Stop

    with pytest.raises(Stop):
        learner(Checkpoint(tmp_path / "c.pt", every_s=0), stop)
    resumed = learner(Checkpoint(tmp_path / "c.pt", every_s=0)).parameters
    uninterrupted = learner(Checkpoint(None)).parameters
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in resumed)


def test_a_checkpoint_of_another_training_is_ignored(tmp_path: Path) -> None:
    data = market(tmp_path)
    trained(data, seed=1, checkpoint=Checkpoint(tmp_path / "c.pt", fingerprint="other", every_s=0))
    fresh = trained(data, checkpoint=Checkpoint(tmp_path / "c.pt", fingerprint="f", every_s=0))
    assert same_bits(fresh, trained(data))


def test_without_anything_to_hold_out_it_takes_all_steps() -> None:
    result = trained(interactions([(0, 0), (1, 1)], num_users=10, num_products=5))
    assert result.metrics["num_steps"] == 40
    assert "candidates" not in result.metrics
    assert not result.selection
    assert np.isfinite(result.vectors.users.numpy()).all()


def test_a_tiny_market_trains(tmp_path: Path) -> None:
    result = trained(
        market(tmp_path, num_users=10, num_products=5, num_streamers=0, num_buys=20, num_follows=0)
    )
    lengths = result.vectors.products.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(5))


@pytest.mark.parametrize("share_left", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_checkpoint_that_is_cut_off_is_ignored_with_a_note(tmp_path: Path, share_left: float) -> None:
    data, path = market(tmp_path), tmp_path / "c.pt"
    trained(data, checkpoint=Checkpoint(path, fingerprint="f", every_s=0))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share_left)])
    seen: list[Progress] = []
    again = trained(data, checkpoint=Checkpoint(path, fingerprint="f", every_s=60), on_progress=seen.append)
    assert "The checkpoint cannot be read" in seen[0].message
    assert seen[0].is_news
    assert same_bits(again, trained(data))


def test_a_checkpoint_that_is_none_is_ignored_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    contents: list[Any] = [{}, [], {"fingerprint": "f"}, {"fingerprint": "f", "state": {"step": 3}}]
    for content in contents:
        torch.save(content, path)
        checkpoint = Checkpoint(path, fingerprint="f")
        assert checkpoint.load(torch.device("cpu")) == TrainingState()
        assert "training begins anew" in checkpoint.note
    path.write_bytes(b"not a checkpoint")
    checkpoint = Checkpoint(path, fingerprint="f")
    assert checkpoint.load(torch.device("cpu")) == TrainingState()
    assert "cannot be read" in checkpoint.note


def test_each_validation_is_told_with_its_figures(tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = trained(market(tmp_path), on_progress=seen.append)
    curve = result.metrics["validations"]
    assert [each["step"] for each in curve] == list(range(5, 5 * len(curve) + 1, 5))
    for each in curve:
        assert each.keys() >= {"loss", "ndcg@10", "auc", "step_ms", "peak_mb", "seconds"}
        assert 0 <= each["ndcg@10"] <= 1
        assert each["step_ms"] > 0
        assert 10 < each["peak_mb"] < 100_000
    assert curve[-1]["loss"] < curve[0]["loss"]
    news = [each for each in seen if each.is_news]
    assert [len(each.metrics["validations"]) for each in news] == [*range(1, len(curve) + 1), len(curve)]
    for told, figures in zip(news, curve, strict=False):
        assert f"step {figures['step']} of" in told.message
        assert f"ndcg@10 {figures['ndcg@10']:.4f}" in told.message
    assert all(each.metrics["validations"] == curve for each in seen if each.phase == "train")


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    state = TrainingState()
    for step in range(1, 1000):
        state.add_validation({"step": step})
        assert len(state.validations) <= MAX_VALIDATIONS
        assert state.validations[0]["step"] == 1
        assert state.validations[-1]["step"] == step
    steps = [each["step"] for each in state.validations]
    assert steps == sorted(set(steps))


def test_an_early_stop_says_why(tmp_path: Path) -> None:
    overfits = replace(SMALL, num_steps=1000, patience=2, learning_rate=0.2)
    seen: list[Progress] = []
    metrics = trained(market(tmp_path), overfits, on_progress=seen.append).metrics
    curve = metrics["validations"]
    best = max(curve, key=lambda each: each["ndcg@10"])
    assert metrics["num_steps"] == best["step"]
    assert curve[-1]["step"] == best["step"] + 2 * overfits.validate_every < 1000
    reason = f"no better validation in 2 checks since step {best['step']} (ndcg@10 {best['ndcg@10']:.4f})"
    assert metrics["stopped_because"] == reason
    assert reason in [each.message for each in seen]


def test_a_training_that_takes_all_steps_says_so(tmp_path: Path) -> None:
    metrics = trained(market(tmp_path), replace(SMALL, num_steps=10, patience=100)).metrics
    assert metrics["stopped_because"].startswith("all 10 steps taken, the best is step ")
    nothing_held_out = trained(interactions([(0, 0), (1, 1)], num_users=10, num_products=5)).metrics
    assert nothing_held_out["stopped_because"] == "no purchases to hold out, so all 40 steps are taken"
    assert nothing_held_out["validations"] == []


def test_a_loss_that_is_no_number_ends_the_training_by_its_step_and_tensors(tmp_path: Path) -> None:
    divides_by_nothing = replace(SMALL, temperature=3e-39)
    with pytest.raises(
        Untrainable, match=r"The loss is (nan|-?inf) at step 1, .*gradients of .*users"
    ) as raised:
        trained(market(tmp_path), divides_by_nothing)
    assert raised.value.remedy == "Lower learning_rate, now 0.02."


def test_a_parameter_that_is_no_number_ends_the_training_by_its_step_and_name(tmp_path: Path) -> None:
    too_far = replace(SMALL, bias_learning_rate=1e39, warmup_steps=0)
    with pytest.raises(Untrainable, match=r"The gradients of step 1, whose loss is \d.*: bias \(40 of 40\)"):
        trained(market(tmp_path), too_far)


@pytest.mark.parametrize(("predictor", "scoring"), [("mlp", "mlp"), ("inner_product", "inner_product")])
def test_what_a_paper_model_gives_says_how_it_scores(tmp_path: Path, predictor: str, scoring: str) -> None:
    data = market(tmp_path)
    few_steps = hyperparameters_of("het-gcn", {"num_steps": 2, "validate_every": 1, "predictor": predictor})
    trainer = Trainer(data, few_steps, model="het-gcn", seed=0, device=torch.device("cpu"))
    result = trainer.train()
    assert result.scorer.scoring == scoring
    users = torch.arange(3)
    scores = result.scorer.all_products(users)
    assert scores.shape == (3, data.num_products)
    if predictor == "mlp":
        assert not any(each.any() for each in result.vectors)
    else:
        torch.testing.assert_close(scores, result.vectors.users[users] @ result.vectors.products.T)
