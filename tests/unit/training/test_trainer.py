"""Training learns, repeats itself bit by bit, and resumes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training.markets import interactions, market
from workers.training.checkpoint import Checkpoint
from workers.training.data import Interactions
from workers.training.hyperparameters import Hyperparameters
from workers.training.progress import OnProgress, Progress
from workers.training.trainer import Trained, Trainer

SMALL = Hyperparameters.from_mapping({"dimensions": 16, "num_steps": 40, "validate_every": 5})


def trained(
    data: Interactions,
    *,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    on_progress: OnProgress | None = None,
) -> Trained:
    device = torch.device("cpu")
    return Trainer(
        data, SMALL, seed=seed, device=device, checkpoint=checkpoint, on_progress=on_progress
    ).train()


def same_bits(first: Trained, second: Trained) -> bool:
    pairs = zip([*first.vectors, first.bias], [*second.vectors, second.bias], strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_it_finds_the_two_tastes_of_the_market(tmp_path: Path) -> None:
    figures = trained(market(tmp_path, num_users=200, num_products=100, num_buys=2000)).metrics
    assert figures["candidates"]["auc"] > figures["popularity"]["candidates"]["auc"] + 0.05
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
    assert same_bits(resumed, trained(data))


def test_a_checkpoint_of_another_training_is_ignored(tmp_path: Path) -> None:
    data = market(tmp_path)
    trained(data, seed=1, checkpoint=Checkpoint(tmp_path / "c.pt", fingerprint="other", every_s=0))
    fresh = trained(data, checkpoint=Checkpoint(tmp_path / "c.pt", fingerprint="f", every_s=0))
    assert same_bits(fresh, trained(data))


def test_without_anything_to_hold_out_it_takes_all_steps() -> None:
    result = trained(interactions([(0, 0), (1, 1)], num_users=10, num_products=5))
    assert result.metrics["num_steps"] == 40
    assert "candidates" not in result.metrics
    assert np.isfinite(result.vectors.users.numpy()).all()


def test_a_tiny_market_trains(tmp_path: Path) -> None:
    result = trained(
        market(tmp_path, num_users=10, num_products=5, num_streamers=0, num_buys=20, num_follows=0)
    )
    lengths = result.vectors.products.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(5))
