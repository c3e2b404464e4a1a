"""The same training on a GPU, where there is one."""

from pathlib import Path

import pytest
import torch

from lsec.core.artifact import open_artifact
from lsec.core.errors import Untrainable
from lsec.core.jobs import DEFAULT_MODEL, MODEL_NAMES
from tests.unit.training.markets import market
from tests.unit.training.test_run import run_folder, train
from workers.training.checkpoint import Checkpoint
from workers.training.data import Interactions
from workers.training.hyperparameters import Hyperparameters
from workers.training.learners import make_learner
from workers.training.model_hyperparameters import hyperparameters_of
from workers.training.optimisation import Optimisation
from workers.training.run import run
from workers.training.trainer import Trainer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SETTING = Hyperparameters.from_mapping(
    {"dimensions": 16, "num_softmax_users": 60, "num_softmax_products": 50}
)


def learner(data: Interactions, device: torch.device) -> Optimisation:
    return Optimisation(data, SETTING, seed=5, device=device, precision=torch.float32)


def on(device: torch.device, parameters: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: each.to(device) for name, each in parameters.items()}


def test_steps_from_one_start_are_those_of_the_cpu(tmp_path: Path) -> None:
    data = market(tmp_path)
    ours, theirs = learner(data, GPU), learner(data, CPU)
    ours.restore(on(GPU, theirs.parameters))  # singular vectors may have other signs
    for step in range(10):
        assert ours.step(step) == pytest.approx(theirs.step(step), rel=1e-4)
    for name, each in theirs.parameters.items():
        torch.testing.assert_close(ours.parameters[name].cpu(), each, rtol=1e-2, atol=1e-3)
    for got, expected in zip(ours.vectors(), theirs.vectors(), strict=True):
        torch.testing.assert_close(got.cpu(), expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_every_model_takes_steps(model: str, tmp_path: Path) -> None:
    learned = make_learner(model, market(tmp_path), hyperparameters_of(model, {}), seed=0, device=GPU)
    losses = [learned.step(step) for step in range(10)]
    assert min(losses[5:]) < losses[0]


def test_a_run_leaves_an_artifact_and_tells_the_gpus_memory(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", device="cuda")
    code, lines = train(folder)
    assert code == 0
    assert "training on cuda" in lines[0]["message"]
    assert lines[-1]["metrics"]["validations"][-1]["peak_gpu_mb"] > 0
    artifact = open_artifact(folder / "artifact", verify=True)
    assert (artifact.slates >= 0).any()


def test_a_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    path, data = tmp_path / "checkpoint.pt", market(tmp_path)

    def trainer() -> Trainer:
        kept = Checkpoint(path, fingerprint="one", every_s=0)
        return Trainer(data, SETTING, model=DEFAULT_MODEL, seed=0, device=GPU, checkpoint=kept)

    first = trainer()
    first.select()
    first.fit()
    again = trainer()
    assert again.metrics["validations"] == first.metrics["validations"]
    assert again.fit().scorer().device.type == "cuda"


def test_too_little_memory_is_said_with_a_remedy(tmp_path: Path) -> None:
    large = {"dimensions": 4096, "num_steps": 10}
    sizes = {"num_users": 3000, "num_products": 2000, "num_buys": 20_000}
    folder = run_folder(tmp_path / "run", device="cuda", hyperparameters=large, **sizes)
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(100e6 / total)
    try:
        with pytest.raises(Untrainable, match="does not fit the GPU's memory"):
            run(folder)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
