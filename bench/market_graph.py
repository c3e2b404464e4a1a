"""Makes the graph of a simulated market as the ingester would leave it, by Neo4j's own import.

Its labels, relationships, properties and types are the ingester's: a test compares all of a small market that
was made here with the same one ingested.
"""

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.market_rows import Columns, MarketRows
from graph_schema.events import ProductUpserted, StreamerUpserted, UserUpserted
from lsec.local.jars import ensure_jars
from lsec.local.java import jvm_library
from lsec.simulate.columns import NONE
from lsec.simulate.market import DAY_MS, MINUTE_MS, Ints, product_id, streamer_id, user_id

ROWS_AT_ONCE = 100_000
IMPORT_MEMORY = "1G"
OPENED = "--add-opens=java.base/java.nio=ALL-UNNAMED"
EMPTY = '""'
"""An empty text: without quotes it would be none at all."""

Fields = dict[str, tuple[Ints, Callable[[Ints], Iterable[str]]]]
"""The fields of a file by their header, each with its column and how that is written."""


def import_market(market: MarketRows, data_dir: Path) -> None:
    """Make the graph of a stack that has not yet run on the data folder. SystemExit if the import fails."""
    home, folder = data_dir.absolute() / "neo4j", data_dir.absolute() / "import"
    for each in (home, folder):
        each.mkdir(parents=True)
    command = [
        str(jvm_library().parents[2] / "bin" / "java"),
        OPENED,
        "-cp",
        f"{ensure_jars()}/*",
    ]
    command += ["org.neo4j.cli.AdminTool", "database", "import", "full", "neo4j", "--id-type=integer"]
    command += [f"--max-off-heap-memory={IMPORT_MEMORY}", f"--report-file={folder / 'report'}"]
    for label, fields in _nodes(market):
        command.append(f"--nodes={label}={_file(folder, label, fields)}")
    for name, fields in _relationships(market):
        command.append(f"--relationships={name}={_file(folder, name, fields)}")
    places = {"NEO4J_HOME": str(home), "NEO4J_CONF": str(home)}
    done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The import failed: {done.stdout[-2000:]} {done.stderr[-2000:]}")


def _file(folder: Path, name: str, fields: Fields) -> Path:
    path = folder / f"{name}.csv"
    num_rows = len(next(iter(fields.values()))[0])
    with path.open("w") as file:
        file.write(",".join(fields) + "\n")
        for start in range(0, num_rows, ROWS_AT_ONCE):
            texts = (shown(column[start : start + ROWS_AT_ONCE]) for column, shown in fields.values())
            file.writelines(",".join(row) + "\n" for row in zip(*texts, strict=True))
    return path


def _nodes(market: MarketRows) -> Iterator[tuple[str, Fields]]:
    products = [each for each in market.records.values() if isinstance(each, ProductUpserted)]
    users = [each for each in market.records.values() if isinstance(each, UserUpserted)]
    streamers = [each for each in market.records.values() if isinstance(each, StreamerUpserted)]
    yield "User", _records("user", users, user_id)
    yield "Streamer", _records("streamer", streamers, streamer_id)
    of_products: Fields = {
        "price:long": (_column(each.price for each in products), _numbers),
        "in_stock:boolean": (_column(each.in_stock for each in products), _flags),
        "hidden:boolean": (_column(each.hidden for each in products), _flags),
    }
    yield "Product", _records("product", products, product_id) | of_products
    categories = _categories(products)
    yield (
        "Category",
        {
            ":ID(category)": (np.arange(len(categories)), _numbers),
            "id": (np.arange(len(categories)), lambda rows: [categories[row] for row in rows.tolist()]),
        },
    )
    labels = {"User": len(users), "Streamer": len(streamers), "Product": len(products)}
    yield (
        "IndexCounter",
        {
            ":ID(counter)": (np.arange(len(labels)), _numbers),
            "label": (np.arange(len(labels)), lambda rows: [list(labels)[row] for row in rows.tolist()]),
            "next:long": (_column(labels.values()), _numbers),
        },
    )
    yield from _nodes_of_streams(market)
    bought = market.whole["BOUGHT"]
    refunded = {name: column[bought["refunded_at"] != NONE] for name, column in bought.items()}
    yield (
        "Refund",
        {
            ":ID(refund)": (refunded["number"], _numbers),
            "purchase_event_id": (refunded["number"], _ids(f"sim-{market.prefix}-p")),
            "user_id": (refunded["user"], _ids("user-")),
            "at:datetime": (refunded["refunded_at"], _moments),
        },
    )


def _records(space: str, records: Sequence[Any], id_of: Callable[[int], str]) -> Fields:
    rows = np.arange(len(records))
    return {
        f":ID({space})": (rows, _numbers),
        "id": (rows, lambda rows: map(id_of, rows.tolist())),
        "index:long": (rows, _numbers),
        "name": (rows, lambda rows: [records[row].name for row in rows.tolist()]),
        "record_at:datetime": (_column(each.at_ms for each in records), _moments),
        "record_event_id": (rows, lambda rows: [records[row].event_id for row in rows.tolist()]),
    }


def _nodes_of_streams(market: MarketRows) -> Iterator[tuple[str, Fields]]:
    streams, minutes = market.whole["Stream"], _of_days(market, "Minute")
    ids = _ids(f"stream-{market.prefix}-")
    yield (
        "Stream",
        {
            ":ID(stream)": (streams["stream"], _numbers),
            "id": (streams["stream"], ids),
            "started_at:datetime": (streams["started_at"], _moments),
            "ended_at:datetime": (streams["ended_at"], _moments),
        },
    )
    yield (
        "Minute",
        {
            ":ID(minute)": (np.arange(len(minutes["minute"])), _numbers),
            "stream_id": (minutes["stream"], ids),
            "at:datetime": (minutes["minute"] * MINUTE_MS, _moments),
            "num_joined:long": (minutes["joined"], _numbers),
            "num_views:long": (minutes["viewed"], _numbers),
            "num_carts:long": (minutes["carted"], _numbers),
            "num_purchases:long": (minutes["bought"], _numbers),
        },
    )


def _relationships(market: MarketRows) -> Iterator[tuple[str, Fields]]:
    products = [each for each in market.records.values() if isinstance(each, ProductUpserted)]
    kinds = [(row, each) for row, product in enumerate(products) for each in product.categories]
    categories = {each: row for row, each in enumerate(_categories(products))}
    of_products = {
        "product": _column(row for row, _ in kinds),
        "category": _column(categories[each] for _, each in kinds),
    }
    yield "IN", _between(of_products, "product", "category")
    streams, minutes = market.whole["Stream"], _of_days(market, "Minute")
    yield "HOSTED", _between(streams, "streamer", "stream")
    numbers = {"minute": np.arange(len(minutes["stream"]))}
    yield "HAS_MINUTE", _between({"stream": minutes["stream"]} | numbers, "stream", "minute")
    stream_ids = _ids(f"stream-{market.prefix}-")
    for name, sums in (("WATCHED", ("seconds",)), ("ENGAGED", ("comments", "likes", "gifts", "shares"))):
        rows = _of_days(market, name)
        yield (
            name,
            _between(rows, "user", "streamer")
            | {"stream_id": (rows["stream"], stream_ids)}
            | _counts(rows, *sums),
        )
    for name in ("VIEWED", "CARTED"):
        rows = _of_days(market, name)
        yield name, _between(rows, "user", "product") | _place(market, rows) | _counts(rows, "count")
    for name in ("FOLLOWS", "UNFOLLOWED"):
        rows = market.whole[name]
        yield name, _between(rows, "user", "streamer") | {"at:datetime": (rows["at"], _moments)}
    for name, start in (("SELLS", "streamer"), ("SHOWCASED", "stream")):
        rows = market.whole[name]
        yield name, _between(rows, start, "product") | _counts(rows, "count", has_day=False)
    yield "BOUGHT", _purchases(market, market.whole["BOUGHT"])


def _purchases(market: MarketRows, rows: Columns) -> Fields:
    one = np.ones(len(rows["at"]), dtype=np.int64)
    return {
        **_between(rows, "user", "product"),
        **_place(market, rows),
        "at:datetime": (rows["at"], _moments),
        "event_id": (rows["number"], _ids(f"sim-{market.prefix}-p")),
        "quantity:long": (rows["count"], _numbers),
        "amount:long": (rows["amount"], _numbers),
        "refunded_at:datetime": (rows["refunded_at"], _moments),
        "seq:long": (one, _numbers),
        "shard:long": (one - 1, _numbers),
    }


def _place(market: MarketRows, rows: Columns) -> Fields:
    return {
        "streamer_id": (rows["streamer"], _ids("streamer-")),
        "stream_id": (rows["stream"], _ids(f"stream-{market.prefix}-")),
    }


def _counts(rows: Columns, *sums: str, has_day: bool = True) -> Fields:
    day: Fields = {"day:date": (rows["first_at"], _dates)} if has_day else {}
    counts: Fields = {f"{name}:long": (rows[name], _numbers) for name in sums}
    return day | counts | {f"{name}:datetime": (rows[name], _moments) for name in ("first_at", "last_at")}


def _between(rows: Columns, start: str, end: str) -> Fields:
    return {
        f":START_ID({start})": (rows[start], _numbers),
        f":END_ID({end})": (rows[end], _numbers),
    }


def _of_days(market: MarketRows, name: str) -> Columns:
    days = [day[name] for day in market.days]
    return {column: np.concatenate([day[column] for day in days]) for column in days[0]}


def _categories(products: Iterable[ProductUpserted]) -> list[str]:
    return sorted({category for product in products for category in product.categories})


def _column(values: Iterable[int]) -> Ints:
    return np.fromiter(values, dtype=np.int64)


def _numbers(column: Ints) -> Iterable[str]:
    return map(str, column.tolist())


def _flags(column: Ints) -> Iterable[str]:
    return ["true" if value else "false" for value in column.tolist()]


def _moments(column: Ints) -> Iterable[str]:
    """ISO 8601; nothing for NONE."""
    texts = np.datetime_as_string(column.astype("datetime64[ms]"), timezone="UTC")
    return np.where(column == NONE, "", texts).tolist()  # type: ignore[no-any-return]  # texts


def _dates(column: Ints) -> Iterable[str]:
    texts: list[str] = np.datetime_as_string((column // DAY_MS).astype("datetime64[D]")).tolist()
    return texts


def _ids(prefix: str) -> Callable[[Ints], Iterable[str]]:
    """Ids of rows; the empty text for NONE."""
    return lambda column: [f"{prefix}{row}" if row != NONE else EMPTY for row in column.tolist()]
