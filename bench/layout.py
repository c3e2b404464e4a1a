"""Data sets on disk: the paper's layout with candidate lists, and plain splits for a full ranking.

A set is a folder. In the paper's layout it has `train/`, `val/` and `test/` with tab-separated tables, plain
or gzip; ids may be any text. A plain split has `train.tsv` and `test.tsv`, a `user item` pair a row without
a header.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
from numpy.typing import NDArray

from lsec.client.paper_layout import find_table
from lsec.core.metrics import CandidateLists, candidate_lists
from workers.training.data import Ids, Interactions, Pairs, distinct_pairs, no_pairs


@dataclass(frozen=True, slots=True)
class DataSet:
    """What to train on, and what was held out: candidate lists (val, test), or pairs to find among all."""

    name: str
    train: Interactions
    val: CandidateLists | None = None
    test: CandidateLists | None = None
    test_pairs: Pairs | None = None


def data_sets(folder: Path) -> list[Path]:
    """The sets in this folder, by name."""
    return sorted(path for path in folder.iterdir() if _is_paper_layout(path) or _is_plain_split(path))


def read_set(folder: Path) -> DataSet:
    """The set in this folder; FileNotFoundError when it has neither layout."""
    if _is_plain_split(folder):
        return _read_plain_split(folder)
    if not _is_paper_layout(folder):
        raise FileNotFoundError(f"{folder} has neither train/user.tsv nor train.tsv (each may end in .gz)")
    train = read_layout(folder)
    return DataSet(folder.name, train, read_lists(folder, "val", train), read_lists(folder, "test", train))


def read_layout(folder: Path) -> Interactions:
    """The training part of a folder in the paper's layout; a pair with an id of no table is left out."""
    users, products, streamers = (
        np.sort(_columns(folder / "train", name)[0].distinct) for name in ("user", "item", "streamer")
    )

    def pairs(name: str, sources: Ids, targets: Ids) -> Pairs:
        left, right = _columns(folder / "train", name)[:2]
        return _known_pairs(left.rows(sources), right.rows(targets))

    return Interactions(
        users,
        products,
        streamers,
        buys=pairs("user-item-buy", users, products),
        follows=pairs("user-streamer-follow", users, streamers),
        sells=pairs("streamer-item-sell", streamers, products),
        watched=no_pairs(),
        viewed=no_pairs(),
    )


def read_lists(folder: Path, part: str, train: Interactions) -> CandidateLists:
    """The candidate lists of `val` or `test`, without users and products that the training does not know."""
    users, products, labels = _columns(folder / part, "user-item-buy")
    is_positive = (labels.distinct.astype(np.float64) > 0)[labels.codes]
    user_rows, product_rows = users.rows(train.user_ids), products.rows(train.product_ids)
    known = (user_rows >= 0) & (product_rows >= 0)
    return candidate_lists(user_rows[known], product_rows[known], is_positive[known])


def _read_plain_split(folder: Path) -> DataSet:
    columns = {part: _columns(folder, part, header=False) for part in ("train", "test")}
    users, products = (
        np.unique(np.concatenate([columns[part][i].distinct for part in columns])) for i in range(2)
    )
    buys, held_out = (
        _known_pairs(left.rows(users), right.rows(products)) for left, right, *_ in columns.values()
    )
    nothing = [no_pairs() for _ in range(4)]
    train = Interactions(users, products, np.empty(0, "S1"), buys, *nothing)
    return DataSet(folder.name, train, test_pairs=held_out)


def _known_pairs(sources: NDArray[np.int64], targets: NDArray[np.int64]) -> Pairs:
    known = (sources >= 0) & (targets >= 0)
    return distinct_pairs(sources[known], targets[known])


def _is_paper_layout(folder: Path) -> bool:
    return _exists(folder / "train", "user-item-buy")


def _is_plain_split(folder: Path) -> bool:
    return _exists(folder, "train") and _exists(folder, "test")


def _exists(folder: Path, name: str) -> bool:
    return any((folder / f"{name}.tsv{suffix}").is_file() for suffix in ("", ".gz"))


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column: the value of row r is distinct[codes[r]]."""

    distinct: Ids
    codes: NDArray[np.integer]

    def rows(self, known: Ids) -> NDArray[np.int64]:
        """The place of each value among the sorted known, −1 where it is not there."""
        places = np.minimum(np.searchsorted(known, self.distinct), len(known) - 1)
        rows: NDArray[np.int64] = np.where(known[places] == self.distinct, places, -1)[self.codes]
        return rows


def _columns(folder: Path, name: str, *, header: bool = True) -> list[Column]:
    """The first columns of a table, at most three, as UTF-8 bytes."""
    path = find_table(folder, name)
    options = csv.ReadOptions(autogenerate_column_names=True, skip_rows=int(header))
    separator = csv.ParseOptions(delimiter=_separator(path))
    convert = csv.ConvertOptions(column_types={f"f{i}": pa.binary() for i in range(3)})
    table = csv.read_csv(path, options, separator, convert)
    encoded = [column.combine_chunks().dictionary_encode() for column in table.columns[:3]]
    return [Column(np.array(c.dictionary.to_pylist(), np.bytes_), c.indices.to_numpy()) for c in encoded]


def _separator(path: Path) -> str:
    with pa.input_stream(path, compression="detect") as file:
        line = file.read(4096).split(b"\n")[0]
    return "\t" if b"\t" in line or b" " not in line else " "
