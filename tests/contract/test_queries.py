"""Neo4j understands every query file as it stands, and agrees with its header."""

import neo4j
import pytest

from graph_schema.queries import load_query, query_names

# What EXPLAIN says of a statement: it only reads, or it may write.
STATEMENT_TYPES = {"read": {"r"}, "write": {"rw", "w"}}


@pytest.mark.parametrize("name", query_names())
def test_neo4j_explains_the_query(neo4j_driver: neo4j.Driver, name: str) -> None:
    query = load_query(name)

    def explain(tx: neo4j.ManagedTransaction) -> tuple[tuple[str, ...], str | None]:
        result = tx.run("EXPLAIN " + query.text, dict.fromkeys(query.parameters))
        return tuple(result.keys()), result.consume().query_type

    # Managed, so that a passing fault of a busy server is tried again.
    with neo4j_driver.session() as session:
        columns, query_type = session.execute_write(explain)
    assert columns == query.columns
    assert query_type in STATEMENT_TYPES[query.mode]
