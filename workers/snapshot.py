"""Export a chosen subgraph from Neo4j to a folder of Parquet files with a manifest."""

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import neo4j
import numpy as np
from numpy.typing import NDArray

from lsec.core import durable
from lsec.core.log_positions import LogPosition, seqs_by_shard
from workers.graph import read_rows
from workers.snapshot_ranges import NODES_PER_RANGE, Columns, Rows, read_ranges
from workers.snapshot_tables import EDGES, Table, in_order, new_tables

SNAPSHOT_VERSION = 2
MANIFEST = "manifest.json"
IDS_PER_RANGE = 20_000

Check = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of the graph to export; None or empty means all of it."""

    since: datetime | None = None
    until: datetime | None = None
    categories: tuple[str, ...] = ()
    streamers: tuple[str, ...] = ()
    min_purchases: int = 1

    def parameters(self, *names: str) -> dict[str, Any]:
        """Those of the queries' scope parameters that are named."""
        values: dict[str, Any] = {
            "since_ms": _epoch_ms(self.since),
            "until_ms": _epoch_ms(self.until),
            "categories": list(self.categories) or None,
            "streamers": list(self.streamers) or None,
        }
        return {name: values[name] for name in names}

    def as_json(self) -> dict[str, Any]:
        """The scope as the manifest has it; `scope_of` reads it."""
        moments = {"since": self.since, "until": self.until}
        return asdict(self) | {name: moment and moment.isoformat() for name, moment in moments.items()}


def scope_of(request: Mapping[str, Any]) -> Scope:
    """The scope that a request for a training or a snapshot, or a manifest, names in JSON."""
    moments = {name: request.get(name) for name in ("since", "until")}
    return Scope(
        **{name: None if text is None else datetime.fromisoformat(text) for name, text in moments.items()},
        categories=tuple(request.get("categories") or ()),
        streamers=tuple(request.get("streamers") or ()),
        min_purchases=request.get("min_purchases", 1),
    )


def _epoch_ms(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)


def export_snapshot(
    driver: neo4j.Driver, folder: Path, scope: Scope, *, check: Check = lambda _: None
) -> dict[str, Any]:
    """Write the subgraph of `scope` to `folder`, atomically, and return its manifest.

    Purchases are exactly those of batches up to the manifest's positions; followings and counters may be
    newer by the export's duration. A purchase has its moment, a following that of the last follow, and what
    streamers sell the first and last offer; what users watched and viewed is summed by pair and UTC day.
    Rows are sorted by source and target. Memory grows with the nodes, not with what is between them.
    `check` hears of the share done and may raise to stop.
    A finished snapshot that is there already is kept.
    """
    if folder.exists():
        return read_manifest(folder)
    discard_parts(folder)
    # A name of its own: an exporter that lost its lease must not write into its successor's files.
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    partial.mkdir(parents=True)
    # Before all else: who and what these purchases are of is in the graph by then.
    positions = msgspec.convert(read_rows(driver, "export/positions"), list[LogPosition])
    with new_tables(partial) as tables:
        _Export(driver, scope, tables, check).write(seqs=seqs_by_shard(positions))
        write_manifest(partial, tables, scope=scope.as_json(), positions=positions)
    durable.move_folder(partial, folder)
    return read_manifest(folder)


def discard_parts(folder: Path) -> None:
    """Delete what exports of this snapshot left that were cut off."""
    for part in folder.parent.glob(f".{folder.name}.*.partial"):
        shutil.rmtree(part)


def write_manifest(
    folder: Path, tables: Mapping[str, Table], *, scope: Mapping[str, Any], positions: Sequence[LogPosition]
) -> None:
    """Finish the tables and describe them: with its manifest a folder is a snapshot."""
    files = {table.path.name: table.finish() for table in tables.values()}
    manifest = {
        "version": SNAPSHOT_VERSION,
        "scope": scope,
        "positions": positions,
        "counts": {name: table.num_rows for name, table in tables.items()},
        "files": files,
        "sha256": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
    }
    durable.write_text(folder / MANIFEST, json.dumps(manifest, indent=2))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a snapshot."""
    return dict(json.loads((folder / MANIFEST).read_text()))


@dataclass(frozen=True, slots=True)
class _Export:
    """An export into empty tables: products and streamers first, then users with all that they did."""

    driver: neo4j.Driver
    scope: Scope
    tables: Mapping[str, Table]
    check: Check

    def write(self, *, seqs: list[int]) -> None:
        """Fill the tables with purchases of batches up to these, one a shard, and the rest as it is."""
        bounds = {row["label"]: row["next"] for row in read_rows(self.driver, "export/index_bounds")}
        window = self.scope.parameters("since_ms", "until_ms")
        streamers = self.scope.parameters("streamers")
        targets = {
            "product": self._nodes("products", bounds.get("Product", 0), self.scope.parameters("categories")),
            "streamer": self._nodes("streamers", bounds.get("Streamer", 0), streamers),
        }
        queries = {
            "users": {},
            "buys": {"seqs": seqs, "least_seq": min(seqs), **window, **streamers},
            "follows": streamers,
            "watched": {**window, **streamers},
            "viewed": window,
        }
        num_users = bounds.get("User", 0)
        with closing(read_ranges(self.driver, num_users, queries, size=NODES_PER_RANGE)) as ranges:
            for start, found in ranges:
                self.check(0.9 * start / num_users)
                self._users(start, found, targets)
        num_streamers = bounds.get("Streamer", 0)
        queries = {"sells": streamers}
        with closing(read_ranges(self.driver, num_streamers, queries, size=NODES_PER_RANGE)) as ranges:
            for start, found in ranges:
                self.check(0.9 + 0.1 * start / num_streamers)
                self._edges("sells", found["sells"], targets["streamer"], targets["product"])

    def _nodes(self, name: str, num_nodes: int, parameters: Mapping[str, Any]) -> Rows:
        """Write a table of nodes; the row of each dense index in it, -1 where there is none."""
        rows = np.full(num_nodes, -1, np.int64)
        with closing(read_ranges(self.driver, num_nodes, {name: parameters}, size=IDS_PER_RANGE)) as ranges:
            for _, found in ranges:
                self._append_nodes(name, rows, found[name])
        return rows

    def _append_nodes(self, name: str, rows: Rows, nodes: Columns, *, start: int = 0) -> None:
        """Add nodes to their table in the order of their index, and their rows to `rows` from `start` on."""
        indexes = np.asarray(nodes["indexes"], np.int64)
        order = np.argsort(indexes)
        first = self.tables[name].num_rows
        rows[indexes[order] - start] = np.arange(first, first + len(order))
        ids = nodes["ids"]
        self.tables[name].append({"index": indexes[order], "id": [ids[place] for place in order.tolist()]})

    def _users(self, start: int, found: Mapping[str, Columns], targets: Mapping[str, Rows]) -> None:
        """Write a range of users and what they did, but for those who bought too little in the scope."""
        nodes, buys = found["users"], found["buys"]
        rows = np.full(NODES_PER_RANGE, -1, np.int64)
        if self.scope.min_purchases:
            is_bought = _look_up(targets["product"], buys["products"]) >= 0
            num_bought = np.bincount(buys["users"][is_bought] - start, minlength=NODES_PER_RANGE)
            indexes = nodes["indexes"]
            is_active = num_bought[indexes - start] >= self.scope.min_purchases
            ids = [each for each, is_in in zip(nodes["ids"], is_active.tolist(), strict=True) if is_in]
            nodes = {"indexes": indexes[is_active], "ids": ids}
        self._append_nodes("users", rows, nodes, start=start)
        for name in ("buys", "follows", "watched", "viewed"):
            self._edges(name, found[name], rows, targets[EDGES[name][1]], start=start)

    def _edges(self, name: str, found: Columns, sources: Rows, targets: Rows, *, start: int = 0) -> None:
        """Write the edges whose ends are both in the scope, with their rows in place of their indexes."""
        first, second, *values = found.values()
        source, target = _look_up(sources, first - start), _look_up(targets, second)
        inside = (source >= 0) & (target >= 0)
        columns = [source[inside].astype(np.int32), target[inside].astype(np.int32)]
        columns += [value[inside] for value in values]
        self.tables[name].append(in_order(name, dict(zip(EDGES[name], columns, strict=True))))


def _look_up(rows: Rows, indexes: NDArray[np.int64]) -> Rows:
    """The row of each index; -1 for one that came after `rows` was made."""
    found = np.full(len(indexes), -1, np.int64)
    known = indexes < len(rows)
    found[known] = rows[indexes[known]]
    return found
