"""Lists that are read while nodes are deleted stay whole: a node that goes meanwhile has no properties.

Which reads meet a deletion is left to chance: of five queries without whole rows four failed in this time.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import neo4j
import pytest
from neo4j.vector import Vector

from graph_schema.queries import load_query

NUM_NODES = 400
FOR_S = 4.0
FILL = """
UNWIND range(0, $num - 1) AS i
CREATE (u:User {id: 'u' + i, index: i})
       -[:BOUGHT {event_id: 'b' + i, at: datetime(), seq: 0, shard: 0, streamer_id: 's'}]->
       (p:Product {id: 'p' + i, index: i})
       <-[:SELLS {count: 1, first_at: datetime(), last_at: datetime()}]-(:Streamer {id: 's' + i, index: i})
"""
EMPTY = "MATCH (n:User|Product|Streamer) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 50 ROWS"
RANGE = {"start": 0, "stop": NUM_NODES}
ALL_TIME = {"since_ms": None, "until_ms": None, "streamers": None, "least_seq": 0, "seqs": [0]}
READS: dict[str, dict[str, Any]] = {
    "serving/products": RANGE,
    "serving/changed_products": {"asked": {"ids": [f"p{number}" for number in range(NUM_NODES)]}},
    "export/users": RANGE,
    "export/buys": RANGE | ALL_TIME,
    "touches/streamers": {},
}


@contextmanager
def churn(driver: neo4j.Driver) -> Iterator[threading.Event]:
    """Fills the graph and empties it, over and over; the event says that it has failed."""
    is_over, has_failed = threading.Event(), threading.Event()

    def fill_and_empty() -> None:
        try:
            while not is_over.is_set():
                driver.execute_query(FILL, num=NUM_NODES)
                with driver.session() as session:
                    session.run(EMPTY).consume()
        except Exception:
            has_failed.set()
            raise

    thread = threading.Thread(target=fill_and_empty)
    thread.start()
    try:
        yield has_failed
    finally:
        is_over.set()
        thread.join()


def num_values(column: list[Any]) -> int:
    """How many values a column has, which may come in several vectors."""
    return sum(len(part) if isinstance(part, Vector) else 1 for part in column)


@pytest.mark.parametrize("name", READS)
def test_columns_of_lists_have_the_same_length(
    neo4j_driver: neo4j.Driver, clean_stack: None, name: str
) -> None:
    query = load_query(name)
    parameters = READS[name]
    seen: set[int] = set()
    until = time.monotonic() + FOR_S
    with churn(neo4j_driver) as has_failed:
        while time.monotonic() < until and not has_failed.is_set():
            record = neo4j_driver.execute_query(query.text, parameters).records[0]
            lengths = {column: num_values(values) for column, values in record.data().items()}
            assert len(set(lengths.values())) == 1, lengths
            seen |= set(lengths.values())
        assert not has_failed.is_set()
    assert max(seen) > 0
