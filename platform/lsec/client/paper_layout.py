"""Reads a folder in the layout of the paper's code as events, and its candidate lists.

    train/user.tsv            user                 user.upserted
    train/streamer.tsv        streamer             streamer.upserted
    train/item.tsv            item                 product.upserted
    train/user-streamer-follow.tsv  user streamer  user.followed
    train/streamer-item-sell.tsv    streamer item  product.showcased
    train/user-item-buy.tsv         user item      user.bought
    test/user-item-buy.tsv    user item value      candidates, value 1 where the user bought

Files are tab-separated with a header, plain or gzip (`….tsv.gz`). Further columns are read over.
"""

import gzip
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

from graph_schema.events import (
    Event,
    ProductShowcased,
    ProductUpserted,
    StreamerUpserted,
    UserBought,
    UserFollowed,
    UserUpserted,
)
from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.core.errors import InvalidInput

FIRST_AT = datetime(2021, 1, 1, tzinfo=UTC)
PERIOD_S = 360 * 86_400
"""Rows have no time: each gets one in these days from `FIRST_AT`, by a hash of its content."""

Make = Callable[[tuple[str, ...], str, datetime], Event]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product in a user's evaluation list, and whether the user bought it."""

    user_id: str
    product_id: str
    is_positive: bool


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: tuple[str, ...]
    make: Make


def _user(row: tuple[str, ...], event_id: str, at: datetime) -> Event:
    return UserUpserted(event_id=event_id, at=at, user_id=row[0])


def _streamer(row: tuple[str, ...], event_id: str, at: datetime) -> Event:
    return StreamerUpserted(event_id=event_id, at=at, streamer_id=row[0])


def _product(row: tuple[str, ...], event_id: str, at: datetime) -> Event:
    return ProductUpserted(event_id=event_id, at=at, product_id=row[0])


def _follow(row: tuple[str, ...], event_id: str, at: datetime) -> Event:
    return UserFollowed(event_id=event_id, at=at, user_id=row[0], streamer_id=row[1])


def _sell(row: tuple[str, ...], event_id: str, at: datetime) -> Event:
    return ProductShowcased(event_id=event_id, at=at, streamer_id=row[0], product_id=row[1])


def _buy(row: tuple[str, ...], event_id: str, at: datetime) -> Event:
    return UserBought(event_id=event_id, at=at, user_id=row[0], product_id=row[1])


_TABLES = (
    _Table("user", ("user",), _user),
    _Table("streamer", ("streamer",), _streamer),
    _Table("item", ("item",), _product),
    _Table("user-streamer-follow", ("user", "streamer"), _follow),
    _Table("streamer-item-sell", ("streamer", "item"), _sell),
    _Table("user-item-buy", ("user", "item"), _buy),
)


def read_training_part(folder: Path) -> Iterator[Event]:
    """The events of `train/` and of nothing else, in the order of the files.

    Event ids and times come from the rows' content, so reading the folder again gives the same events;
    a row that a file holds twice is two events. All six files are looked for before the first event.
    InvalidInput, with file and line, if a file is missing or is not in this layout.
    """
    paths = [find_table(folder / "train", table.name) for table in _TABLES]
    for table, path in zip(_TABLES, paths, strict=True):
        times_seen: Counter[tuple[str, ...]] = Counter()
        for _, row in _rows(path, table.columns):
            times_seen[row] += 1
            event_id, at = _identity(table.name, row, times_seen[row])
            yield table.make(row, event_id, at)


def count_training_rows(folder: Path) -> int:
    """How many events `read_training_part` gives, for a progress bar."""
    return sum(1 for table in _TABLES for _ in _rows(find_table(folder / "train", table.name), table.columns))


def read_candidates(path: Path) -> Iterator[Candidate]:
    """The rows of a candidate list; InvalidInput, with file and line, if it is not one."""
    if not path.is_file():
        raise InvalidInput(
            f"There is no file {path}.", remedy="Give a list such as DIR/test/user-item-buy.tsv.gz."
        )
    for number, (user, product, value) in _rows(path, ("user", "item", "value")):
        if value not in ("0", "1"):
            raise _bad(path, number, f"the value is {value!r}, where 0 or 1 was expected")
        yield Candidate(user, product, value == "1")


def find_table(folder: Path, name: str) -> Path:
    """The plain or gzip file of a table; InvalidInput if there is neither."""
    for candidate in (folder / f"{name}.tsv", folder / f"{name}.tsv.gz"):
        if candidate.is_file():
            return candidate
    raise InvalidInput(
        f"There is no {name}.tsv or {name}.tsv.gz in {folder}.",
        remedy="Give the folder that has train/ in it, in the paper's layout.",
        file=str(folder / f"{name}.tsv"),
    )


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line numbers and the asked columns of each row."""
    try:
        with _open(path) as lines:
            header = next(lines, "").rstrip("\r\n").split("\t")
            missing = [column for column in columns if column not in header]
            if missing:
                raise _bad(
                    path, 1, f"the header is {header}, where the columns {list(columns)} were expected"
                )
            places = [header.index(column) for column in columns]
            for number, line in enumerate(lines, start=2):
                values = line.rstrip("\r\n").split("\t")
                if len(values) != len(header):
                    raise _bad(path, number, f"{len(values)} columns, where the header has {len(header)}")
                row = tuple(values[place] for place in places)
                _check_ids(path, number, row)
                yield number, row
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", file=str(path)) from error


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="\n")
    return path.open(encoding="utf-8", newline="\n")


def _check_ids(path: Path, number: int, row: tuple[str, ...]) -> None:
    for value in row:
        if not value or len(value) > MAX_ID_LENGTH or not value.isprintable() or " " in value:
            shown = value if len(value) <= 40 else f"{value[:40]}…"
            raise _bad(path, number, f"{shown!r} is no id: 1 to {MAX_ID_LENGTH} characters, no white space")


def _identity(table: str, row: tuple[str, ...], repetition: int) -> tuple[str, datetime]:
    digest = hashlib.sha256("\t".join((table, *row, str(repetition))).encode()).digest()
    at = FIRST_AT + timedelta(seconds=int.from_bytes(digest[-8:]) % PERIOD_S)
    return f"paper-{table}-{digest[:12].hex()}", at


def _bad(path: Path, number: int, what: str) -> InvalidInput:
    return InvalidInput(f"{path}, line {number}: {what}.", file=str(path), line=number)
