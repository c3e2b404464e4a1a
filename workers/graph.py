"""The workers' Neo4j connection and the running of named queries."""

from typing import Any

import neo4j

from graph_schema.queries import load_query
from lsec.core.settings import Settings

QUERY_TIMEOUT_S = 600.0
IMPATIENT: dict[str, Any] = {
    "connection_timeout": 10.0,
    "connection_acquisition_timeout": 10.0,
    "max_transaction_retry_time": 0,
}


def open_driver(settings: Settings, *, name: str = "", **options: Any) -> neo4j.Driver:
    """A driver for the platform's graph; open it after a fork, close it when done.

    What is sent over one with a name can be ended by `end_statements`.
    """
    if name:
        options["user_agent"] = name
    password = settings.neo4j_password.get_secret_value()
    return neo4j.GraphDatabase.driver(
        settings.neo4j_url,
        auth=(settings.neo4j_user, password) if password else None,
        notifications_min_severity="OFF",
        **options,
    )


def answers(settings: Settings) -> bool:
    """Whether the graph answers within some seconds."""
    try:
        with open_driver(settings, **IMPATIENT) as driver:
            driver.execute_query("RETURN 1 AS one")
    except (neo4j.exceptions.DriverError, neo4j.exceptions.TransientError):
        return False
    return True


def end_statements(settings: Settings, name: str) -> int:
    """End what is running over connections of that name; the number of transactions that were told to end."""
    with open_driver(settings, **IMPATIENT) as driver:
        rows, _, _ = driver.execute_query(
            "CALL dbms.listConnections() YIELD connectionId, userAgent WHERE userAgent = $name "
            "RETURN collect(connectionId) AS ids",
            name=name,
        )
        ended, _, _ = driver.execute_query(
            "SHOW TRANSACTIONS YIELD transactionId AS id, connectionId WHERE connectionId IN $ids "
            "TERMINATE TRANSACTIONS id YIELD message RETURN message",
            ids=rows[0]["ids"],
        )
    return len(ended)


def read_rows(
    driver: neo4j.Driver, name: str, *, timeout_s: float = QUERY_TIMEOUT_S, **parameters: Any
) -> list[dict[str, Any]]:
    """The rows of a named read query, in a read transaction that the driver may retry."""
    query = load_query(name)

    def work(tx: neo4j.ManagedTransaction) -> list[dict[str, Any]]:
        return [record.data() for record in tx.run(query.text, parameters)]

    with driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
        return session.execute_read(neo4j.unit_of_work(timeout=timeout_s)(work))


def write_rows(driver: neo4j.Driver, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """Run a named, idempotent write query in one transaction that the driver may retry."""
    query = load_query(name)

    def work(tx: neo4j.ManagedTransaction) -> list[dict[str, Any]]:
        return [record.data() for record in tx.run(query.text, parameters)]

    with driver.session() as session:
        return session.execute_write(neo4j.unit_of_work(timeout=QUERY_TIMEOUT_S)(work))
