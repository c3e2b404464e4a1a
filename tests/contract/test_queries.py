"""Neo4j understands every query file as it stands, and agrees with its header."""

import neo4j
import pytest

from graph_schema.queries import load_query, query_names

# What EXPLAIN says of a statement: it only reads, or it may write.
STATEMENT_TYPES = {"read": {"r"}, "write": {"rw", "w"}}


@pytest.mark.parametrize("name", query_names())
def test_neo4j_explains_the_query(neo4j_driver: neo4j.Driver, name: str) -> None:
    query = load_query(name)
    parameters = dict.fromkeys(query.parameters)
    with neo4j_driver.session() as session:
        result = session.run("EXPLAIN " + query.text, parameters)
        columns = tuple(result.keys())
        summary = result.consume()
    assert columns == query.columns
    assert summary.query_type in STATEMENT_TYPES[query.mode]
