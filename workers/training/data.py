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


@dataclass(frozen=True, slots=True)
class Pairs:
    """Distinct (source row, target row) pairs, sorted by source and then target; counts[E] says how often."""

    sources: Rows
    targets: Rows
    counts: Rows

    def __len__(self) -> int:
        return len(self.sources)

    def indptr(self, num_sources: int) -> Rows:
        """Where each source's targets start, [num_sources + 1]."""
        degrees = np.bincount(self.sources, minlength=num_sources)
        return np.concatenate([[0], np.cumsum(degrees)])

    def __getitem__(self, index: NDArray[Any]) -> "Pairs":
        """The pairs at these positions; `index` must keep the order."""
        return Pairs(self.sources[index], self.targets[index], self.counts[index])


@dataclass(frozen=True, slots=True)
class Interactions:
    """Purchases and follows over dense rows; ids are UTF-8 bytes in row order."""

    user_ids: Ids
    product_ids: Ids
    streamer_ids: Ids
    buys: Pairs
    follows: Pairs

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


def distinct_pairs(sources: NDArray[np.integer], targets: NDArray[np.integer]) -> Pairs:
    """The distinct pairs; repetitions collapse into their count."""
    width = int(targets.max(initial=0)) + 1
    keys, counts = np.unique(sources.astype(np.int64) * width + targets, return_counts=True)
    return Pairs(keys // width, keys % width, counts.astype(np.int64))


def read_snapshot(folder: Path) -> Interactions:
    """The snapshot's users, products, streamers, purchases and follows.

    Untrainable when it is damaged, of another version, or has too little to learn from.
    """
    version = read_manifest(folder).get("version")
    if version != SNAPSHOT_VERSION:
        raise Untrainable(f"The snapshot has version {version}, this code reads {SNAPSHOT_VERSION}.")
    ids = {name: _read_ids(folder / f"{name}.parquet") for name in ("users", "products", "streamers")}
    sizes = {name: len(values) for name, values in ids.items()}
    buys = _read_pairs(folder / "buys.parquet", user=sizes["users"], product=sizes["products"])
    follows = _read_pairs(folder / "follows.parquet", user=sizes["users"], streamer=sizes["streamers"])
    if not len(buys):
        raise Untrainable("The snapshot holds no purchases.", remedy="Widen the training's scope.")
    if sizes["products"] < 2:
        raise Untrainable(
            f"Ranking needs at least 2 products, the snapshot has {sizes['products']}.",
            remedy="Widen the training's scope.",
        )
    return Interactions(ids["users"], ids["products"], ids["streamers"], buys, follows)


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
    """Distinct pairs of the two columns named, whose rows must lie in [0, size)."""
    table = _read_table(path, list(sizes))
    columns = []
    for name, size in sizes.items():
        rows = table[name].to_numpy().astype(np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < size:
            raise Untrainable(f"{path.name} of the snapshot names a {name} row that does not exist.")
        columns.append(rows)
    return distinct_pairs(*columns)
