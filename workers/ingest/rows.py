"""The rows of each Cypher statement for a batch, sorted by key: shards then lock in one order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graph_schema.events import StreamerUpserted, UserUpserted, epoch_ms
from workers.ingest.aggregate import Batch, Counter

Row = dict[str, Any]

_USER_STREAMER_DAY = ("users", "streamers", "stream_ids", "days")
_USER_PRODUCT_DAY = ("users", "products", "streamer_ids", "stream_ids", "days")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement by name and its one parameter, `$batch`: `rows`, and the tables that they refer to.

    Rows are short lists that begin with places in the tables: an id is sent once and its node looked up
    once, however many rows name it. That halves what a row costs. One parameter, a map, since Neo4j plans
    a statement anew for each order of magnitude of each list that is a parameter by itself.
    """

    name: str
    batch: dict[str, Any]

    @property
    def num_rows(self) -> int:
        return len(self.batch["rows"])


class _Places(dict[Any, int]):
    """Values in order of their first use; looking one up gives its place."""

    def __missing__(self, value: Any) -> int:
        place = self[value] = len(self)
        return place


def record_statements(batch: Batch) -> list[Statement]:
    """The statements for all but watching, refunds, purchases and minutes, which have an order.

    Those without rows are left out.
    """
    follows, unfollows = _follow_columns(batch, unfollow=False), _follow_columns(batch, unfollow=True)
    statements = [
        _statement("merge_follows", ("users", "streamers"), *follows),
        _statement("merge_unfollows", ("users", "streamers"), *unfollows),
        _counters("merge_engaged", _USER_STREAMER_DAY, batch.engaged),
        _counters("merge_viewed", _USER_PRODUCT_DAY, batch.viewed),
        _counters("merge_carted", _USER_PRODUCT_DAY, batch.carted),
        _impressions(batch),
        _statement(
            "merge_dismissed",
            ("users", "products"),
            sorted(batch.dismissed),
            [(batch.dismissed[key],) for key in sorted(batch.dismissed)],
        ),
        _plain("merge_hosted", _hosted_rows(batch)),
        _counters("merge_sells", ("streamers", "products"), batch.sells),
        _counters("merge_showcased", ("streams", "products"), batch.showcased),
        _plain("upsert_products", _product_rows(batch)),
        _plain("upsert_users", _name_rows(batch.user_records)),
        _plain("upsert_streamers", _name_rows(batch.streamer_records)),
    ]
    return [statement for statement in statements if statement.num_rows]


def watched(batch: Batch) -> Statement:
    """Watching, which tells the minutes who joined."""
    return _counters("merge_watched", _USER_STREAMER_DAY, batch.watched)


def refunds(batch: Batch) -> Statement:
    """Refunds."""
    rows = [
        {"purchase_event_id": purchase_event_id, "user_id": refund.user_id, "at": refund.at_ms}
        for purchase_event_id, refund in sorted(batch.refunds.items())
    ]
    return _plain("merge_refunds", rows)


def purchases(batch: Batch) -> Statement:
    """Purchases, known ones too: the statement leaves them alone."""
    bought = [batch.purchases[event_id] for event_id in sorted(batch.purchases)]
    return _statement(
        "create_purchases",
        ("users", "products", "streamer_ids", "stream_ids"),
        [(each.user_id, each.product_id, each.streamer_id, each.stream_id) for each in bought],
        [(each.event_id, each.quantity, each.amount, each.at_ms) for each in bought],
    )


def minutes(of_batch: Mapping[tuple[str, int], list[int]]) -> Statement:
    """The minutes of streams."""
    items = sorted(of_batch.items())
    return _statement(
        "merge_minutes",
        ("streams",),
        [(stream_id,) for (stream_id, _), _ in items],
        [(at, *counts) for (_, at), counts in items],
    )


def _counters(name: str, tables: tuple[str, ...], counter: Counter) -> Statement:
    keys = sorted(counter)
    return _statement(name, tables, keys, [counter[key] for key in keys])


def _impressions(batch: Batch) -> Statement:
    keys = sorted(batch.impressed)
    values = [
        (count, batch.min_positions[key], first_at, last_at)
        for key in keys
        for count, first_at, last_at in (batch.impressed[key],)
    ]
    return _statement("merge_impressed", ("users", "products", "release_ids", "days"), keys, values)


def _statement(
    name: str, tables: tuple[str, ...], keys: Sequence[tuple[Any, ...]], values: Sequence[Sequence[Any]]
) -> Statement:
    """Rows of each key's places in the tables, then its values."""
    places = [_Places() for _ in tables]
    columns = [
        [of_table[part] for part in column]
        for of_table, column in zip(places, zip(*keys, strict=True), strict=False)
    ]
    columns += map(list, zip(*values, strict=True))
    named = {table: list(of_table) for table, of_table in zip(tables, places, strict=True)}
    return Statement(f"ingest/{name}", {**named, "rows": list(map(list, zip(*columns, strict=True)))})


def _plain(name: str, rows: list[Row]) -> Statement:
    return Statement(f"ingest/{name}", {"rows": rows})


def _follow_columns(batch: Batch, *, unfollow: bool) -> tuple[list[tuple[str, str]], list[tuple[int]]]:
    states = [(key, at) for key, (at, is_unfollow) in batch.follow_states.items() if is_unfollow == unfollow]
    states.sort()
    return [key for key, _ in states], [(at,) for _, at in states]


def _hosted_rows(batch: Batch) -> list[Row]:
    return [
        {"streamer_id": streamer_id, "stream_id": stream_id, "started_at": started_at, "ended_at": ended_at}
        for (streamer_id, stream_id), (started_at, ended_at) in sorted(batch.hosted.items())
    ]


def _product_rows(batch: Batch) -> list[Row]:
    return [
        {
            "id": product_id,
            "at": record.at_ms,
            "event_id": record.event_id,
            "name": record.name,
            "price": record.price,
            "in_stock": record.in_stock,
            "hidden": record.hidden,
            "expires_at": None if record.expires_at is None else epoch_ms(record.expires_at),
            "categories": sorted(set(record.categories)),
        }
        for product_id, record in sorted(batch.product_records.items())
    ]


def _name_rows(records: Mapping[str, UserUpserted | StreamerUpserted]) -> list[Row]:
    return [
        {"id": subject, "at": record.at_ms, "event_id": record.event_id, "name": record.name}
        for subject, record in sorted(records.items())
    ]
