"""Whatever is killed while a training runs, it ends, once and with the same result; a cancel ends it soon."""

import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from lsec.core.ledger import ReleaseRecord, Training
from lsec.local.processes import log_tail
from tests.faults.faulty_stack import wait_until
from tests.faults.training_stack import ENDLESS, VISIBILITY_S, TrainingStack, training_stack
from workers import ledger
from workers.graph import open_driver
from workers.publish import active_release
from workers.run import BEAT_S

pytestmark = [pytest.mark.slow, pytest.mark.long]

CANCEL_WITHIN_S = 5.0
TAKES_UP = "takes up the run"
NOTHING_TO_DO = ": nothing to do"
VICTIMS = ("worker", "trainer", "valkey", "neo4j", "api")
FIRST = [
    ("worker", "train"),
    ("trainer", "train"),
    ("valkey", "publish"),
    ("neo4j", "export"),
    ("api", "train"),
    ("worker", "publish"),
]
"""What is killed in which phase when few are; then come the others, in a random order."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingStack]:
    with training_stack(tmp_path_factory.mktemp("trainings")) as stack:
        yield stack


@pytest.fixture(autouse=True)
def _nothing_is_left(stack: TrainingStack) -> Iterator[None]:
    yield
    for worker in stack.workers.values():
        # Shown if the test fails.
        print(f"{worker.name}:\n{log_tail(worker.log, num_lines=40)}")
    stack.stop_workers()
    for training_id in unfinished(stack):
        stack.call("POST", f"/v1/trainings/{training_id}/cancel")


def planned(num_kills: int, draw: random.Random) -> list[tuple[str, str]]:
    others = [
        pair
        for pair in itertools.product(VICTIMS, ("export", "train", "publish"))
        if pair not in FIRST and pair[0] != "trainer"
    ]
    draw.shuffle(others)
    return list(itertools.islice(itertools.cycle(FIRST + others), num_kills))


def kill(stack: TrainingStack, victim: str, training_id: str) -> bool:
    """Kill it with -9 and see that it comes back; False if there is none to kill any more."""
    if victim == "worker":
        stack.workers["first"].kill()
        stack.start("first")
    elif victim == "trainer":
        trainer = stack.trainer(training_id)
        if trainer is None:
            return False
        trainer.kill()
    else:
        stack.faulty.restarted(victim, stack.faulty.signal(victim))
    return True


def test_a_run_ends_with_the_same_result_whatever_is_killed_meanwhile(stack: TrainingStack) -> None:
    num_kills = int(os.environ.get("LSEC_KILLS", "6"))
    draw = random.Random(num_kills)
    stack.start("first")
    quiet = stack.await_end(stack.ask())
    assert quiet["status"] == "succeeded", quiet["error"]
    killed: Counter[str] = Counter()
    for victim, phase in planned(num_kills, draw):
        training_id = stack.ask()
        stack.await_phase(training_id, phase, "done")
        time.sleep(draw.uniform(0, 1.0 if phase == "train" else 0.1))
        if phase == "train" and victim == "trainer":
            await_trainer(stack, training_id)
        began = time.monotonic()
        at = stack.run(training_id)
        if kill(stack, victim, training_id):
            killed[victim] += 1
        run = stack.await_end(training_id)
        took_s = time.monotonic() - began
        print(f"{victim} at {at['phase']} {at['percent']} %: {run['status']} {took_s:.1f} s later")
        assert run["status"] == "succeeded", run["error"]
        assert run["metrics"]["candidates"] == quiet["metrics"]["candidates"]
        assert num_releases(stack, training_id) == 1
        with open_driver(stack.settings) as driver:
            assert active_release(driver) == run["release_id"]
    print(f"{sum(killed.values())} kills with -9: {dict(killed)}")
    assert killed.total() == num_kills
    assert not unfinished(stack)


def await_trainer(stack: TrainingStack, training_id: str) -> psutil.Process:
    """The process that trains the run, once there is one."""
    wait_until(lambda: stack.trainer(training_id) is not None, timeout_s=120)
    trainer = stack.trainer(training_id)
    assert trainer is not None
    return trainer


def num_releases(stack: TrainingStack, training_id: str) -> int:
    engine = ledger.open_ledger(stack.settings)
    with Session(engine) as session:
        found = session.scalars(
            select(ReleaseRecord.id).where(ReleaseRecord.training_id == training_id)
        ).all()
    engine.dispose()
    assert all((stack.settings.artifacts_path / release_id).is_dir() for release_id in found)
    return len(found)


def unfinished(stack: TrainingStack) -> list[str]:
    engine = ledger.open_ledger(stack.settings)
    with Session(engine) as session:
        found = list(session.scalars(select(Training.id).where(Training.finished_at.is_(None))))
    engine.dispose()
    return found


def num_claims(stack: TrainingStack, training_id: str) -> int:
    return stack.log_of_run(training_id).count(TAKES_UP)


def test_a_job_that_is_delivered_again_and_again_runs_once(stack: TrainingStack) -> None:
    workers = [stack.start("first"), stack.start("second")]
    training_id = stack.ask(hyperparameters=ENDLESS)
    stack.await_phase(training_id, "train")
    before = [worker.says(NOTHING_TO_DO) for worker in workers]
    stack.send_again(training_id, 3)
    # Beside these, the broker hands the job out once more when its visibility timeout is over.
    time.sleep(3 * VISIBILITY_S)
    after = [worker.says(NOTHING_TO_DO) for worker in workers]
    assert sum(after) - sum(before) >= 3
    assert stack.run(training_id)["status"] == "running"
    assert num_claims(stack, training_id) == 1
    assert stack.cancel(training_id) < CANCEL_WITHIN_S


def test_another_worker_goes_on_with_the_run_of_one_that_was_killed(stack: TrainingStack) -> None:
    first = stack.start("first")
    training_id = stack.ask(hyperparameters=ENDLESS)
    run = stack.await_phase(training_id, "train")
    assert run["worker"].startswith("first@")
    wait_until(lambda: len(stack.run(training_id)["metrics"].get("validations", [])) > 1, timeout_s=120)
    trainer = stack.trainer(training_id)
    assert trainer is not None
    second = stack.start("second")
    killed_at = time.monotonic()
    first.kill()
    trainer.wait(timeout=5)
    wait_until(lambda: stack.run(training_id)["worker"].startswith("second@"), timeout_s=120)
    print(f"taken over {time.monotonic() - killed_at:.0f} s after the kill")
    steps_before = run_steps(stack, training_id)
    wait_until(lambda: run_steps(stack, training_id) > steps_before, timeout_s=180)
    # The message itself came back, too, before the lease was over.
    assert second.says(NOTHING_TO_DO) >= 1
    assert num_claims(stack, training_id) == 2
    assert stack.cancel(training_id) < CANCEL_WITHIN_S


def run_steps(stack: TrainingStack, training_id: str) -> int:
    """The last step of the run's curve, which a run that goes on does not begin anew."""
    curve = stack.run(training_id)["metrics"]["validations"]
    return int(curve[-1]["step"])


def test_a_worker_that_was_frozen_past_its_lease_does_nothing_more(stack: TrainingStack) -> None:
    first = stack.start("first")
    training_id = stack.ask(hyperparameters=ENDLESS)
    stack.await_phase(training_id, "train")
    trainer = await_trainer(stack, training_id)
    stack.start("second")
    first.process.send_signal(signal.SIGSTOP)
    try:
        # It hears no more that the run is held. Nobody buries it while its parent stands still.
        wait_until(lambda: trainer.status() == psutil.STATUS_ZOMBIE, timeout_s=60)
        wait_until(lambda: stack.run(training_id)["worker"].startswith("second@"), timeout_s=120)
    finally:
        first.process.send_signal(signal.SIGCONT)
    time.sleep(3 * BEAT_S)
    run = stack.run(training_id)
    assert (run["status"], run["worker"].partition("@")[0]) == ("running", "second")
    assert stack.cancel(training_id) < CANCEL_WITHIN_S


def test_a_cancel_ends_the_run_in_time_in_each_phase(stack: TrainingStack) -> None:
    queued = stack.ask()
    assert stack.cancel(queued) < CANCEL_WITHIN_S
    first = stack.start("first")
    exporting = stack.ask(min_purchases=2)
    # A frozen Neo4j answers nothing, and cannot be told to end a query either.
    neo4j = stack.faulty.child("neo4j").popen
    stack.await_phase(exporting, "export")
    neo4j.send_signal(signal.SIGSTOP)
    try:
        assert stack.run(exporting)["phase"] == "export"
        assert stack.cancel(exporting) < CANCEL_WITHIN_S
    finally:
        neo4j.send_signal(signal.SIGCONT)
    publishing = stack.ask(min_purchases=3)
    with open_driver(stack.settings) as driver, driver.session() as session:
        stack.await_phase(publishing, "train")
        with session.begin_transaction() as lock:
            # What the publication writes first waits for this. What waited in its commit could not be ended.
            job = json.loads((stack.settings.runs_path / publishing / "job.json").read_text())
            lock.run("MERGE (:Release {id: $id})", id=job["release_id"]).consume()
            stack.await_phase(publishing, "publish")
            assert stack.cancel(publishing) < CANCEL_WITHIN_S
            done = f"training {publishing}: cancelled"
            wait_until(lambda: first.says(done) > 0, timeout_s=90)
            lock.rollback()


def test_a_run_without_progress_is_given_up_with_the_reason(stack: TrainingStack) -> None:
    stack.faulty.stack.supervisor.environment["LSEC_TRAINING_STALL_S"] = "3"
    try:
        stack.start("first")
    finally:
        del stack.faulty.stack.supervisor.environment["LSEC_TRAINING_STALL_S"]
    training_id = stack.ask(hyperparameters=ENDLESS)
    for _ in range(ledger.MAX_CLAIMS):
        trainer = await_trainer(stack, training_id)
        trainer.send_signal(signal.SIGSTOP)
        trainer.wait(timeout=30)
    run = stack.await_end(training_id, timeout_s=120)
    assert run["status"] == "failed"
    assert "no progress for 3 s at train" in run["error"]


def test_each_queue_has_a_worker_of_its_own(stack: TrainingStack) -> None:
    stack.start("first", queues="trainings")
    stack.start("gpu", queues="trainings-gpu")
    on_cpu = stack.ask(device="cpu", publish=False, override_gate=None)
    on_gpu = stack.ask(device="cuda", publish=False, override_gate=None, min_purchases=2)
    runs = {name: stack.await_end(id_) for name, id_ in (("cpu", on_cpu), ("gpu", on_gpu))}
    where = {name: (run["queue"], run["worker"].partition("@")[0]) for name, run in runs.items()}
    assert where == {"cpu": ("trainings", "first"), "gpu": ("trainings-gpu", "gpu")}
    assert runs["cpu"]["status"] == "succeeded"
    # Whether there is a GPU for it or not, it was the GPU's worker that tried.
    assert runs["gpu"]["status"] == "succeeded" or "torch sees no device" in runs["gpu"]["error"]
    assert "gpu@" in stack.log_of_run(on_gpu)
