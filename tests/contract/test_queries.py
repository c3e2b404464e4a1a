"""Neo4j understands every query file as it stands, agrees with its header, and finds things as it should."""

import neo4j
import pytest

from bench.influence_plans import operators_of
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


@pytest.mark.parametrize("name", [name for name in query_names() if name.startswith("ingest/")])
@pytest.mark.usefixtures("clean_stack")
def test_ingestion_finds_relationships_from_their_nodes(neo4j_driver: neo4j.Driver, name: str) -> None:
    query = load_query(name)
    # An empty graph is where an index of all that a streamer sold looks best.
    neo4j_driver.execute_query("CALL db.prepareForReplanning()")
    result = neo4j_driver.execute_query("EXPLAIN " + query.text, dict.fromkeys(query.parameters))
    assert result.summary.plan is not None
    names = [each["operatorType"] for each in operators_of(result.summary.plan)]
    by_index = [each for each in names if "RelationshipIndex" in each]
    assert all("UniqueIndex" in each for each in by_index), by_index
