"""What a training learns from: a snapshot, read into frozen arrays."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lsec.core.errors import Untrainable

Rows = NDArray[np.int64]
Ids = NDArray[np.bytes_]
SNAPSHOT_VERSION = 1
VALUES = {"buys": "at_ms", "follows": "at_ms", "sells": "count", "watched": "seconds", "viewed": "count"}
"""What each relation's file tells of a row beside its two ends."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Distinct (source row, target row) pairs, sorted by source and then target.

    counts[E] says how often, or for how many seconds; last_at[E] when last, in epoch milliseconds, 0 where
    that is not known.
    """

    sources: Rows
    targets: Rows
    counts: Rows
    last_at: Rows

    def __len__(self) -> int:
        return len(self.sources)

    def indptr(self, num_sources: int) -> Rows:
        """Where each source's targets start, [num_sources + 1]."""
        degrees = np.bincount(self.sources, minlength=num_sources)
        return np.concatenate([[0], np.cumsum(degrees)])

    def __getitem__(self, index: NDArray[Any]) -> "Pairs":
        """The pairs at these positions; `index` must keep the order."""
        return Pairs(self.sources[index], self.targets[index], self.counts[index], self.last_at[index])


@dataclass(frozen=True, slots=True)
class Interactions:
    """The tripartite graph over dense rows; ids are UTF-8 bytes in row order.

    buys and viewed go from users to products, follows and watched from users to streamers, and sells from
    streamers to products.
    """

    user_ids: Ids
    product_ids: Ids
    streamer_ids: Ids
    buys: Pairs
    follows: Pairs
    sells: Pairs
    watched: Pairs
    viewed: Pairs

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def num_products(self) -> int:
        return len(self.product_ids)

    @property
    def num_streamers(self) -> int:
        return len(self.streamer_ids)

    def popular_order(self) -> Rows:
        """All product rows by number of purchases, most first; a tie goes to the lower row."""
        purchases = np.bincount(self.buys.targets, weights=self.buys.counts, minlength=self.num_products)
        return np.argsort(-purchases, kind="stable")


def distinct_pairs(
    sources: NDArray[np.integer],
    targets: NDArray[np.integer],
    counts: NDArray[np.integer] | None = None,
    at: NDArray[np.integer] | None = None,
) -> Pairs:
    """The distinct pairs; repetitions collapse into the sum of counts (one each) and the latest at."""
    width = int(targets.max(initial=0)) + 1
    keys, place = np.unique(sources.astype(np.int64) * width + targets, return_inverse=True)
    summed, latest = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    np.add.at(summed, place, 1 if counts is None else counts)
    if at is not None:
        np.maximum.at(latest, place, at)
    return Pairs(keys // width, keys % width, summed, latest)


def no_pairs() -> Pairs:
    """No pairs at all."""
    return distinct_pairs(np.empty(0, np.int64), np.empty(0, np.int64))


def read_snapshot(folder: Path) -> Interactions:
    """The snapshot's users, products, streamers, purchases and follows.

    Untrainable when it is damaged, of another version, or has too little to learn from.
    """
    version = read_manifest(folder).get("version")
    if version != SNAPSHOT_VERSION:
        raise Untrainable(f"The snapshot has version {version}, this code reads {SNAPSHOT_VERSION}.")
    ids = {name: _read_ids(folder / f"{name}.parquet") for name in ("users", "products", "streamers")}
    sizes = {name: len(values) for name, values in ids.items()}
    users, products, streamers = sizes["users"], sizes["products"], sizes["streamers"]
    buys = _read_pairs(folder / "buys.parquet", user=users, product=products)
    if not len(buys):
        raise Untrainable("The snapshot holds no purchases.", remedy="Widen the training's scope.")
    if sizes["products"] < 2:
        raise Untrainable(
            f"Ranking needs at least 2 products, the snapshot has {sizes['products']}.",
            remedy="Widen the training's scope.",
        )
    return Interactions(
        ids["users"],
        ids["products"],
        ids["streamers"],
        buys,
        follows=_read_pairs(folder / "follows.parquet", user=users, streamer=streamers),
        sells=_read_pairs(folder / "sells.parquet", streamer=streamers, product=products),
        watched=_read_pairs(folder / "watched.parquet", user=users, streamer=streamers),
        viewed=_read_pairs(folder / "viewed.parquet", user=users, product=products),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The snapshot's manifest."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise Untrainable(f"The snapshot's manifest cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise Untrainable("The snapshot's manifest is not a JSON object.")
    return manifest


def snapshot_sha256(folder: Path) -> str:
    """The snapshot's hash by its manifest."""
    sha256 = read_manifest(folder).get("sha256")
    if not isinstance(sha256, str):
        raise Untrainable("The snapshot's manifest has no sha256.")
    return sha256


def _read_table(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise Untrainable(f"{path.name} of the snapshot cannot be read: {error}") from error


def _read_ids(path: Path) -> Ids:
    ids = [value.encode() for value in _read_table(path, ["id"])["id"].to_pylist()]
    if len(set(ids)) != len(ids):
        raise Untrainable(f"{path.name} of the snapshot names an id twice.")
    return np.array(ids, dtype=np.bytes_) if ids else np.empty(0, "S1")


def _read_pairs(path: Path, **sizes: int) -> Pairs:
    """Distinct pairs of the two columns named, whose rows must lie in [0, size), with count and time."""
    third = VALUES[path.stem]
    table = _read_table(path, [*sizes, third])
    columns = []
    for name, size in sizes.items():
        rows = table[name].to_numpy().astype(np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < size:
            raise Untrainable(f"{path.name} of the snapshot names a {name} row that does not exist.")
        columns.append(rows)
    values = table[third].to_numpy().astype(np.int64)
    return distinct_pairs(*columns, **{"at" if third == "at_ms" else "counts": values})
