"""What a claimed run reports, and how it learns that it must stop, on a real SQLite file."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from lsec.core.ledger import Base, Training, TrainingStatus, utc_now
from lsec.core.settings import Settings
from workers import ledger
from workers.run import Cancelled, LeaseLost, Run, Stalled


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = ledger.open_ledger(Settings(data_dir=tmp_path))
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add(
            Training(id="t1", status=TrainingStatus.QUEUED, request={"publish": True}, requested_by="k")
        )
    yield engine
    engine.dispose()


def claimed(engine: Engine, folder: Path, **how: float) -> Run:
    training = ledger.claim_training(engine, "t1")
    assert training is not None
    return Run(engine, training, folder, **how)  # type: ignore[arg-type]  # of numbers alone


def read(engine: Engine) -> Training:
    with Session(engine) as session:
        return session.get_one(Training, "t1")


def cancel(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.get_one(Training, "t1").cancel_requested_at = utc_now()


def test_a_run_that_makes_no_progress_is_stopped(engine: Engine, tmp_path: Path) -> None:
    run = claimed(engine, tmp_path, stall_s=1.5)

    def work() -> None:
        for number in range(300):
            # As long as it moves it goes on, whatever it reports after that.
            run.report("train", min(number, 20) / 100, eta_s=float(number))
            time.sleep(0.05)

    with run.lease(), pytest.raises(Stalled, match="no progress for 2 s at train"):
        work()


def test_a_cancel_is_told_in_time_though_a_step_does_not_come_out(engine: Engine, tmp_path: Path) -> None:
    run = claimed(engine, tmp_path)
    comes_out, broken_off = threading.Event(), threading.Event()
    run.break_off = broken_off.set

    def work() -> None:
        with run.lease():
            comes_out.wait()

    worker = threading.Thread(target=work)
    worker.start()
    cancel(engine)
    asked_at = time.monotonic()
    while read(engine).status == TrainingStatus.RUNNING and time.monotonic() - asked_at < 10:
        time.sleep(0.05)
    took_s = time.monotonic() - asked_at
    comes_out.set()
    worker.join()
    assert read(engine).status == TrainingStatus.CANCELLED
    assert took_s < 5
    assert broken_off.is_set()
    with pytest.raises(Cancelled):
        run.check()


def test_what_nothing_takes_back_is_not_done_by_who_has_lost_the_run(engine: Engine, tmp_path: Path) -> None:
    run = claimed(engine, tmp_path)
    run.confirm()
    with Session(engine) as session, session.begin():
        session.get_one(Training, "t1").heartbeat_at = utc_now() - 2 * ledger.LEASE
    assert ledger.claim_training(engine, "t1") is not None
    with pytest.raises(LeaseLost):
        run.confirm()


def test_the_time_left_is_that_of_the_whole_run(engine: Engine, tmp_path: Path) -> None:
    run = claimed(engine, tmp_path)
    run.expected_s = {"gate": 1.0, "publish": 30.0}
    with run.timed("train"):
        run.report("train", 0.5, eta_s=100.0)
        run._write()
        assert read(engine).eta_s == pytest.approx(131.0)
        # Without a run before it, by the shares of the bar: 12 of 100 after 78.
        run.expected_s = {}
        run.report("train", 0.5, eta_s=78.0)
        run._write()
        assert read(engine).eta_s == pytest.approx(90.0, abs=0.5)


def test_the_log_says_what_became_of_the_run(engine: Engine, tmp_path: Path) -> None:
    run = claimed(engine, tmp_path)
    with run.timed("export"):
        pass
    log = (tmp_path / "trainer.log").read_text()
    assert "export begins" in log
    assert "export has ended after" in log
