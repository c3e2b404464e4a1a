"""The market that the influence benchmark imports is the one that the ingester would have written."""

from pathlib import Path

import neo4j
import pytest

from bench.market_graph import import_market
from bench.market_rows import market_rows
from lsec.core.settings import Settings
from lsec.local import running_stack
from lsec.simulate import Market, simulate
from tests.integration.graph_dump import dump_graph
from tests.integration.ingest_stack import IngestStack
from workers.graph import open_driver

SMALL = Market(num_users=40, num_streamers=8, num_products=60, num_days=5, bots=0.1)
FORMS = """
MATCH (n:User|Streamer|Product|Stream|Minute|Refund|Category) UNWIND keys(n) AS name
RETURN labels(n) AS of, name, valueType(n[name]) AS type
UNION
MATCH ()-[r:!MIGRATED_TO]->() UNWIND keys(r) AS name
RETURN [type(r)] AS of, name, valueType(r[name]) AS type
"""


@pytest.mark.bench
def test_an_imported_market_is_the_one_that_the_ingester_writes(stack: IngestStack, tmp_path: Path) -> None:
    stack.append(list(simulate(SMALL)))
    stack.drain()
    import_market(market_rows(SMALL), tmp_path)
    settings = Settings(data_dir=tmp_path, bolt_port=0, neo4j_heap_mb=512, neo4j_page_cache_mb=64)
    with running_stack(settings, services=("neo4j",)) as own, open_driver(own.settings) as driver:
        assert forms(driver) == forms(stack.driver)
        imported, ingested = dump_graph(driver), dump_graph(stack.driver)
    assert imported.keys() == ingested.keys()
    assert [key for key in ingested if imported[key] != ingested[key]] == []
    # Six kinds of nodes and twelve of relationships.
    assert len({key[0] for key in ingested}) == 18


def forms(driver: neo4j.Driver) -> set[tuple[str, str, str]]:
    """What has which properties, and their types."""
    found, _, _ = driver.execute_query(FORMS)
    return {(record["of"][0], record["name"], record["type"]) for record in found}
