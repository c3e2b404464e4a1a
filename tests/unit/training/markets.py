"""Small random markets, as data and as snapshot folders."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workers.training.data import (
    COLUMNS,
    DAY_MS,
    SNAPSHOT_VERSION,
    Interactions,
    distinct_pairs,
    no_pairs,
    read_snapshot,
)


def write_snapshot(
    folder: Path,
    *,
    num_users: int = 60,
    num_products: int = 40,
    num_streamers: int = 5,
    num_buys: int = 600,
    num_follows: int = 100,
    seed: int = 0,
) -> Path:
    """Two tastes: users and products of the same parity meet four times as often."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for name, num in (("users", num_users), ("products", num_products), ("streamers", num_streamers)):
        ids = [f"{name[0]}{i}" for i in range(num)]
        pq.write_table(
            pa.table({"index": list(range(num)), "id": pa.array(ids, pa.string())}),
            folder / f"{name}.parquet",
        )
    users = rng.integers(0, max(num_users, 1), num_buys)
    products = rng.integers(0, max(num_products, 1), num_buys)
    agrees = rng.random(num_buys) < 0.6
    products = np.where(agrees & (products + 1 < num_products), products - products % 2 + users % 2, products)
    write_edges(folder, "buys", users, products)
    followers = rng.integers(0, max(num_users, 1), num_follows)
    streamers = rng.integers(0, max(num_streamers, 1), num_follows)
    write_edges(folder, "follows", followers, streamers)
    sizes = {"user": num_users, "product": num_products, "streamer": num_streamers}
    for relation in ("sells", "watched", "viewed"):
        ends = [rng.integers(0, max(sizes[end], 1), num_follows) for end in COLUMNS[relation][:2]]
        write_edges(folder, relation, *ends)
    manifest = {
        "version": SNAPSHOT_VERSION,
        "positions": [{"shard": 0, "seq": 7, "position": "7-0"}],
        "sha256": f"{seed:064x}",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_edges(
    folder: Path,
    relation: str,
    sources: np.ndarray[tuple[int], np.dtype[np.int64]],
    targets: np.ndarray[tuple[int], np.dtype[np.int64]],
    **values: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> None:
    """The relation's file: each row a day after the one before and counted as its number, or as given."""
    source, target, *names = COLUMNS[relation]
    number = np.arange(len(sources))
    defaults = {name: number * (DAY_MS if name.endswith("_ms") else 1) for name in names}
    columns = {source: sources.astype(np.int32), target: targets.astype(np.int32)} | defaults | values
    pq.write_table(pa.table(columns), folder / f"{relation}.parquet")


def market(folder: Path, **sizes: int) -> Interactions:
    return read_snapshot(write_snapshot(folder / "snapshot", **sizes))


def interactions(pairs: list[tuple[int, int]], *, num_users: int, num_products: int) -> Interactions:
    """Exactly these purchases, and no other relation."""
    users, products = np.array(pairs, np.int64).reshape(-1, 2).T
    return Interactions(
        np.array([f"u{i}" for i in range(num_users)], np.bytes_),
        np.array([f"p{i}" for i in range(num_products)], np.bytes_),
        np.empty(0, "S1"),
        distinct_pairs(users, products),
        *(no_pairs() for _ in range(4)),
    )
