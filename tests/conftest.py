"""The real stack that tests run on: embedded by default, containers or given addresses by `LSEC_TEST_*`.

- `LSEC_TEST_STACK=testcontainers`: Neo4j, Valkey and Postgres images.
- `LSEC_TEST_NEO4J_URL` and `LSEC_TEST_LOG_URL` (with `LSEC_TEST_NEO4J_PASSWORD`, `LSEC_TEST_BROKER_URL`,
  `LSEC_TEST_SQL_URL` where needed): services that run already. Tests wipe them, so the graph must hold
  `(:TestDatabase)`, which says that it may be wiped.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import neo4j
import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import create_engine
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from lsec.core.ledger import Base, sync_url
from lsec.core.settings import Settings
from lsec.local import DATABASES, running_stack
from workers.graph import open_driver
from workers.migrate import migrate

# Neo4j starts in two thirds of the time with the quick compiler alone, and most of these live a minute.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

# A shell that runs the tests in the background ignores Ctrl-C for them, and for all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine with other work to do is no reason to fail.
hypothesis.settings.register_profile("lsec", deadline=None)
hypothesis.settings.load_profile("lsec")

GROUPS = {"faults": "faults", "contract": "stack", "e2e": "e2e", "integration": "stack"}
"""By folder. Tests of one group share their stacks, so they run in one process where several run tests."""
CHECKED = {"unit", "test_layout.py", "test_readme.py"}
"""Where the fast tests are."""
LONERS = {"integration/test_backup.py", "integration/test_local_stack.py"}
"""Tests that start stacks of their own."""


class ByStack(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each process a group of tests, and then any others one by one, the groups first."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.removeprefix("tests/").partition("::")[0]
        return nodeid if path in LONERS else GROUPS.get(path.partition("/")[0], nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByStack:
    """Tell pytest-xdist which tests belong together."""
    return ByStack(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make check` runs, so that a gate which has run it can leave it out of the rest."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        is_slow = any(item.get_closest_marker(name) for name in ("slow", "bench"))
        if folder in CHECKED and not is_slow:
            item.add_marker(pytest.mark.fast)


@pytest.fixture(scope="session")
def stack_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a migrated Neo4j, log and ledger that belong to this session alone."""
    data_dir = tmp_path_factory.mktemp("stack")
    with _services(data_dir) as settings:
        migrate(settings)
        yield settings


@pytest.fixture(scope="session")
def neo4j_driver(stack_settings: Settings) -> Iterator[neo4j.Driver]:
    """A driver for the session's graph."""
    with open_driver(stack_settings) as driver:
        yield driver


@pytest.fixture(scope="session")
def log_client(stack_settings: Settings) -> Iterator[redis.Redis]:
    """A client for the session's log; replies are bytes."""
    with redis.Redis.from_url(stack_settings.log_url.get_secret_value()) as client:
        yield client


@pytest.fixture
def clean_stack(stack_settings: Settings, neo4j_driver: neo4j.Driver, log_client: redis.Redis) -> None:
    """Empty the graph (but for its schema), the log, the ledger and the folder of snapshots."""
    shutil.rmtree(stack_settings.snapshots_path, ignore_errors=True)
    neo4j_driver.execute_query(
        "MATCH (n) WHERE NOT (n:__Neo4jMigration OR n:MigrationLock OR n:TestDatabase) DETACH DELETE n"
    )
    log_client.flushdb()
    engine = create_engine(sync_url(stack_settings.ledger_url))
    with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()


@contextmanager
def _services(data_dir: Path) -> Iterator[Settings]:
    if "LSEC_TEST_NEO4J_URL" in os.environ:
        yield _given_services(data_dir)
    elif os.environ.get("LSEC_TEST_STACK", "embedded") == "testcontainers":
        with _containers(data_dir) as settings:
            yield settings
    else:
        embedded = Settings(
            data_dir=data_dir,
            bolt_port=0,
            valkey_port=0,
            api_port=0,
            neo4j_heap_mb=512,
            neo4j_page_cache_mb=128,
        )
        with running_stack(embedded, services=DATABASES) as stack:
            yield stack.settings


def _given_services(data_dir: Path) -> Settings:
    """Settings of services that run already; refused without the mark of a test database."""
    given = {
        name: os.environ[f"LSEC_TEST_{name.upper()}"]
        for name in ("neo4j_url", "neo4j_user", "neo4j_password", "log_url", "broker_url", "sql_url")
        if f"LSEC_TEST_{name.upper()}" in os.environ
    }
    settings = Settings.model_validate({"data_dir": data_dir, **given})
    with open_driver(settings) as driver:
        records, _, _ = driver.execute_query("MATCH (t:TestDatabase) RETURN count(t) AS num")
        if not records[0]["num"]:
            pytest.exit(
                f"{settings.neo4j_url} holds no (:TestDatabase) node, so it is not wiped. "
                "If it may be, run `CREATE (:TestDatabase)` on it.",
                returncode=2,
            )
    return settings


@contextmanager
def _containers(data_dir: Path) -> Iterator[Settings]:
    # Only here: the default stack needs no Docker client.
    from testcontainers.neo4j import Neo4jContainer
    from testcontainers.postgres import PostgresContainer
    from testcontainers.redis import RedisContainer

    with (
        Neo4jContainer("neo4j:2026.09-community") as graph,
        RedisContainer("valkey/valkey:9.1") as log,
        PostgresContainer("postgres:18", driver=None) as sql,
    ):
        log_address = f"redis://{log.get_container_host_ip()}:{log.get_exposed_port(6379)}"
        yield Settings(
            data_dir=data_dir,
            neo4j_url=graph.get_connection_url(),
            neo4j_password=SecretStr(graph.password),
            log_url=SecretStr(f"{log_address}/0"),
            broker_url=SecretStr(f"{log_address}/1"),
            sql_url=SecretStr(sql.get_connection_url()),
        )
