"""What a training learns from: a snapshot, read into frozen arrays, with or without the times of its rows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lsec.core.errors import Untrainable
from lsec.core.log_positions import LogPosition

Rows = NDArray[np.int64]
Ids = NDArray[np.bytes_]
SNAPSHOT_VERSION = 2
DAY_MS = 24 * 60 * 60 * 1000
COLUMNS = {
    "buys": ("user", "product", "at_ms"),
    "follows": ("user", "streamer", "at_ms"),
    "sells": ("streamer", "product", "count", "first_at_ms", "last_at_ms"),
    "watched": ("user", "streamer", "seconds", "day_ms"),
    "viewed": ("user", "product", "count", "day_ms"),
}
"""What each relation's file tells of a row: its two ends, how much, and when."""


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

    def without(self, others: "Pairs") -> "Pairs":
        """These pairs but for the others."""
        width = 1 + max(int(pairs.targets.max(initial=0)) for pairs in (self, others))
        ours, theirs = (pairs.sources * width + pairs.targets for pairs in (self, others))
        return self[~np.isin(ours, theirs, assume_unique=True)]

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

    def purchases(self) -> Rows:
        """How often each product was bought, [P]."""
        weights = self.buys.counts
        return np.bincount(self.buys.targets, weights, minlength=self.num_products).astype(np.int64)

    def popular_order(self) -> Rows:
        """All product rows by number of purchases, most first; a tie goes to the lower row."""
        return np.argsort(-self.purchases(), kind="stable")


@dataclass(frozen=True, slots=True)
class Records:
    """The rows of one relation as the snapshot has them: purchases, followings, or counters.

    A counter of what users watched and viewed is of one pair and UTC day, and at[R] is the day's start. Of
    what streamers sell there is one counter for all time, from at[R] to last_at[R]; elsewhere the two are the
    same. In epoch milliseconds.
    """

    sources: NDArray[np.integer]
    targets: NDArray[np.integer]
    counts: Rows
    at: Rows
    last_at: Rows

    def __len__(self) -> int:
        return len(self.sources)

    def where(self, is_kept: NDArray[np.bool_]) -> "Records":
        """The rows for which is_kept[R] holds."""
        ends = self.sources[is_kept], self.targets[is_kept]
        return Records(*ends, self.counts[is_kept], self.at[is_kept], self.last_at[is_kept])

    def pairs(self) -> Pairs:
        """The distinct pairs, with their counts summed."""
        return distinct_pairs(self.sources, self.targets, self.counts, self.last_at)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The tripartite graph with the time of each record: what a split by time needs.

    A snapshot holds what is so when it is taken: followings that have not ended, each with the time when the
    user last followed, and purchases that were not refunded.
    """

    user_ids: Ids
    product_ids: Ids
    streamer_ids: Ids
    buys: Records
    follows: Records
    sells: Records
    watched: Records
    viewed: Records

    def interactions(self) -> Interactions:
        """All of it, with the times folded into each pair's last."""
        relations = (self.buys, self.follows, self.sells, self.watched, self.viewed)
        ids = self.user_ids, self.product_ids, self.streamer_ids
        return Interactions(*ids, *(records.pairs() for records in relations))


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
    """The snapshot's users, products, streamers and relations, without the times of single rows.

    Untrainable when it is damaged, of another version, or has too little to learn from.
    """
    return read_timeline(folder).interactions()


def read_timeline(folder: Path) -> Timeline:
    """The snapshot row by row; Untrainable as in `read_snapshot`."""
    version = read_manifest(folder).get("version")
    if version != SNAPSHOT_VERSION:
        raise Untrainable(f"The snapshot has version {version}, this code reads {SNAPSHOT_VERSION}.")
    ids = {name: _read_ids(folder / f"{name}s.parquet") for name in ("user", "product", "streamer")}
    sizes = {name: len(values) for name, values in ids.items()}
    relations = {name: _read_records(folder, name, sizes) for name in COLUMNS}
    if not len(relations["buys"]):
        raise Untrainable("The snapshot holds no purchases.", remedy="Widen the training's scope.")
    if sizes["product"] < 2:
        raise Untrainable(
            f"Ranking needs at least 2 products, the snapshot has {sizes['product']}.",
            remedy="Widen the training's scope.",
        )
    return Timeline(ids["user"], ids["product"], ids["streamer"], **relations)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The snapshot's manifest."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise Untrainable(f"The snapshot's manifest cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise Untrainable("The snapshot's manifest is not a JSON object.")
    try:
        msgspec.convert(manifest.get("positions"), list[LogPosition] | None)
    except msgspec.ValidationError as error:
        raise Untrainable(f"The positions in the snapshot's manifest cannot be read: {error}") from error
    return manifest


def snapshot_sha256(folder: Path) -> str:
    """The snapshot's hash by its manifest."""
    sha256 = read_manifest(folder).get("sha256")
    if not isinstance(sha256, str):
        raise Untrainable("The snapshot's manifest has no sha256.")
    return sha256


def _read_table(path: Path, columns: Sequence[str], kind: pa.DataType) -> dict[str, NDArray[Any]]:
    """The columns, cast to this kind; a null in one is as bad as a missing column."""
    try:
        table = pq.read_table(path, columns=list(columns))
        found = {name: table[name].cast(kind) for name in columns}
    except (OSError, KeyError, pa.ArrowException) as error:
        raise Untrainable(f"{path.name} of the snapshot cannot be read: {error}") from error
    if nulls := [name for name, column in found.items() if column.null_count]:
        raise Untrainable(f"{path.name} of the snapshot has no value in some rows of {', '.join(nulls)}.")
    return {name: column.to_numpy() for name, column in found.items()}


def _read_ids(path: Path) -> Ids:
    ids = _read_table(path, ["id"], pa.binary())["id"].tolist()
    if len(set(ids)) != len(ids):
        raise Untrainable(f"{path.name} of the snapshot names an id twice.")
    return np.array(ids, dtype=np.bytes_) if ids else np.empty(0, "S1")


def _read_records(folder: Path, relation: str, sizes: dict[str, int]) -> Records:
    """The relation's rows, whose ends must be rows of the node tables with these sizes."""
    path = folder / f"{relation}.parquet"
    table = _read_table(path, COLUMNS[relation], pa.int64())
    source, target, *values = COLUMNS[relation]
    for name in (source, target):
        rows = table[name]
        if len(rows) and not 0 <= rows.min() <= rows.max() < sizes[name]:
            raise Untrainable(f"{path.name} of the snapshot names a {name} row that does not exist.")
    times = [table[name] for name in values if name.endswith("_ms")]
    counts = table[values[0]] if len(values) > 1 else np.ones(len(table[source]), np.int64)
    return Records(table[source], table[target], counts, at=times[0], last_at=times[-1])
