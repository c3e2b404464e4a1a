"""Small random markets, as data and as snapshot folders."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workers.training.data import VALUES, Interactions, distinct_pairs, no_pairs, read_snapshot


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
    _write_edges(folder / "buys.parquet", "user", users, "product", products)
    followers = rng.integers(0, max(num_users, 1), num_follows)
    streamers = rng.integers(0, max(num_streamers, 1), num_follows)
    _write_edges(folder / "follows.parquet", "user", followers, "streamer", streamers)
    for name, (source, target) in {
        "sells": ("streamer", "product"), "watched": ("user", "streamer"), "viewed": ("user", "product")
    }.items():  # fmt: skip
        sizes = {"user": num_users, "product": num_products, "streamer": num_streamers}
        ends = [rng.integers(0, max(sizes[end], 1), num_follows) for end in (source, target)]
        _write_edges(folder / f"{name}.parquet", source, ends[0], target, ends[1])
    manifest = {"version": 1, "positions": [{"shard": 0, "seq": 7}], "sha256": f"{seed:064x}"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _write_edges(
    path: Path,
    source: str,
    sources: np.ndarray[tuple[int], np.dtype[np.int64]],
    target: str,
    targets: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> None:
    columns = {source: sources.astype(np.int32), target: targets.astype(np.int32)}
    pq.write_table(pa.table(columns | {VALUES[path.stem]: np.arange(len(sources))}), path)


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
