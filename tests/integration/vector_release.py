"""A release of random unit vectors in the artifact's format, and the graph that it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import neo4j
import numpy as np
from numpy.typing import NDArray

from bench.memory_release import manifest
from lsec.core.artifact import Artifact, open_artifact
from workers.publish import publish
from workers.training.artifact_files import write_arrays, write_manifest

TEMPERATURE = 0.1
SLATE_LENGTH = 10

MARKET = """
UNWIND $products AS row
CREATE (p:Product {id: row.id, index: row.index, name: 'Name of ' + row.id})
MERGE (c:Category {id: row.category})
CREATE (p)-[:IN]->(c)
MERGE (s:Streamer {id: row.seller})
CREATE (s)-[:SELLS {count: 1}]->(p)
"""
BOUGHT = """
UNWIND $buys AS row
MERGE (u:User {id: row.user}) ON CREATE SET u.index = row.index
WITH u, row
MATCH (p:Product {id: row.product})
CREATE (u)-[:BOUGHT {event_id: row.user + row.product, at: datetime('2025-12-01T00:00:00Z'), quantity: 1,
                     amount: 5, streamer_id: '', stream_id: ''}]->(p)
"""


@dataclass(frozen=True)
class Sizes:
    """U users, P products and S streamers with vectors of d numbers; a seed for them."""

    users: int
    products: int
    streamers: int
    dimensions: int = 8
    seed: int = 0


def buys_of(user: int, sizes: Sizes) -> list[int]:
    """The product rows that a user bought: none of every tenth user."""
    return [] if user % 10 == 9 else sorted({user % sizes.products, (user + 7) % sizes.products})


def seller_of(product: int, sizes: Sizes) -> str:
    """Who sells a product."""
    return f"s{product % sizes.streamers}"


def write_release(folder: Path, sizes: Sizes, *, num_follows: int = 1) -> Artifact:
    """An artifact of users u0…, products p0…, streamers s0…, whose slates are their best products by score.

    Without follows its vectors of streamers count as untrained.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(sizes.seed)
    arrays: dict[str, NDArray[Any]] = {}
    for kind, num in (("user", sizes.users), ("product", sizes.products), ("streamer", sizes.streamers)):
        ids = np.array([f"{kind[0]}{number}".encode() for number in range(num)])
        vectors = rng.normal(size=(num, sizes.dimensions))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        arrays |= {f"{kind}_ids": ids, f"{kind}_order": np.argsort(ids)}
        arrays[f"{kind}_vectors"] = vectors.astype(np.float16)
    arrays["product_bias"] = rng.normal(size=sizes.products).astype(np.float32)
    buys = [buys_of(user, sizes) for user in range(sizes.users)]
    arrays["bought_indptr"] = np.cumsum([0, *map(len, buys)]).astype(np.int64)
    arrays["bought_indices"] = np.array([row for of_user in buys for row in of_user], np.int32)
    arrays["popular"] = np.arange(sizes.products, dtype=np.int32)
    arrays["slates"], arrays["slate_scores"] = _slates(all_scores(arrays), buys)
    counts = {"users": sizes.users, "products": sizes.products, "streamers": sizes.streamers}
    counts |= {"buys": sum(map(len, buys)), "follows": num_follows}
    described = manifest(
        release_id=folder.name,
        training_id=f"trn_{folder.name}",
        temperature=TEMPERATURE,
        hyperparameters={"follow_weight": 0.2},
        counts=counts,
        files=write_arrays(folder, arrays),
    )
    write_manifest(folder, described)
    return open_artifact(folder)


def all_scores(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Every user's score [U, P] of every product, in double precision."""
    users, products = (arrays[f"{kind}_vectors"].astype(np.float64) for kind in ("user", "product"))
    scores: NDArray[np.float64] = users @ products.T / TEMPERATURE + arrays["product_bias"].astype(np.float64)
    return scores


def fill_graph(driver: neo4j.Driver, artifact: Artifact, sizes: Sizes) -> None:
    """Products with their sellers s0… and categories c0, c1, c2, what users bought, and the release."""
    products = [
        {"id": f"p{row}", "index": row, "category": f"c{row % 3}", "seller": seller_of(row, sizes)}
        for row in range(sizes.products)
    ]
    driver.execute_query(MARKET, products=products)
    buys = [
        {"user": f"u{user}", "index": user, "product": f"p{row}"}
        for user in range(sizes.users)
        for row in buys_of(user, sizes)
    ]
    driver.execute_query(BOUGHT, buys=buys)
    publish(driver, artifact)


def _slates(
    scores: NDArray[np.float64], buys: list[list[int]]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    rows = np.full((len(buys), SLATE_LENGTH), -1, np.int32)
    slate_scores = np.full((len(buys), SLATE_LENGTH), -np.inf, np.float32)
    for user, bought in enumerate(buys):
        if bought:
            order = [row for row in np.argsort(-scores[user], kind="stable") if row not in bought]
            rows[user], slate_scores[user] = order[:SLATE_LENGTH], scores[user, order[:SLATE_LENGTH]]
    return rows, slate_scores
