"""Writes a snapshot's tables row group by row group, so that none is ever whole in memory."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lsec.core import durable

ROWS_PER_GROUP = 128 * 1024
MAX_KEY = 2**62
DAY_MS = 24 * 60 * 60 * 1000

Rows = NDArray[np.int64]
Columns = Mapping[str, NDArray[np.integer]]

NODES = ("users", "products", "streamers")
EDGES = {
    "buys": ("user", "product", "at_ms"),
    "follows": ("user", "streamer", "at_ms"),
    "sells": ("streamer", "product", "count", "first_at_ms", "last_at_ms"),
    "watched": ("user", "streamer", "seconds", "day_ms"),
    "viewed": ("user", "product", "count", "day_ms"),
}
"""Each relation's columns: its ends as rows of the tables of nodes, how much, and when."""
SUMMED = {"watched": "seconds", "viewed": "count"}
"""What is summed by pair and day."""
_NODE_SCHEMA = pa.schema([("index", pa.int64()), ("id", pa.string())])


class Table:
    """A Parquet file that grows; rows wait until there are enough for a group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.num_rows = 0
        self._schema = schema
        # Ids differ and numbers hardly repeat: a dictionary of them would only cost time.
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False)
        self._waiting: list[pa.RecordBatch] = []
        self._num_waiting = 0

    def append(self, columns: Mapping[str, object]) -> None:
        """Add these rows: columns of one length, by name."""
        arrays = [pa.array(columns[field.name], field.type) for field in self._schema]
        batch = pa.record_batch(arrays, schema=self._schema)
        self._waiting.append(batch)
        self._num_waiting += batch.num_rows
        self.num_rows += batch.num_rows
        if self._num_waiting >= ROWS_PER_GROUP:
            self._write()

    def _write(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema))
        self._waiting, self._num_waiting = [], 0

    def finish(self) -> str:
        """Have the file on the disk; its SHA-256."""
        if self._waiting or not self.num_rows:
            self._write()
        self._writer.close()
        durable.sync(self.path)
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def close(self) -> None:
        """Give the file up, or nothing if it is finished."""
        self._writer.close()


@contextmanager
def new_tables(folder: Path) -> Iterator[dict[str, Table]]:
    """All tables of a snapshot by name, empty, with their files in `folder`."""
    schemas = dict.fromkeys(NODES, _NODE_SCHEMA) | {name: edge_schema(name) for name in EDGES}
    with ExitStack() as stack:
        tables = {}
        for name, schema in schemas.items():
            tables[name] = Table(folder / f"{name}.parquet", schema)
            stack.callback(tables[name].close)
        yield tables


def edge_schema(name: str) -> pa.Schema:
    """Of a relation's table: rows of nodes have 32 bits, numbers and times 64."""
    kinds = [pa.int32(), pa.int32()] + [pa.int64()] * (len(EDGES[name]) - 2)
    return pa.schema(list(zip(EDGES[name], kinds, strict=True)))


def in_order(name: str, columns: Columns) -> Columns:
    """The relation's rows sorted by source, target, time and amount; what is summed by day is summed."""
    source, target, *others = EDGES[name]
    times = [column for column in others if column.endswith("_ms")]
    keys = [source, target, *times]
    if amount := SUMMED.get(name):
        columns = _summed(columns, keys, amount)
    else:
        keys += [column for column in others if column not in times]
        columns = _at(columns, _order([columns[key] for key in keys]))
    return columns


def _summed(columns: Columns, keys: Sequence[str], amount: str) -> Columns:
    """One row for each key, in the keys' order, with the sum of the amounts; moments become their days."""
    columns = {**columns, "day_ms": columns["day_ms"] // DAY_MS * DAY_MS}
    columns = _at(columns, _order([columns[key] for key in keys]))
    num_rows = len(columns[amount])
    if not num_rows:
        return columns
    is_first = np.zeros(num_rows, np.bool_)
    is_first[0] = True
    for key in keys:
        is_first[1:] |= columns[key][1:] != columns[key][:-1]
    first = np.flatnonzero(is_first)
    return {**_at(columns, first), amount: np.add.reduceat(columns[amount], first)}


def _at(columns: Columns, places: NDArray[np.intp]) -> dict[str, NDArray[np.integer]]:
    return {name: column[places] for name, column in columns.items()}


def _order(keys: Sequence[NDArray[np.integer]]) -> NDArray[np.intp]:
    """The places of rows in ascending order of these keys, the first one foremost.

    Keys are joined into as few numbers as hold them: that is what sorting takes time by.
    """
    joined: list[Rows] = []
    width = MAX_KEY
    for key in reversed(keys):
        if not len(key):
            return np.empty(0, np.intp)
        low = int(key.min())
        span = int(key.max()) - low + 1
        offset = key.astype(np.int64) - low
        if width * span < MAX_KEY:
            joined[-1] += offset * width
            width *= span
        else:
            joined.append(offset)
            width = span
    return np.argsort(joined[0]) if len(joined) == 1 else np.lexsort(joined)
