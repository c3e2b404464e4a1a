"""Claims and ends of training runs, on a real SQLite file."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from lsec.core.ledger import Base, Training, TrainingStatus, utc_now
from lsec.core.settings import Settings
from workers import ledger

STALE = ledger.LEASE + timedelta(seconds=1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = ledger.open_ledger(Settings(data_dir=tmp_path))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def add(engine: Engine, training_id: str, status: TrainingStatus, *, age: timedelta = timedelta(0)) -> None:
    with Session(engine) as session, session.begin():
        session.add(
            Training(
                id=training_id,
                status=status,
                request={"model": "cosine-gcn"},
                requested_by="k",
                created_at=utc_now() - age,
                heartbeat_at=utc_now() - age,
            )
        )


def read(engine: Engine, training_id: str) -> Training:
    with Session(engine) as session:
        return session.get_one(Training, training_id)


def test_one_worker_gets_a_queued_run(engine: Engine) -> None:
    add(engine, "t1", TrainingStatus.QUEUED)
    first = ledger.claim_training(engine, "t1")
    assert first is not None
    assert first.status == TrainingStatus.RUNNING
    assert ledger.claim_training(engine, "t1") is None


def test_a_run_whose_worker_is_lost_can_be_claimed(engine: Engine) -> None:
    add(engine, "t1", TrainingStatus.RUNNING, age=STALE)
    assert ledger.claim_training(engine, "t1") is not None


@pytest.mark.parametrize("status", [s for s in TrainingStatus if s.is_final])
def test_a_final_run_is_never_claimed(engine: Engine, status: TrainingStatus) -> None:
    add(engine, "t1", status, age=STALE)
    assert ledger.claim_training(engine, "t1") is None


def held(engine: Engine, training_id: str) -> Training:
    add(engine, training_id, TrainingStatus.QUEUED)
    training = ledger.claim_training(engine, training_id)
    assert training is not None
    return training


def lose(engine: Engine, training_id: str) -> None:
    with Session(engine) as session, session.begin():
        session.get_one(Training, training_id).heartbeat_at = utc_now() - STALE


def test_a_heartbeat_tells_of_a_cancel(engine: Engine) -> None:
    training = held(engine, "t1")
    assert ledger.renew(engine, training, percent=10.0) == ledger.Hold.HELD
    assert read(engine, "t1").version == training.version + 1
    with Session(engine) as session, session.begin():
        session.get_one(Training, "t1").cancel_requested_at = utc_now()
    assert ledger.renew(engine, training) != ledger.Hold.HELD


def test_a_final_state_stays(engine: Engine) -> None:
    training = held(engine, "t1")
    ledger.end_training(engine, training, TrainingStatus.CANCELLED)
    ledger.end_training(engine, training, TrainingStatus.SUCCEEDED)
    assert read(engine, "t1").status == TrainingStatus.CANCELLED
    assert ledger.renew(engine, training) != ledger.Hold.HELD


def test_a_worker_that_comes_back_late_no_longer_holds_the_run(engine: Engine) -> None:
    first = held(engine, "t1")
    lose(engine, "t1")
    second = ledger.claim_training(engine, "t1")
    assert second is not None
    assert ledger.renew(engine, first) != ledger.Hold.HELD
    ledger.end_training(engine, first, TrainingStatus.FAILED)
    assert ledger.renew(engine, second) == ledger.Hold.HELD
    assert read(engine, "t1").status == TrainingStatus.RUNNING


def test_a_run_that_loses_its_worker_again_and_again_is_given_up(engine: Engine) -> None:
    held(engine, "t1")
    for _ in range(ledger.MAX_CLAIMS - 1):
        lose(engine, "t1")
        assert ledger.claim_training(engine, "t1") is not None
    lose(engine, "t1")
    assert ledger.claim_training(engine, "t1") is None
    assert read(engine, "t1").status == TrainingStatus.FAILED
    assert "Given up" in str(read(engine, "t1").error)


def test_lost_runs_are_found(engine: Engine) -> None:
    add(engine, "lost", TrainingStatus.RUNNING, age=STALE)
    add(engine, "waiting", TrainingStatus.QUEUED, age=STALE)
    add(engine, "live", TrainingStatus.RUNNING)
    add(engine, "new", TrainingStatus.QUEUED)
    add(engine, "done", TrainingStatus.SUCCEEDED, age=STALE)
    assert set(ledger.lost_trainings(engine)) == {"lost", "waiting"}
    assert set(ledger.lost_trainings(engine, at_start=True)) == {"lost", "waiting", "new"}


def test_an_interrupted_run_goes_back_to_the_queue_as_if_new(engine: Engine) -> None:
    ledger.requeue_training(engine, held(engine, "t1"), message="interrupted", orderly=True)
    assert read(engine, "t1").status == TrainingStatus.QUEUED
    assert read(engine, "t1").num_claims == 0
    assert ledger.claim_training(engine, "t1") is not None


def scoped(engine: Engine, training_id: str, scope_key: str) -> None:
    add(engine, training_id, TrainingStatus.QUEUED)
    with Session(engine) as session, session.begin():
        session.get_one(Training, training_id).scope_key = scope_key


def test_one_run_of_a_scope_runs_at_a_time(engine: Engine) -> None:
    for training_id, scope_key in (("t1", "a"), ("t2", "a"), ("other", "b")):
        scoped(engine, training_id, scope_key)
    first = ledger.claim_training(engine, "t1")
    assert first is not None
    assert ledger.claim_training(engine, "t2") is None
    assert ledger.claim_training(engine, "other") is not None
    assert ledger.queued_in_scope(engine, "t1") == {"t2": "trainings"}
    ledger.end_training(engine, first, TrainingStatus.SUCCEEDED)
    assert ledger.claim_training(engine, "t2") is not None


def test_a_lost_run_of_a_scope_comes_before_those_that_wait(engine: Engine) -> None:
    scoped(engine, "t1", "a")
    scoped(engine, "t2", "a")
    assert ledger.claim_training(engine, "t1") is not None
    lose(engine, "t1")
    assert ledger.claim_training(engine, "t2") is None
    assert ledger.claim_training(engine, "t1") is not None


def test_a_worker_that_starts_anew_gives_back_what_it_held(engine: Engine) -> None:
    add(engine, "mine", TrainingStatus.QUEUED)
    add(engine, "another's", TrainingStatus.QUEUED)
    first = ledger.claim_training(engine, "mine", worker="worker@here")
    assert first is not None
    assert ledger.claim_training(engine, "another's", worker="worker@there") is not None
    assert ledger.give_back(engine, "worker@here") == ["mine"]
    assert ledger.renew(engine, first) == ledger.Hold.LOST
    assert read(engine, "mine").num_claims == 1
    assert read(engine, "another's").status == TrainingStatus.RUNNING
    assert ledger.give_back(engine, "") == []


def test_a_cancel_of_a_run_that_nobody_holds_is_carried_out(engine: Engine) -> None:
    for training_id in ("lost", "held"):
        held(engine, training_id)
        with Session(engine) as session, session.begin():
            session.get_one(Training, training_id).cancel_requested_at = utc_now()
    lose(engine, "lost")
    assert ledger.end_cancelled(engine) == ["lost"]
    assert read(engine, "lost").status == TrainingStatus.CANCELLED
    assert read(engine, "held").status == TrainingStatus.RUNNING


def test_a_run_that_is_given_up_says_how_it_went_the_last_time(engine: Engine) -> None:
    add(engine, "t1", TrainingStatus.QUEUED)
    for _ in range(ledger.MAX_CLAIMS):
        training = ledger.claim_training(engine, "t1")
        assert training is not None
        ledger.requeue_training(engine, training, message="no progress for 9 s", orderly=False)
    assert ledger.claim_training(engine, "t1") is None
    assert "no progress for 9 s" in str(read(engine, "t1").error)
