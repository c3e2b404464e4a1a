"""The ledger's async sessions: SQLite in WAL mode, or Postgres."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from lsec.core.ledger import AuditRecord, async_url
from lsec.core.settings import Settings

BUSY_TIMEOUT_MS = 10_000
_WRITES = "lsec_writes"


class Ledger:
    """Sessions on the ledger; each is one transaction that commits when its block ends well."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that only reads."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session that may write: SQLite's lock is taken at once, so no reader turns writer too late."""
        async with AsyncSession(self._writer, expire_on_commit=False) as session, session.begin():
            yield session


def audit(key_id: str, action: str, target: str, detail: dict[str, Any]) -> AuditRecord:
    """The record of an admin's change."""
    return AuditRecord(key_id=key_id, action=action, target=target, detail=detail)


@contextlib.asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """The ledger of the settings; its connections close with the block."""
    url = async_url(settings.ledger_url)
    engine = create_async_engine(
        url,
        pool_pre_ping=not url.startswith("sqlite"),
        pool_timeout=10,
        # Parameters are ids of people, and errors are logged.
        hide_parameters=True,
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    try:
        yield Ledger(engine)
    finally:
        await engine.dispose()


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # The driver begins no transactions of its own: `_begin_sqlite` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode=WAL")
    # What is deleted is overwritten, so that the file forgets whom it should.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
