"""Migrate the ledger and the graph to this version: `python -m workers.migrate`."""

import sys
from collections.abc import Callable
from pathlib import Path

import alembic.command
import alembic.config
import neo4j
from neo4j_python_migrations.executor import Executor

from graph_schema.queries import QUERIES_DIR
from lsec.core.errors import LsecError
from lsec.core.ledger import sync_url
from lsec.core.settings import Settings, load_settings
from workers.graph import open_driver

ROOT = Path(__file__).parent.parent
MIGRATIONS_DIR = QUERIES_DIR.parent / "migrations"


def migrate(settings: Settings, *, report: Callable[[str], None] = lambda _: None) -> None:
    """Bring the ledger and the graph to this version's schema; again changes nothing.

    LsecError if an applied graph migration was edited or is unknown here.
    """
    migrate_ledger(settings)
    report("ledger is at its newest revision")
    with open_driver(settings) as driver:
        for name in migrate_graph(driver):
            report(f"applied {name}")


def migrate_ledger(settings: Settings) -> None:
    """Upgrade the SQL schema with alembic."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    config = alembic.config.Config(str(ROOT / "alembic.ini"))
    config.attributes["url"] = sync_url(settings.ledger_url)
    alembic.command.upgrade(config, "head")


def migrate_graph(driver: neo4j.Driver) -> list[str]:
    """Apply pending graph migrations; the names of those applied.

    Another migration that runs at the same time waits: the lock is a node that an open
    transaction holds, so it goes with a process that dies.
    """
    applied: list[str] = []
    with driver.session() as session, session.begin_transaction() as lock:
        lock.run("MERGE (l:MigrationLock {name: 'schema'}) SET l.held_at = datetime()").consume()
        executor = Executor(driver, MIGRATIONS_DIR)
        invalid = executor.analyze().invalid_versions
        if invalid:
            listed = ", ".join(f"V{v.version} ({v.status.name.lower()})" for v in invalid)
            raise LsecError(
                f"The graph's migrations do not match those of this version: {listed}.",
                remedy="Run the version that made this graph, or restore the migration files: "
                "an applied migration is never edited.",
            )
        executor.migrate(lambda migration: applied.append(str(migration.source)))
        lock.commit()
    driver.execute_query("CALL db.awaitIndexes(300)")
    return applied


def main() -> int:
    """Entry point: migrate by the settings in the environment."""
    try:
        migrate(load_settings(), report=lambda line: print(line, flush=True))  # noqa: T201 - this is a command
    except LsecError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
