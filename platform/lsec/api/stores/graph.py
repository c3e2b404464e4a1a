"""Queries on the graph, by name: typed parameters, a timeout, read access mode but for a few small writes."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import neo4j
from neo4j.exceptions import ServiceUnavailable, SessionExpired

from graph_schema.queries import load_query
from lsec.core.settings import Settings

SERVING_TIMEOUT_S = 2.0
ANALYSIS_TIMEOUT_S = 30.0
LATE_S = 1.0
"""An answer may be so much later than the time that the server has for it."""


def open_graph(settings: Settings) -> neo4j.AsyncDriver:
    """A driver for the platform's graph; it connects when first used."""
    return driver_at(settings.neo4j_url, settings)


def driver_at(url: str, settings: Settings) -> neo4j.AsyncDriver:
    """A driver with the platform's login for an address of its Neo4j."""
    password = settings.neo4j_password.get_secret_value()
    return neo4j.AsyncGraphDatabase.driver(
        url,
        auth=(settings.neo4j_user, password) if password else None,
        connection_timeout=3.0,
        connection_acquisition_timeout=5.0,
        notifications_min_severity="OFF",
    )


class Graph:
    """Rows of the named read queries."""

    def __init__(self, driver: neo4j.AsyncDriver) -> None:
        self._driver = driver

    async def rows(self, name: str, *, timeout_s: float, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a named read query."""
        return [record.data() for record in await self._records(name, timeout_s, parameters)]

    async def lists(self, name: str, *, timeout_s: float, **parameters: Any) -> dict[str, list[Any]]:
        """The one record of a named read query whose columns are long lists, as they come off the wire."""
        records = await self._records(name, timeout_s, parameters)
        # `data` would go through every value of the lists.
        return dict(zip(load_query(name).columns, records[0].values(), strict=True))

    async def _records(self, name: str, timeout_s: float, parameters: dict[str, Any]) -> list[neo4j.Record]:
        """The records of a query, which runs once more if a kept connection turns out to be lost."""
        query = load_query(name)
        assert query.mode == "read"
        statement = neo4j.Query(query.text, timeout=timeout_s)
        try:
            # The server's own timeout is of no use while it is frozen or cannot be reached.
            async with asyncio.timeout(timeout_s + LATE_S):
                try:
                    return await self._run(statement, parameters)
                except (ServiceUnavailable, SessionExpired):
                    return await self._run(statement, parameters)
        except TimeoutError as error:
            raise ServiceUnavailable("Neo4j does not answer.") from error

    async def _run(self, statement: neo4j.Query, parameters: dict[str, Any]) -> list[neo4j.Record]:
        # An auto-commit transaction takes one round trip, where a managed one takes three.
        async with self._driver.session(default_access_mode=neo4j.READ_ACCESS, fetch_size=-1) as session:
            result = await session.run(statement, parameters)
            return [record async for record in result]

    async def stream(
        self, name: str, *, timeout_s: float, **parameters: Any
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The rows of a named read query as they come, however many there are."""
        query = load_query(name)
        assert query.mode == "read"
        async with self._driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
            result = await session.run(neo4j.Query(query.text, timeout=timeout_s), parameters)
            async for record in result:
                yield record.data()

    async def write(self, name: str, *, timeout_s: float, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a small write query, which the driver may run twice if it hears of no commit."""
        query = load_query(name)
        assert query.mode == "write"

        async def work(transaction: neo4j.AsyncManagedTransaction) -> list[dict[str, Any]]:
            result = await transaction.run(query.text, parameters)
            return [record.data() async for record in result]

        try:
            async with asyncio.timeout(timeout_s + LATE_S), self._driver.session() as session:
                return await session.execute_write(neo4j.unit_of_work(timeout=timeout_s)(work))
        except TimeoutError as error:
            raise ServiceUnavailable("Neo4j does not answer.") from error

    async def check(self) -> None:
        """Run a real query."""
        await self.rows("recommendations/active_release", timeout_s=SERVING_TIMEOUT_S)
