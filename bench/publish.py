"""Publication of a release against the plain driver on the same data, in one run, in turns.

Slates of 50 products with their scores, and vectors of 64 numbers. The plain driver's rows are ready before
its clock starts, and it writes them by hand with nothing around: no marks to go on from, no look at who was
erased, no flip. `over_driver` is its time over ours.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import neo4j
import numpy as np

from bench.memory_release import artifact_in_memory
from bench.report import parser, show, write_json
from lsec.core.artifact import Artifact
from lsec.core.settings import Settings
from lsec.local import DATABASES, running_stack
from workers.graph import open_driver
from workers.migrate import migrate_graph
from workers.publish import publish
from workers.release_writer import USERS_PER_WRITE, VECTORS_PER_WRITE

SLATE_LENGTH = 50
DIMENSIONS = 64
NUM_USERS, NUM_PRODUCTS, NUM_REPETITIONS = 100_000, 10_000, 3
QUICK_USERS, QUICK_PRODUCTS, QUICK_REPETITIONS = 4_000, 500, 3
WRITE_SLATES = (
    "UNWIND $batch.rows AS row MATCH (u:User {id: row.id}) CREATE (u)-[:HAS_SLATE]->"
    "(:Slate {release_id: $batch.release_id, user_id: row.id, product_ids: row.products, scores: row.scores})"
)
WRITE_VECTORS = (
    "UNWIND $batch.rows AS row CREATE "
    "(:Vector {release_id: $batch.release_id, kind: 'product', item_id: row.id, values: row.values})"
)
CLEAR = (
    "MATCH (n) WHERE n:Slate OR n:Vector OR n:Release OR n:ActivePointer "
    "CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS"
)


@dataclass(frozen=True, slots=True)
class Rows:
    """What the plain driver writes: batches of slates, then of vectors."""

    slates: Sequence[list[dict[str, Any]]]
    vectors: Sequence[list[dict[str, Any]]]


def fill(driver: neo4j.Driver, num_users: int, num_products: int) -> None:
    """A market without purchases: a publication looks at its users alone."""
    for label, count in (("User", num_users), ("Product", num_products)):
        driver.execute_query(
            f"UNWIND range(0, $count - 1) AS i CREATE (:{label} {{id: left('{label}', 1) + i, index: i}})",
            count=count,
        )


def random_arrays(num_users: int, num_products: int, *, dimensions: int = DIMENSIONS) -> dict[str, Any]:
    """The arrays of an artifact of that size, with random vectors and slates."""
    rng = np.random.default_rng(0)
    users = np.array([f"U{i}" for i in range(num_users)], dtype=np.bytes_)
    products = np.array([f"P{i}" for i in range(num_products)], dtype=np.bytes_)
    none = np.empty(0, dtype=np.bytes_)
    return {
        "user_ids": users,
        "product_ids": products,
        "streamer_ids": none,
        "user_order": np.argsort(users),
        "product_order": np.argsort(products),
        "streamer_order": np.argsort(none),
        "user_vectors": np.zeros((num_users, dimensions), np.float16),
        "product_vectors": rng.normal(size=(num_products, dimensions)).astype(np.float16),
        "streamer_vectors": np.empty((0, dimensions), np.float16),
        "product_bias": np.zeros(num_products, np.float32),
        "slates": rng.integers(0, num_products, (num_users, SLATE_LENGTH)).astype(np.int32),
        "slate_scores": rng.random((num_users, SLATE_LENGTH)).astype(np.float32),
        "bought_indptr": np.zeros(num_users + 1, np.int64),
        "bought_indices": np.empty(0, np.int32),
        "popular": np.arange(min(100, num_products), dtype=np.int32),
    }


def rows_of(artifact: Artifact) -> Rows:
    """The artifact as the plain driver wants it."""
    slates = [
        {"id": user_id.decode(), "products": [p for p, _ in slate], "scores": [s for _, s in slate]}
        for row, user_id in enumerate(artifact.user_ids.tolist())
        for slate in [artifact.slate(row)]
    ]
    vectors = [
        {"id": item_id.decode(), "values": values}
        for item_id, values in zip(
            artifact.product_ids.tolist(), artifact.product_vectors.tolist(), strict=True
        )
    ]
    return Rows(list(_batches(slates, USERS_PER_WRITE)), list(_batches(vectors, VECTORS_PER_WRITE)))


def _batches(rows: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def write_plainly(driver: neo4j.Driver, rows: Rows) -> None:
    """The ceiling: one statement a batch, each in a transaction."""
    with driver.session() as session:
        for statement, batches in ((WRITE_SLATES, rows.slates), (WRITE_VECTORS, rows.vectors)):
            for batch in batches:
                parameters = {"release_id": "plain", "rows": batch}
                session.execute_write(_run, statement, parameters)


def _run(transaction: neo4j.ManagedTransaction, statement: LiteralString, batch: dict[str, Any]) -> None:
    transaction.run(statement, batch=batch).consume()


def timed(driver: neo4j.Driver, action: Callable[[], object]) -> float:
    """Seconds that the action takes in a graph without a release; it is without one again afterwards."""
    started = time.perf_counter()
    action()
    seconds = time.perf_counter() - started
    with driver.session() as session:
        session.run(CLEAR).consume()
    return seconds


def measure(num_users: int, num_products: int, repetitions: int, folder: Path) -> dict[str, float]:
    """Medians over the repetitions; the first of each is not counted."""
    settings = Settings(data_dir=folder / "stack", bolt_port=0, valkey_port=0)
    artifact = artifact_in_memory(random_arrays(num_users, num_products))
    rows = rows_of(artifact)
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    with running_stack(settings, services=DATABASES) as stack, open_driver(stack.settings) as driver:
        migrate_graph(driver)
        fill(driver, num_users, num_products)
        both: list[tuple[str, Callable[[], None]]] = [
            ("plain", lambda: write_plainly(driver, rows)),
            ("ours", lambda: publish(driver, artifact)),
        ]
        for _ in range(repetitions + 1):
            for name, action in both:
                seconds[name].append(timed(driver, action))
            # A server that warms up, or a machine that is busy for a while, favours neither.
            both.reverse()
    plain, ours = (statistics.median(seconds[name][1:]) for name in ("plain", "ours"))
    return {
        "over_driver": plain / ours,
        "seconds": ours,
        "driver_seconds": plain,
        "scores_per_s": num_users * SLATE_LENGTH / ours,
        "users": num_users,
        "products": num_products,
    }


def main() -> None:
    """Measure and report."""
    options = parser(__doc__).parse_args()
    size = (
        (QUICK_USERS, QUICK_PRODUCTS, QUICK_REPETITIONS)
        if options.quick
        else (NUM_USERS, NUM_PRODUCTS, NUM_REPETITIONS)
    )
    with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
        figures = measure(*size, Path(folder))
    show(f"Publication of {size[0]:,} slates and {size[1]:,} vectors", {"publish": figures})
    write_json(figures, options.json)


if __name__ == "__main__":
    main()
