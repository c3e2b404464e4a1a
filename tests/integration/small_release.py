"""A small release in the artifact's format, with slates chosen by the test."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import neo4j
import numpy as np
from numpy.typing import NDArray

from bench.memory_release import manifest
from lsec.core.log_positions import LogPosition
from workers.publish import active_release, flip
from workers.training.artifact_files import write_arrays, write_manifest

SLATE_LENGTH = 6
POSITIONS: Sequence[LogPosition] = ({"shard": 0, "seq": 1, "position": "1767225600000-0"},)
"""Those of a snapshot of the beginning of 2026."""


def write_artifact(
    folder: Path,
    slates: Mapping[str, Sequence[str]],
    *,
    products: Sequence[str],
    popular: Sequence[str],
    bought: Mapping[str, Sequence[str]] | None = None,
    positions: Sequence[LogPosition] = POSITIONS,
) -> None:
    """An artifact whose users have these slates, scored 10, 9, 8…; a product's bias is minus its place."""
    folder.mkdir(parents=True)
    user_ids, product_ids = _ids(list(slates)), _ids(products)
    rows = {product_id: row for row, product_id in enumerate(products)}
    slate_rows, slate_scores = _slate_arrays(slates, rows)
    buys = [[rows[product_id] for product_id in (bought or {}).get(user_id, ())] for user_id in slates]
    arrays = {
        "user_ids": user_ids,
        "user_order": np.argsort(user_ids),
        "product_ids": product_ids,
        "product_order": np.argsort(product_ids),
        "streamer_ids": _ids(["s1"]),
        "streamer_order": np.array([0]),
        "user_vectors": np.ones((len(slates), 1), np.float16),
        "product_vectors": np.ones((len(products), 1), np.float16),
        "product_bias": -np.arange(len(products), dtype=np.float32),
        "streamer_vectors": np.ones((1, 1), np.float16),
        "slates": slate_rows,
        "slate_scores": slate_scores,
        "bought_indptr": np.cumsum([0, *map(len, buys)]).astype(np.int64),
        "bought_indices": np.array([row for of_user in buys for row in of_user], np.int32),
        "popular": np.array([rows[product_id] for product_id in popular], np.int32),
    }
    counts = {"users": len(slates), "products": len(products), "streamers": 1}
    counts["buys"] = sum(map(len, buys))
    described = manifest(
        release_id=folder.name,
        training_id=f"trn_{folder.name}",
        temperature=0.1,
        hyperparameters={"view_edge": 0.3, "view_weight": 0.3},
        counts=counts,
        positions=list(positions),
        files=write_arrays(folder, arrays),
    )
    write_manifest(folder, described)


def _slate_arrays(
    slates: Mapping[str, Sequence[str]], rows: Mapping[str, int]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Product rows [U, K] of the slates, and their scores."""
    slate_rows = np.full((len(slates), SLATE_LENGTH), -1, np.int32)
    slate_scores = np.full((len(slates), SLATE_LENGTH), -np.inf, np.float32)
    for user_row, slate in enumerate(slates.values()):
        slate_rows[user_row, : len(slate)] = [rows[product_id] for product_id in slate]
        slate_scores[user_row, : len(slate)] = 10 - np.arange(len(slate))
    return slate_rows, slate_scores


def activate(driver: neo4j.Driver, release_id: str) -> None:
    """Make the release the active one, as a publication does at its end."""
    driver.execute_query(
        "MERGE (r:Release {id: $id}) ON CREATE SET r.created_at = datetime(), r.is_complete = true",
        id=release_id,
    )
    flip(driver, release_id, expected=active_release(driver))


def _ids(ids: Sequence[str]) -> NDArray[np.bytes_]:
    return np.array([id_.encode() for id_ in ids])
