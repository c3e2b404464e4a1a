"""Data sets on disk: the paper's layout with candidate lists, and plain splits for a full ranking.

A set is a folder. In the paper's layout it has `train/`, `val/` and `test/` with tab-separated tables, plain
or gzip, whose header names the columns; ids may be any text. A plain split has `train.tsv` and `test.tsv`, a
`user item` pair a row without a header.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
from numpy.typing import NDArray

from lsec.client.paper_layout import find_table
from lsec.core.errors import InvalidInput
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


def data_sets(folder: Path, name: str = "") -> list[Path]:
    """The sets in this folder by name, or the one of this name, which may be the folder itself.

    InvalidInput when there is none, or none of that name.
    """
    is_set = is_data_set(folder)
    if is_set and name in ("", folder.resolve().name):
        return [folder]
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}.", remedy="Give one that has data sets in it.")
    inside = sorted(path for path in folder.iterdir() if is_data_set(path))
    found = [path for path in inside if name in ("", path.name)]
    if found:
        return found
    if not name:
        raise InvalidInput(f"There is no data set in {folder}.", remedy=_LAYOUTS)
    known = ", ".join(path.name for path in inside) or "none"
    raise InvalidInput(f"There is no data set {name} in {folder}; there are: {known}.", remedy=_LAYOUTS)


def is_data_set(folder: Path) -> bool:
    """Whether the folder has either layout, complete or not."""
    return _is_paper_layout(folder) or _is_plain_split(folder)


def read_set(folder: Path) -> DataSet:
    """The set in this folder; InvalidInput when it has neither layout, or a table is missing or damaged."""
    name = folder.resolve().name
    if _is_plain_split(folder):
        return _read_plain_split(folder, name)
    if not _is_paper_layout(folder):
        raise InvalidInput(f"{folder} is no data set.", remedy=_LAYOUTS)
    train = read_layout(folder)
    return DataSet(name, train, read_lists(folder, "val", train), read_lists(folder, "test", train))


def read_layout(folder: Path) -> Interactions:
    """The training part of a folder in the paper's layout; a pair with an id of no table is left out."""
    users, products, streamers = (
        np.sort(_columns(folder / "train", name, name)[0].distinct) for name in ("user", "item", "streamer")
    )

    def pairs(name: str, sources: Ids, targets: Ids) -> Pairs:
        left, right = _columns(folder / "train", name, *name.split("-")[:2])
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
    users, products, labels = _columns(folder / part, "user-item-buy", "user", "item", "value")
    if unknown := sorted(set(labels.distinct.tolist()) - {b"0", b"1"}):
        raise _bad(folder / part / "user-item-buy", f"a value is {unknown[0].decode()!r}, neither 0 nor 1")
    is_positive = (labels.distinct == b"1")[labels.codes]
    user_rows, product_rows = users.rows(train.user_ids), products.rows(train.product_ids)
    known = (user_rows >= 0) & (product_rows >= 0)
    return candidate_lists(user_rows[known], product_rows[known], is_positive[known])


def _read_plain_split(folder: Path, name: str) -> DataSet:
    columns = {part: _columns(folder, part, "f0", "f1", has_header=False) for part in ("train", "test")}
    users, products = (
        np.unique(np.concatenate([columns[part][i].distinct for part in columns])) for i in range(2)
    )
    buys, held_out = (
        _known_pairs(left.rows(users), right.rows(products)) for left, right in columns.values()
    )
    nothing = [no_pairs() for _ in range(4)]
    train = Interactions(users, products, np.empty(0, "S1"), buys, *nothing)
    return DataSet(name, train, test_pairs=held_out)


def _known_pairs(sources: NDArray[np.int64], targets: NDArray[np.int64]) -> Pairs:
    known = (sources >= 0) & (targets >= 0)
    return distinct_pairs(sources[known], targets[known])


_LAYOUTS = "A set has train/user-item-buy.tsv and the like, or train.tsv and test.tsv; each may end in .gz."


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
        if not len(known):
            return np.full(len(self.codes), -1, np.int64)
        places = np.minimum(np.searchsorted(known, self.distinct), len(known) - 1)
        rows: NDArray[np.int64] = np.where(known[places] == self.distinct, places, -1)[self.codes]
        return rows


def _columns(folder: Path, name: str, *columns: str, has_header: bool = True) -> list[Column]:
    """These columns of a table as UTF-8 bytes; without a header they are f0, f1 and so on."""
    path = find_table(folder, name)
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(autogenerate_column_names=not has_header),
            csv.ParseOptions(delimiter=_separator(path), quote_char=False),
            csv.ConvertOptions(include_columns=columns, column_types=dict.fromkeys(columns, pa.binary())),
        )
    except (OSError, pa.ArrowException) as error:
        raise _bad(path, f"it cannot be read: {error}") from error
    encoded = [column.combine_chunks().dictionary_encode() for column in table.columns]
    return [Column(np.array(c.dictionary.to_pylist(), np.bytes_), c.indices.to_numpy()) for c in encoded]


def _bad(path: Path, what: str) -> InvalidInput:
    return InvalidInput(f"{path}: {what}.", file=str(path))


def _separator(path: Path) -> str:
    with pa.input_stream(path, compression="detect") as file:
        line = file.read(4096).split(b"\n")[0]
    return "\t" if b"\t" in line or b" " not in line else " "
