"""Export and publication against the plain driver on the same data, in one run.

Export: purchases in chunks of integer lists, against a row per edge with string ids.
Publication: slates of 50 and vectors of 64, against plain CREATEs of the same rows by hand.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import neo4j
import numpy as np

from bench.memory_release import artifact_in_memory
from bench.report import Figures, parser, report
from lsec.core.artifact import Artifact
from lsec.core.settings import Settings
from lsec.local import DATABASES, running_stack
from workers.graph import open_driver
from workers.migrate import migrate_graph
from workers.publish import publish
from workers.snapshot import Scope, export_snapshot

BUYS_PER_USER = 20
SLATE_LENGTH = 50
DIMENSIONS = 64
WRITE_BATCH = 5_000


def fill(driver: neo4j.Driver, num_users: int, num_products: int, rng: np.random.Generator) -> None:
    """A random market of purchases, written in batches."""
    for label, count in (("User", num_users), ("Product", num_products)):
        driver.execute_query(
            f"UNWIND range(0, $count - 1) AS i CREATE (:{label} {{id: left('{label}', 1) + i, index: i}})",
            count=count,
        )
        driver.execute_query("CREATE (:IndexCounter {label: $label, next: $count})", label=label, count=count)
    driver.execute_query(
        "CREATE (:IngestOffset {shard: 0, epoch: 'b', position: '1-0', seq: 1, num_events: 1})"
    )
    rows = [
        [user, int(product), f"e{user}-{n}"]
        for user in range(num_users)
        for n, product in enumerate(rng.integers(0, num_products, BUYS_PER_USER))
    ]
    for start in range(0, len(rows), WRITE_BATCH):
        driver.execute_query(
            "UNWIND $rows AS row MATCH (u:User {index: row[0]}), (p:Product {index: row[1]}) "
            "CREATE (u)-[:BOUGHT {event_id: row[2], at: datetime({epochMillis: 1}), quantity: 1, amount: 1, "
            "streamer_id: '', stream_id: '', seq: 1, shard: 0}]->(p)",
            rows=rows[start : start + WRITE_BATCH],
        )


def row_per_edge(driver: neo4j.Driver) -> int:
    """The export that everyone writes first; the number of edges."""
    with driver.session() as session:
        result = session.run(
            "MATCH (u:User)-[b:BOUGHT]->(p:Product) WHERE b.refunded_at IS NULL "
            "RETURN u.id AS user, p.id AS product, b.at.epochMillis AS at_ms"
        )
        return sum(1 for _ in result)


def random_artifact(num_users: int, num_products: int, rng: np.random.Generator) -> Artifact:
    """An artifact of that size in memory, with random vectors and slates."""
    users = np.array([f"U{i}" for i in range(num_users)], dtype=np.bytes_)
    products = np.array([f"P{i}" for i in range(num_products)], dtype=np.bytes_)
    none = np.empty(0, dtype=np.bytes_)
    arrays: dict[str, Any] = {
        "user_ids": users,
        "product_ids": products,
        "streamer_ids": none,
        "user_order": np.argsort(users),
        "product_order": np.argsort(products),
        "streamer_order": np.argsort(none),
        "user_vectors": rng.normal(size=(num_users, DIMENSIONS)).astype(np.float16),
        "product_vectors": rng.normal(size=(num_products, DIMENSIONS)).astype(np.float16),
        "streamer_vectors": np.empty((0, DIMENSIONS), np.float16),
        "product_bias": np.zeros(num_products, np.float32),
        "slates": rng.integers(0, num_products, (num_users, SLATE_LENGTH)).astype(np.int32),
        "slate_scores": rng.random((num_users, SLATE_LENGTH)).astype(np.float32),
        "bought_indptr": np.zeros(num_users + 1, np.int64),
        "bought_indices": np.empty(0, np.int32),
        "popular": np.arange(min(100, num_products), dtype=np.int32),
    }
    return artifact_in_memory(arrays)


def plain_publication(driver: neo4j.Driver, artifact: Artifact) -> None:
    """The ceiling: the same rows, ready beforehand, by the plain driver, with nothing around them."""
    users = [
        {"id": f"U{row}", "p": [p for p, _ in slate], "s": [s for _, s in slate]}
        for row in range(len(artifact.user_ids))
        for slate in [artifact.slate(row)]
    ]
    vectors = [{"id": f"P{row}", "v": v} for row, v in enumerate(artifact.product_vectors.tolist())]
    for start in range(0, len(users), 2_000):
        driver.execute_query(
            "UNWIND $rows AS row MATCH (u:User {id: row.id}) "
            "CREATE (u)-[:HAS_SLATE]->(:Slate "
            "{release_id: 'plain', user_id: row.id, product_ids: row.p, scores: row.s})",
            rows=users[start : start + 2_000],
        )
    for start in range(0, len(vectors), 1_000):
        driver.execute_query(
            "UNWIND $rows AS row "
            "CREATE (:Vector {release_id: 'plain', kind: 'product', item_id: row.id, values: row.v})",
            rows=vectors[start : start + 1_000],
        )


def timed(action: Callable[[], object]) -> float:
    """Seconds that the action took."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def measure(num_users: int, num_products: int, repetitions: int, folder: Path) -> Figures:
    """Medians, and ratios to the baseline and to the ceiling."""
    rng = np.random.default_rng(0)
    settings = Settings(data_dir=folder / "stack", bolt_port=0, valkey_port=0)
    with running_stack(settings, services=DATABASES) as stack, open_driver(stack.settings) as driver:
        migrate_graph(driver)
        fill(driver, num_users, num_products, rng)
        num_buys = num_users * BUYS_PER_USER
        row_per_edge(driver)
        pairs = [
            (
                timed(lambda: row_per_edge(driver)),
                timed(partial(export_snapshot, driver, folder / f"snapshot-{n}", Scope())),
            )
            for n in range(repetitions)
        ]
        artifact = random_artifact(num_users, num_products, rng)
        plain_s = timed(lambda: plain_publication(driver, artifact))
        ours_s = timed(lambda: publish(driver, artifact, keep=3))
    export_s = statistics.median(ours for _, ours in pairs)
    return {
        "export": {
            "seconds": export_s,
            "relationships_per_s": num_buys / export_s,
            "times_a_row_per_edge": statistics.median(plain / ours for plain, ours in pairs),
        },
        "publish": {
            "seconds": ours_s,
            "scores_per_s": num_users * SLATE_LENGTH / ours_s,
            "of_ceiling": plain_s / ours_s,
        },
    }


def main() -> None:
    """Measure and report."""
    options = parser(__doc__).parse_args()
    num_users, num_products, repetitions = (2_000, 1_000, 3) if options.quick else (20_000, 10_000, 5)
    with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
        figures = measure(num_users, num_products, repetitions, Path(folder))
    title = f"{num_users:,} users, {num_products:,} products, {num_users * BUYS_PER_USER:,} purchases"
    report(title, figures, options.json)


if __name__ == "__main__":
    main()
