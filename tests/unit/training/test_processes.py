"""Two processes train the same model as one, each with its share of the users."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn

from lsec.core.artifact import open_artifact
from lsec.core.errors import Untrainable
from lsec.core.half_precision import to_single
from lsec.core.jobs import DEFAULT_MODEL
from tests.unit.training.markets import interactions, market
from tests.unit.training.test_run import environment, run_folder
from workers.training import processes
from workers.training.checkpoint import Checkpoint
from workers.training.data import Interactions, read_snapshot
from workers.training.hyperparameters import Hyperparameters
from workers.training.job import read_job
from workers.training.optimisation import Optimisation
from workers.training.processes import Shares
from workers.training.progress import Progress
from workers.training.run import fingerprint, require_shareable
from workers.training.trainer import Trainer

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
NUM_PROCESSES = 2
NUM_STEPS = 10
SETTING = Hyperparameters.from_mapping(
    {"dimensions": 16, "num_steps": 20, "num_softmax_users": 60, "num_softmax_products": 50}
)
ONE_BUYER = interactions([(0, 0), (0, 1)], num_users=1, num_products=3)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one process sees of a learner: before the first step, of every step, and after the last."""

    start: dict[str, Tensor]
    losses: list[float]
    parameters: dict[str, Tensor]
    optimizer: dict[str, Any]
    vectors: list[Tensor]
    num_held: int


def learner(data: Interactions, setting: Hyperparameters = SETTING) -> Optimisation:
    return Optimisation(data, setting, seed=5, device=CPU, precision=torch.float32)


def seen(trained: Optimisation, steps: range) -> Seen:
    start = {name: each.clone() for name, each in trained.parameters.items()}
    losses = [trained.step(step) for step in steps]
    num_held = len(trained.held_parameters["users"])
    vectors = list(trained.vectors())
    return Seen(start, losses, trained.parameters, trained.optimizer_state, vectors, num_held)


def one_of_two(number: int, folder: Path) -> None:
    """Runs in each of two processes, and leaves what it saw in the folder."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=NUM_PROCESSES
    )
    data = read_snapshot(folder / "snapshot")
    whole = seen(learner(data), range(NUM_STEPS))
    resumed = learner(data)
    resumed.restore(*torch.load(folder / "kept.pt"))
    part = torch.tensor([number + 1.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(((number + 1) * processes.total(part)).sum(), part)
    result = {
        "whole": whole,
        "resumed": seen(resumed, range(3, NUM_STEPS)),
        "all_drawn": seen(learner(data, replace(SETTING, num_softmax_users=10**6)), range(2)),
        "one_buyer": seen(learner(ONE_BUYER), range(2)),
        "gradient": gradient,
        "from_first": processes.from_first({"said": number}),
        "num_own_pairs": len(Shares.of_users(data).of_data(data).buys),
    }
    torch.save(result, folder / f"{number}.pt")
    with pytest.raises(Untrainable, match="het-gcn is trained in one process, not 2"):
        require_shareable("het-gcn")
    require_shareable(DEFAULT_MODEL)
    distributed.destroy_process_group()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in each of the two processes, which leave no core to more."""
    num = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Interactions]:
    folder = tmp_path_factory.mktemp("two")
    sizes = {"num_users": 203, "num_products": 80, "num_buys": 1500, "num_follows": 300}
    return folder, market(folder, **sizes)


@pytest.fixture(scope="module")
def both(data: tuple[Path, Interactions]) -> list[dict[str, Any]]:
    folder, all_data = data
    kept = learner(all_data)
    for step in range(3):
        kept.step(step)
    torch.save((kept.parameters, kept.optimizer_state), folder / "kept.pt")
    spawn(one_of_two, (folder,), nprocs=NUM_PROCESSES)  # type: ignore[no-untyped-call]  # torch leaves it so
    return [torch.load(folder / f"{number}.pt", weights_only=False) for number in range(NUM_PROCESSES)]


@pytest.fixture(scope="module")
def alone(data: tuple[Path, Interactions]) -> Seen:
    return seen(learner(data[1]), range(NUM_STEPS))


def assert_same(ours: Seen, expected: Seen) -> None:
    """Within the rounding of float32 over some steps."""
    torch.testing.assert_close(ours.losses, expected.losses, rtol=1e-5, atol=0)
    torch.testing.assert_close(ours.start, expected.start, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(dict(ours.parameters), dict(expected.parameters), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.optimizer, expected.optimizer, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(ours.vectors, expected.vectors, rtol=1e-3, atol=1e-4)


def test_two_processes_take_the_steps_of_one(both: list[dict[str, Any]], alone: Seen) -> None:
    assert alone.losses[-1] < alone.losses[0]
    for each in both:
        assert_same(each["whole"], alone)


def test_a_state_that_one_process_kept_goes_on_in_two(both: list[dict[str, Any]], alone: Seen) -> None:
    for each in both:
        torch.testing.assert_close(each["resumed"].losses, alone.losses[3:], rtol=1e-5, atol=0)
        torch.testing.assert_close(each["resumed"].vectors, alone.vectors, rtol=1e-3, atol=1e-4)


def test_the_loss_over_all_users_is_the_same_too(
    data: tuple[Path, Interactions], both: list[dict[str, Any]]
) -> None:
    expected = seen(learner(data[1], replace(SETTING, num_softmax_users=10**6)), range(2))
    for each in both:
        assert_same(each["all_drawn"], expected)


def test_a_process_without_users_does_no_harm(both: list[dict[str, Any]]) -> None:
    assert sorted(each["one_buyer"].num_held for each in both) == [0, 1]
    for each in both:
        assert_same(each["one_buyer"], seen(learner(ONE_BUYER), range(2)))


def test_both_processes_see_the_same_bits(both: list[dict[str, Any]]) -> None:
    first, second = (each["whole"] for each in both)
    assert first.losses == second.losses
    assert all(torch.equal(first.parameters[name], second.parameters[name]) for name in first.parameters)
    assert all(torch.equal(*vectors) for vectors in zip(first.vectors, second.vectors, strict=True))


def test_each_process_holds_about_half(data: tuple[Path, Interactions], both: list[dict[str, Any]]) -> None:
    _, all_data = data
    for held, whole in (
        ([each["whole"].num_held for each in both], all_data.num_users),
        ([each["num_own_pairs"] for each in both], len(all_data.buys)),
    ):
        assert sum(held) == whole
        assert max(held) < 0.55 * whole


def test_a_total_hands_every_part_the_gradients_of_all(both: list[dict[str, Any]]) -> None:
    # The parts of the loss are 1 and 2 times the total.
    assert [each["gradient"].tolist() for each in both] == [[3.0], [3.0]]


def test_the_first_process_decides_for_all(both: list[dict[str, Any]]) -> None:
    assert [each["from_first"] for each in both] == [{"said": 0}] * NUM_PROCESSES


def test_a_single_process_gets_back_what_it_gives(data: tuple[Path, Interactions]) -> None:
    _, all_data = data
    shares, rows = Shares.of_users(all_data), torch.arange(all_data.num_users)
    assert shares.of_data(all_data) is all_data
    assert processes.total(rows) is rows
    assert shares.part(rows) is shares.whole(rows) is shares.among_own(rows) is rows
    assert Shares.of_length(all_data.num_users) == shares


def torchrun(folder: Path) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(NUM_PROCESSES)]
    process = subprocess.run(
        [*command, "--standalone", "-m", "workers.training", str(folder)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=120,
    )
    return process.returncode, [json.loads(line) for line in process.stdout.splitlines()]


class Stop(Exception):
    """Ends a training in its middle, as a kill would."""


def test_a_run_of_one_process_goes_on_under_torchrun_to_the_same_artifact(tmp_path: Path) -> None:
    # A single look at the validation lists: the number of steps does not hang on rounding.
    steps = {"dimensions": 16, "num_steps": NUM_STEPS, "validate_every": NUM_STEPS}
    folder = run_folder(tmp_path / "run", hyperparameters=steps, num_users=203, num_buys=1500)
    job, data = read_job(folder / "job.json"), read_snapshot(folder / "snapshot")
    assert isinstance(job.hyperparameters, Hyperparameters)

    def stop(progress: Progress) -> None:
        if progress.share >= 0.5:
            raise Stop

    mark = fingerprint(job, folder / "snapshot", CPU)
    checkpoint = Checkpoint(folder / "checkpoint.pt", fingerprint=mark, every_s=0)
    with pytest.raises(Stop):
        Trainer(
            data, job.hyperparameters, seed=job.seed, device=CPU, on_progress=stop, checkpoint=checkpoint
        ).train()
    code, lines = torchrun(folder)
    assert code == 0
    # At the stop the checkpoint of step 4 was the last; each line is there once.
    assert lines[0]["message"].endswith("cpu in 2 processes")
    assert lines[1]["message"].startswith("step 5 of at most 10")
    assert [line["phase"] for line in lines].count("load") == 1
    assert lines[-1]["message"] == "artifact written"
    artifact = open_artifact(folder / "artifact", verify=True)
    expected = Trainer(data, job.hyperparameters, seed=job.seed, device=CPU).train()
    # Matrix units take the softmax in bfloat16, whose sums depend on who is in them.
    for ours, theirs in (
        (artifact.user_vectors, expected.vectors.users),
        (artifact.product_vectors, expected.vectors.products),
    ):
        assert (to_single(ours) * theirs.numpy()).sum(axis=1).min() > 0.998
    np.testing.assert_allclose(artifact.product_bias, expected.bias.numpy(), atol=0.02)
