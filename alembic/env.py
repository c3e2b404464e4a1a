"""Runs the ledger's migrations, on SQLite or Postgres, against the URL given or that of the settings."""

from alembic import context
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

import lsec.core.release_ledger  # noqa: F401 - it adds its tables to the models
from lsec.core.ledger import Base, sync_url
from lsec.core.settings import load_settings


def run_migrations() -> None:
    """Run them in one transaction, on one connection."""
    url = context.config.attributes.get("url") or sync_url(load_settings().ledger_url)
    engine = create_engine(url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        # The driver begins no transaction before a DDL statement: a kill would leave half a migration.
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            # SQLite cannot alter a column: alembic then copies the table.
            render_as_batch=connection.dialect.name == "sqlite",
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


if context.is_offline_mode():
    raise SystemExit("Migrations run on a database; writing them as SQL is not supported.")
run_migrations()
