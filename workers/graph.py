"""The workers' Neo4j connection and the running of named queries."""

from typing import Any

import neo4j

from graph_schema.queries import load_query
from lsec.core.settings import Settings

QUERY_TIMEOUT_S = 600.0


def open_driver(settings: Settings) -> neo4j.Driver:
    """A driver for the platform's graph; open it after a fork, close it when done."""
    password = settings.neo4j_password.get_secret_value()
    return neo4j.GraphDatabase.driver(
        settings.neo4j_url,
        auth=(settings.neo4j_user, password) if password else None,
        notifications_min_severity="OFF",
    )


def read_rows(driver: neo4j.Driver, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of a named read query, in a read transaction that the driver may retry."""
    query = load_query(name)

    def work(tx: neo4j.ManagedTransaction) -> list[dict[str, Any]]:
        return [record.data() for record in tx.run(query.text, parameters)]

    with driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
        return session.execute_read(neo4j.unit_of_work(timeout=QUERY_TIMEOUT_S)(work))


def write_rows(driver: neo4j.Driver, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """Run a named, idempotent write query in one transaction that the driver may retry."""
    query = load_query(name)

    def work(tx: neo4j.ManagedTransaction) -> list[dict[str, Any]]:
        return [record.data() for record in tx.run(query.text, parameters)]

    with driver.session() as session:
        return session.execute_write(neo4j.unit_of_work(timeout=QUERY_TIMEOUT_S)(work))
