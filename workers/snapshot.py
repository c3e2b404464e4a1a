"""Export a chosen subgraph from Neo4j to a folder of Parquet files with a manifest."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import neo4j
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lsec.core import durable
from workers.graph import read_rows

SNAPSHOT_VERSION = 2
NODES_PER_CHUNK = 2_000
IDS_PER_CHUNK = 20_000

EDGES = {
    "buys": {"user": "users", "product": "products", "at_ms": "at_ms"},
    "follows": {"user": "users", "streamer": "streamers", "at_ms": "at_ms"},
    "sells": {
        "streamer": "streamers",
        "product": "products",
        "count": "counts",
        "first_at_ms": "first_at_ms",
        "last_at_ms": "last_at_ms",
    },
    "watched": {"user": "users", "streamer": "streamers", "seconds": "seconds", "day_ms": "day_ms"},
    "viewed": {"user": "users", "product": "products", "count": "counts", "day_ms": "day_ms"},
}
"""Each relation's columns in the snapshot, and those of its query that they come from; the ends are first."""

Rows = NDArray[np.int64]
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


def _epoch_ms(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)


def export_snapshot(
    driver: neo4j.Driver, folder: Path, scope: Scope, *, check: Check = lambda _: None
) -> dict[str, Any]:
    """Write the subgraph of `scope` to `folder`, atomically, and return its manifest.

    Purchases are exactly those of batches up to the manifest's positions; followings and counters may be
    newer by the export's duration. A purchase has its moment, a following that of the last follow, and what
    streamers sell the first and last offer; what users watched and viewed is summed by pair and UTC day.
    `check` hears of the share done and may raise to stop.
    A finished snapshot that is there already is kept.
    """
    if folder.exists():
        return _read_manifest(folder)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    positions = read_rows(driver, "export/positions")
    tables = _read_tables(driver, scope, _seqs(positions), check)
    files = {}
    for name, table in tables.items():
        path = partial / f"{name}.parquet"
        pq.write_table(table, path, compression="zstd")
        durable.sync(path)
        files[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = {
        "version": SNAPSHOT_VERSION,
        "scope": {
            **asdict(scope),
            "since": scope.since and scope.since.isoformat(),
            "until": scope.until and scope.until.isoformat(),
        },
        "positions": positions,
        "counts": {name: table.num_rows for name, table in tables.items()},
        "files": files,
        "sha256": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
    }
    durable.write_text(partial / "manifest.json", json.dumps(manifest, indent=2))
    durable.move_folder(partial, folder)
    return _read_manifest(folder)


def _read_manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


def _seqs(positions: list[dict[str, Any]]) -> list[int]:
    """The last batch of each shard, at the shard's index; 0 where a shard has none yet."""
    seqs = [0] * (max((p["shard"] for p in positions), default=0) + 1)
    for position in positions:
        seqs[position["shard"]] = position["seq"]
    return seqs


def _read_tables(driver: neo4j.Driver, scope: Scope, seqs: list[int], check: Check) -> dict[str, pa.Table]:
    bounds = {row["label"]: row["next"] for row in read_rows(driver, "export/index_bounds")}
    num_users, num_streamers, num_products = (bounds.get(k, 0) for k in ("User", "Streamer", "Product"))
    by_user = _Reader(driver, num_users, check)
    window = scope.parameters("since_ms", "until_ms")
    only_streamers = scope.parameters("streamers")
    scoped = {**window, **only_streamers}
    # Edges before nodes: a node that comes meanwhile is then known, and one without edges does no harm.
    edges = {
        "buys": by_user.edges("buys", (0.0, 0.4), seqs=seqs, **scope.parameters("categories"), **scoped),
        "follows": by_user.edges("follows", (0.4, 0.5), **only_streamers),
        "watched": by_user.edges("watched", (0.5, 0.7), **scoped),
        "viewed": by_user.edges("viewed", (0.7, 0.8), **window),
        "sells": _Reader(driver, num_streamers, check).edges("sells", (0.8, 0.9), **only_streamers),
    }
    users = _nodes(driver, "users", num_users)
    products = _nodes(driver, "products", num_products, **scope.parameters("categories"))
    streamers = _nodes(driver, "streamers", num_streamers)
    if scope.streamers:
        streamers = {i: name for i, name in streamers.items() if name in set(scope.streamers)}
    users = _active(users, edges["buys"][0], scope.min_purchases)
    check(0.95)
    nodes = {"user": users, "product": products, "streamer": streamers}
    rows = {kind: _row_of(ids) for kind, ids in nodes.items()}
    return {f"{kind}s": _node_table(ids) for kind, ids in nodes.items()} | {
        name: _edge_table(edges[name], EDGES[name], rows) for name in EDGES
    }


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads edges by ranges of their source's dense index, so that no record grows without bound."""

    driver: neo4j.Driver
    num_nodes: int
    check: Check

    def edges(self, name: str, share: tuple[float, float], **parameters: Any) -> list[Rows]:
        """The query's columns, one array each, with `share` of the export's progress on the way."""
        parts: list[list[Rows]] = [[np.empty(0, np.int64)] for _ in EDGES[name]]
        for start in range(0, self.num_nodes, NODES_PER_CHUNK):
            self.check(share[0] + (share[1] - share[0]) * start / self.num_nodes)
            [row] = read_rows(
                self.driver, f"export/{name}", start=start, stop=start + NODES_PER_CHUNK, **parameters
            )
            for part, column in zip(parts, EDGES[name].values(), strict=True):
                part.append(np.asarray(row[column], dtype=np.int64))
        return [np.concatenate(part) for part in parts]


def _nodes(driver: neo4j.Driver, name: str, num_nodes: int, **parameters: Any) -> dict[int, str]:
    """Dense index → id, in the order of the index."""
    nodes: dict[int, str] = {}
    for start in range(0, num_nodes, IDS_PER_CHUNK):
        [row] = read_rows(driver, f"export/{name}", start=start, stop=start + IDS_PER_CHUNK, **parameters)
        nodes.update(zip(row["indexes"], row["ids"], strict=True))
    return dict(sorted(nodes.items()))


def _active(users: dict[int, str], buyers: Rows, min_purchases: int) -> dict[int, str]:
    if min_purchases == 0:
        return users
    indexes, counts = np.unique(buyers, return_counts=True)
    active = set(indexes[counts >= min_purchases].tolist())
    return {index: name for index, name in users.items() if index in active}


def _row_of(nodes: dict[int, str]) -> Rows:
    """Row of each dense index in the node table; -1 where the node is not in the scope."""
    rows = np.full(max(nodes, default=-1) + 1, -1, dtype=np.int64)
    rows[np.fromiter(nodes, dtype=np.int64, count=len(nodes))] = np.arange(len(nodes))
    return rows


def _node_table(nodes: dict[int, str]) -> pa.Table:
    return pa.table(
        {"index": pa.array(list(nodes), pa.int64()), "id": pa.array(list(nodes.values()), pa.string())}
    )


def _edge_table(edges: list[Rows], columns: Mapping[str, str], rows: Mapping[str, Rows]) -> pa.Table:
    """The edges whose ends are both in the scope, with the ends' rows in place of their indexes, sorted."""
    kinds = list(columns)[:2]
    source, target = (_look_up(rows[kind], edge) for kind, edge in zip(kinds, edges[:2], strict=True))
    inside = (source >= 0) & (target >= 0)
    values = [value[inside] for value in edges[2:]]
    ends = [source[inside].astype(np.int32), target[inside].astype(np.int32)]
    arrays: list[NDArray[np.integer]] = [*ends, *values]
    order = np.lexsort(arrays[::-1])
    return pa.table({name: pa.array(each[order]) for name, each in zip(columns, arrays, strict=True)})


def _look_up(rows: Rows, indexes: Rows) -> Rows:
    found = np.full(len(indexes), -1, dtype=np.int64)
    known = indexes < len(rows)
    found[known] = rows[indexes[known]]
    return found
