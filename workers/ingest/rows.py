"""The rows of each Cypher statement for a batch, sorted by key: shards then lock in one order."""

from collections.abc import Iterable, Mapping
from typing import Any

from graph_schema.events import StreamerUpserted, UserUpserted, epoch_ms
from workers.ingest.aggregate import Batch, Counter

Row = dict[str, Any]

_USER_STREAMER_DAY = ("user_id", "streamer_id", "stream_id", "day")
_USER_PRODUCT_DAY = ("user_id", "product_id", "streamer_id", "stream_id", "day")
_TIMES = ("first_at", "last_at")


def record_rows(batch: Batch) -> dict[str, list[Row]]:
    """Rows by statement for all but watching, refunds, purchases and minutes, which have an order.

    Statements without rows are left out.
    """
    rows = {
        "ingest/merge_follows": _follow_rows(batch, unfollow=False),
        "ingest/merge_unfollows": _follow_rows(batch, unfollow=True),
        "ingest/merge_engaged": _counter_rows(
            batch.engaged, _USER_STREAMER_DAY, "comments", "likes", "gifts", "shares"
        ),
        "ingest/merge_viewed": _counter_rows(batch.viewed, _USER_PRODUCT_DAY, "count"),
        "ingest/merge_carted": _counter_rows(batch.carted, _USER_PRODUCT_DAY, "count"),
        "ingest/merge_impressed": _impression_rows(batch),
        "ingest/merge_dismissed": [
            {"user_id": user_id, "product_id": product_id, "at": at}
            for (user_id, product_id), at in sorted(batch.dismissed.items())
        ],
        "ingest/merge_hosted": [
            {
                "streamer_id": streamer_id,
                "stream_id": stream_id,
                "started_at": started_at,
                "ended_at": ended_at,
            }
            for (streamer_id, stream_id), (started_at, ended_at) in sorted(batch.hosted.items())
        ],
        "ingest/merge_sells": _counter_rows(batch.sells, ("streamer_id", "product_id"), "count"),
        "ingest/merge_showcased": _counter_rows(batch.showcased, ("stream_id", "product_id"), "count"),
        "ingest/upsert_products": _product_rows(batch),
        "ingest/upsert_users": _name_rows(batch.user_records),
        "ingest/upsert_streamers": _name_rows(batch.streamer_records),
    }
    return {statement: of_statement for statement, of_statement in rows.items() if of_statement}


def watched_rows(batch: Batch) -> list[Row]:
    """Rows of watching, which tell the minutes who joined."""
    return _counter_rows(batch.watched, _USER_STREAMER_DAY, "seconds")


def refund_rows(batch: Batch) -> list[Row]:
    """Rows of refunds."""
    return [
        {"purchase_event_id": purchase_event_id, "user_id": refund.user_id, "at": refund.at_ms}
        for purchase_event_id, refund in sorted(batch.refunds.items())
    ]


def purchase_rows(batch: Batch, known: Iterable[str]) -> list[Row]:
    """Rows of purchases but for the known ones."""
    new = sorted(batch.purchases.keys() - set(known))
    return [
        {
            "event_id": event_id,
            "user_id": purchase.user_id,
            "product_id": purchase.product_id,
            "streamer_id": purchase.streamer_id,
            "stream_id": purchase.stream_id,
            "quantity": purchase.quantity,
            "amount": purchase.amount,
            "at": purchase.at_ms,
        }
        for event_id in new
        for purchase in (batch.purchases[event_id],)
    ]


def minute_rows(minutes: Mapping[tuple[str, int], list[int]]) -> list[Row]:
    """Rows of the minutes of streams."""
    names = ("num_joined", "num_views", "num_carts", "num_purchases")
    return [
        {"stream_id": stream_id, "at": at, **dict(zip(names, counts, strict=True))}
        for (stream_id, at), counts in sorted(minutes.items())
    ]


def _counter_rows(counter: Counter, key_names: tuple[str, ...], *increments: str) -> list[Row]:
    names = (*key_names, *increments, *_TIMES)
    return [dict(zip(names, (*key, *values), strict=True)) for key, values in sorted(counter.items())]


def _impression_rows(batch: Batch) -> list[Row]:
    rows = _counter_rows(batch.impressed, ("user_id", "product_id", "release_id", "day"), "count")
    for row, key in zip(rows, sorted(batch.impressed), strict=True):
        row["min_position"] = batch.min_positions[key]
    return rows


def _follow_rows(batch: Batch, *, unfollow: bool) -> list[Row]:
    return [
        {"user_id": user_id, "streamer_id": streamer_id, "at": at}
        for (user_id, streamer_id), (at, is_unfollow) in sorted(batch.follow_states.items())
        if is_unfollow == unfollow
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
