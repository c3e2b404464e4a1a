"""A market to serve: its graph by bulk statements, and a release of random vectors and slates, untrained."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import neo4j
import numpy as np
from numpy.typing import NDArray

from bench.memory_release import manifest
from lsec.core.artifact_layout import ARRAYS
from workers.publish import active_release, flip
from workers.training.artifact_files import write_arrays, write_manifest

RELEASE_ID = "rel_bench"
STREAM_ID = "stream0"
DIMENSIONS, SLATE_LENGTH = 64, 50
BUYS_PER_USER, FOLLOWS_PER_USER, SHOWCASED = 5, 3, 200
MAX_POPULAR = 1000
ROWS_PER_WRITE = 20_000
HAPPENED_MS = 1_767_225_600_000
"""When all of it was done: 2026-01-01."""
SNAPSHOT_POSITION = "1769904000000-0"
"""A month later."""

_NODES: Any = """
UNWIND range(0, $num - 1) AS i
CALL (i) { CREATE (n:$($label) {id: $prefix + i, index: i, name: $label + ' ' + i}) } IN TRANSACTIONS
"""
_SLATES: Any = """
MATCH (u:User)
CALL (u) {
  CREATE (u)-[:HAS_SLATE]->(:Slate {release_id: $release_id, user_id: u.id, product_ids: [], scores: []})
} IN TRANSACTIONS
"""
_PAIRS: dict[str, Any] = {
    "BOUGHT": """
        UNWIND $rows AS row
        MATCH (u:User {index: row[0]}), (p:Product {index: row[1]})
        CREATE (u)-[:BOUGHT {event_id: 'bench-' + row[0] + '-' + row[1], at: datetime({epochMillis: $at}),
          quantity: 1, amount: 100, streamer_id: '', stream_id: '', seq: 0, shard: 0}]->(p)
    """,
    "FOLLOWS": """
        UNWIND $rows AS row
        MATCH (u:User {index: row[0]}), (s:Streamer {index: row[1]})
        CREATE (u)-[:FOLLOWS {at: datetime({epochMillis: $at})}]->(s)
    """,
    "SELLS": """
        UNWIND $rows AS row
        MATCH (s:Streamer {index: row[1]}), (p:Product {index: row[0]}) CREATE (s)-[:SELLS {count: 1}]->(p)
    """,
    "IN": """
        UNWIND $rows AS row
        MATCH (p:Product {index: row[0]}) MERGE (c:Category {id: 'c' + row[1]}) CREATE (p)-[:IN]->(c)
    """,
}
_STREAM: Any = """
MATCH (s:Streamer {index: 0})
CREATE (s)-[:HOSTED]->(t:Stream {id: $stream_id, started_at: datetime()})
WITH t
UNWIND range(0, $num - 1) AS i
MATCH (p:Product {index: i})
CREATE (t)-[:SHOWCASED {count: 1, first_at: datetime(), last_at: datetime()}]->(p)
"""


@dataclass(frozen=True, slots=True)
class Market:
    """Sizes; users are u0, u1, …, products p0, …, streamers s0, …."""

    users: int
    products: int
    streamers: int
    categories: int = 100


def fill(driver: neo4j.Driver, market: Market, artifacts: Path) -> None:
    """Write the graph, then the release, and make it the active one."""
    rng = np.random.default_rng(0)
    with driver.session() as session:
        for label, num in (
            ("User", market.users),
            ("Product", market.products),
            ("Streamer", market.streamers),
        ):
            session.run(_NODES, label=label, prefix=label[0].lower(), num=num).consume()
            session.run("CREATE (:IndexCounter {label: $label, next: $num})", label=label, num=num).consume()
        session.run(_SLATES, release_id=RELEASE_ID).consume()
        session.run(
            "CREATE (:Release {id: $id, created_at: datetime(), model: 'bench', is_complete: true})",
            id=RELEASE_ID,
        ).consume()
    bought = _distinct_pairs(rng, market.users, market.products, BUYS_PER_USER)
    pairs = {
        "BOUGHT": bought,
        "FOLLOWS": _distinct_pairs(rng, market.users, market.streamers, FOLLOWS_PER_USER),
        "SELLS": _distinct_pairs(rng, market.products, market.streamers, 1),
        "IN": _distinct_pairs(rng, market.products, market.categories, 1),
    }
    for name, rows in pairs.items():
        for start in range(0, len(rows), ROWS_PER_WRITE):
            chunk = rows[start : start + ROWS_PER_WRITE].tolist()
            driver.execute_query(_PAIRS[name], rows=chunk, at=HAPPENED_MS)
    driver.execute_query(_STREAM, stream_id=STREAM_ID, num=min(SHOWCASED, market.products))
    write_release(artifacts / RELEASE_ID, market, bought, rng)
    flip(driver, RELEASE_ID, expected=active_release(driver))


def _distinct_pairs(rng: np.random.Generator, num: int, num_others: int, each: int) -> NDArray[np.int64]:
    """Rows [N, 2]: each of num with some of num_others, in order; a pair that is drawn again is one."""
    firsts = np.repeat(np.arange(num), each)
    return np.unique(np.stack([firsts, rng.integers(0, num_others, len(firsts))], 1), axis=0)


def write_release(folder: Path, market: Market, bought: NDArray[np.int64], rng: np.random.Generator) -> None:
    """Write an artifact whose snapshot holds all that was done, with slates of what the user did not buy."""
    folder.mkdir(parents=True)
    arrays = _arrays(market, bought, rng)
    typed = {
        # Ids are kept by their bytes, whatever the layout calls these.
        name: array if array.dtype.kind == "S" else array.astype(ARRAYS[name][0], copy=False)
        for name, array in arrays.items()
    }
    counts = {"users": market.users, "products": market.products, "streamers": market.streamers}
    counts |= {"buys": len(bought), "follows": market.users * FOLLOWS_PER_USER, "views": 0}
    described = manifest(
        release_id=RELEASE_ID,
        created_at=datetime.now(UTC).isoformat(),
        counts=counts,
        positions=[{"shard": 0, "position": SNAPSHOT_POSITION, "seq": 0}],
        hyperparameters={"follow_weight": 0.2, "view_weight": 0.3, "view_edge": 0.3},
        files=write_arrays(folder, typed),
    )
    write_manifest(folder, described)


def _arrays(market: Market, bought: NDArray[np.int64], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    def vectors(num: int) -> NDArray[np.float64]:
        drawn: NDArray[np.float64] = rng.normal(size=(num, DIMENSIONS))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return drawn

    arrays: dict[str, NDArray[Any]] = {}
    for kind, num in (("user", market.users), ("product", market.products), ("streamer", market.streamers)):
        arrays[f"{kind}_ids"] = np.array([f"{kind[0]}{row}".encode() for row in range(num)])
        arrays[f"{kind}_order"] = np.argsort(arrays[f"{kind}_ids"])
        arrays[f"{kind}_vectors"] = vectors(num)
    starts = np.searchsorted(bought[:, 0], np.arange(market.users + 1))
    slates = rng.integers(0, market.products, (market.users, 1)) + _steps(market, rng)
    scores = -np.sort(-rng.random((market.users, SLATE_LENGTH)), axis=1)
    return arrays | {
        "product_bias": rng.normal(size=market.products),
        "popular": rng.permutation(market.products)[:MAX_POPULAR],
        "slates": slates % market.products,
        "slate_scores": scores,
        "bought_indptr": starts,
        "bought_indices": bought[:, 1],
    }


def _steps(market: Market, rng: np.random.Generator) -> NDArray[np.int64]:
    """SLATE_LENGTH different products, as steps from the first: no slate holds a product twice."""
    return np.append(0, rng.choice(np.arange(1, market.products), SLATE_LENGTH - 1, replace=False))
