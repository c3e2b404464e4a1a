"""Reads the graph for an export: by ranges of a dense index, in few large records, two ranges at a time.

Columns of integers come packed: a list of them costs the database and the driver a value each, a vector a few
bytes each. Such a vector has 1 to 4,096 numbers, so a column is a list of them; their statements ask of each
place whether it is inside, as Neo4j's `range(0, -1, 4096)` is not empty.
"""

from collections import deque
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import neo4j
import numpy as np
from neo4j.vector import Vector
from numpy.typing import NDArray

from graph_schema.queries import load_query
from workers.graph import QUERY_TIMEOUT_S

NODES_PER_RANGE = 2_000
SESSIONS = 2
"""The database plans and reads on one core for each."""
RANGES_AHEAD = 3
"""Read, or being read, while an older one is written: what bounds the memory."""

Rows = NDArray[np.int64]
Columns = dict[str, Any]
"""The columns of a query's one record: Rows for packed integers, else lists."""


def read_ranges(
    driver: neo4j.Driver, num_nodes: int, queries: Mapping[str, Mapping[str, Any]], *, size: int
) -> Generator[tuple[int, dict[str, Columns]]]:
    """For each range of `size` indexes, in order, where it starts and the columns of each query by its name.

    `queries` are those of the export by name, with their parameters but for the range. Close the iterator,
    or its reading goes on.
    """
    pool = ThreadPoolExecutor(SESSIONS, thread_name_prefix="export")
    waiting: deque[Future[tuple[int, dict[str, Columns]]]] = deque()
    try:
        for start in range(0, num_nodes, size):
            stop = min(start + size, num_nodes)
            waiting.append(pool.submit(_read_range, driver, {"start": start, "stop": stop}, queries))
            if len(waiting) > RANGES_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read_range(
    driver: neo4j.Driver, place: Mapping[str, int], queries: Mapping[str, Mapping[str, Any]]
) -> tuple[int, dict[str, Columns]]:
    def work(tx: neo4j.ManagedTransaction) -> dict[str, Columns]:
        found = {}
        for name, parameters in queries.items():
            query = load_query(f"export/{name}")
            [record] = tx.run(query.text, {**parameters, **place})
            found[name] = {column: _unpacked(record[column]) for column in query.columns}
        return found

    with driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
        return place["start"], session.execute_read(neo4j.unit_of_work(timeout=QUERY_TIMEOUT_S)(work))


def _unpacked(column: list[Any]) -> Rows | list[Any]:
    """The numbers of a list of vectors; a list of anything else as it is."""
    if not column:
        return np.empty(0, np.int64)
    if isinstance(column[0], Vector):
        return np.concatenate([part.to_numpy() for part in column], dtype=np.int64)
    return column
