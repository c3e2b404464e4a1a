"""A graph in memory that merges the ingester's rows as the Cypher statements do."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from graph_schema.events import Event
from tests.unit.ingest.expected_graph import Graph
from workers.ingest import rows
from workers.ingest.aggregate import MINUTE_MS, NUM_JOINED, NUM_PURCHASES, Batch, aggregate, utc_day

_SUMS = ("count", "seconds", "comments", "likes", "gifts", "shares")
_KEYS = {
    "ingest/merge_engaged": ("ENGAGED", "user_id", "streamer_id", "stream_id", "day"),
    "ingest/merge_viewed": ("VIEWED", "user_id", "product_id", "streamer_id", "stream_id", "day"),
    "ingest/merge_carted": ("CARTED", "user_id", "product_id", "streamer_id", "stream_id", "day"),
    "ingest/merge_impressed": ("IMPRESSED", "user_id", "product_id", "release_id", "day"),
    "ingest/merge_sells": ("SELLS", "streamer_id", "product_id"),
    "ingest/merge_showcased": ("SHOWCASED", "stream_id", "product_id"),
}
_TIMES = ("first_at", "last_at")
_COLUMNS = {
    "ingest/merge_follows": ("user_id", "streamer_id", "at"),
    "ingest/merge_unfollows": ("user_id", "streamer_id", "at"),
    "ingest/merge_dismissed": ("user_id", "product_id", "at"),
    "ingest/merge_watched": ("user_id", "streamer_id", "stream_id", "day", "seconds", *_TIMES),
    "ingest/merge_engaged": (
        *("user_id", "streamer_id", "stream_id", "day"),
        *("comments", "likes", "gifts", "shares", *_TIMES),
    ),
    "ingest/merge_viewed": ("user_id", "product_id", "streamer_id", "stream_id", "day", "count", *_TIMES),
    "ingest/merge_carted": ("user_id", "product_id", "streamer_id", "stream_id", "day", "count", *_TIMES),
    "ingest/merge_impressed": (
        *("user_id", "product_id", "release_id", "day"),
        *("count", "min_position", *_TIMES),
    ),
    "ingest/merge_sells": ("streamer_id", "product_id", "count", *_TIMES),
    "ingest/merge_showcased": ("stream_id", "product_id", "count", *_TIMES),
    "ingest/create_purchases": (
        *("user_id", "product_id", "streamer_id", "stream_id"),
        *("event_id", "quantity", "amount", "at"),
    ),
    "ingest/merge_minutes": ("stream_id", "at", "num_joined", "num_views", "num_carts", "num_purchases"),
}
"""What the statements take the places of their rows for; the others have rows that say it themselves."""
_RECORDS = {
    "ingest/upsert_products": "Product",
    "ingest/upsert_users": "User",
    "ingest/upsert_streamers": "Streamer",
}


def named_rows(statement: rows.Statement) -> list[dict[str, Any]]:
    """The statement's rows by name, with the values that their places in the tables stand for."""
    names = _COLUMNS.get(statement.name)
    if names is None:
        return list(statement.batch["rows"])
    tables = [table for name, table in statement.batch.items() if name != "rows"]
    named = []
    for row in statement.batch["rows"]:
        values = [table[place] for table, place in zip(tables, row, strict=False)] + row[len(tables) :]
        named.append(dict(zip(names, values, strict=True)))
    return named


class GraphModel:
    """Applies batches one after another; `graph` has the form of `expected_graph`."""

    def __init__(self) -> None:
        self.graph: Graph = {}
        self._erased: dict[str, date] = {}

    def apply(self, events: Sequence[Event]) -> None:
        """One batch, in the order of the ingester's transaction."""
        batch = aggregate(events, self._erased)
        for user_id, until in batch.erasures.items():
            self._erase(user_id, until)
        for label, ids in (
            ("User", batch.users),
            ("Streamer", batch.streamers),
            ("Product", batch.products),
            ("Stream", batch.streams),
        ):
            for node_id in ids:
                self.graph.setdefault((label, node_id), {})
        for statement in rows.record_statements(batch):
            for row in named_rows(statement):
                self._merge(statement.name, row)
        self._watch(batch)
        self._buy(batch)
        for row in named_rows(rows.minutes(batch.minutes)):
            minute = self.graph.setdefault(("Minute", row["stream_id"], row["at"]), {})
            self.graph["HAS_MINUTE", row["stream_id"], row["stream_id"], row["at"]] = {}
            for name in ("num_joined", "num_views", "num_carts", "num_purchases"):
                minute[name] = minute.get(name, 0) + row[name]

    def _merge(self, statement: str, row: dict[str, Any]) -> None:
        match statement:
            case "ingest/merge_follows" | "ingest/merge_unfollows":
                self._follow(row, unfollow=statement.endswith("unfollows"))
            case "ingest/merge_dismissed":
                held = self.graph.setdefault(("DISMISSED", row["user_id"], row["product_id"]), {"at": 0})
                held["at"] = max(held["at"], row["at"])
            case "ingest/merge_hosted":
                self.graph["HOSTED", row["streamer_id"], row["stream_id"]] = {}
                stream = self.graph["Stream", row["stream_id"]]
                for name, choose in (("started_at", min), ("ended_at", max)):
                    if row[name] is not None:
                        stream[name] = choose(row[name], stream.get(name, row[name]))
            case _ if statement in _RECORDS:
                self._upsert(_RECORDS[statement], row)
            case _:
                self._count(_KEYS[statement], row)

    def _count(self, names: tuple[str, ...], row: dict[str, Any]) -> int | None:
        """The record's first_at before the row."""
        key = (names[0], *(row[name] for name in names[1:]))
        record = self.graph.setdefault(key, {})
        old = record.get("first_at")
        for name in row.keys() & set(_SUMS):
            record[name] = record.get(name, 0) + row[name]
        for name, choose in (("first_at", min), ("last_at", max), ("min_position", min)):
            if name in row:
                record[name] = choose(row[name], record.get(name, row[name]))
        return old

    def _follow(self, row: dict[str, Any], *, unfollow: bool) -> None:
        name, other = ("UNFOLLOWED", "FOLLOWS") if unfollow else ("FOLLOWS", "UNFOLLOWED")
        pair = (row["user_id"], row["streamer_id"])
        against = self.graph.get((other, *pair))
        if against is None or against["at"] < row["at"] or (unfollow and against["at"] == row["at"]):
            self.graph.pop((other, *pair), None)
            held = self.graph.setdefault((name, *pair), {"at": 0})
            held["at"] = max(held["at"], row["at"])

    def _upsert(self, label: str, row: dict[str, Any]) -> None:
        held = self.graph[label, row["id"]]
        version = (row["at"], row["event_id"])
        if (held.get("record_at", 0), held.get("record_event_id", "")) >= version:
            return
        fields = {
            k: v for k, v in row.items() if k not in ("id", "at", "event_id", "categories") and v is not None
        }
        self.graph[label, row["id"]] = fields | dict(
            zip(("record_at", "record_event_id"), version, strict=True)
        )
        if label == "Product":
            for key in [key for key in self.graph if key[:2] == ("IN", row["id"])]:
                del self.graph[key]
            self.graph.update({("IN", row["id"], category_id): {} for category_id in row["categories"]})

    def _watch(self, batch: Batch) -> None:
        names = ("WATCHED", "user_id", "streamer_id", "stream_id", "day")
        for row in named_rows(rows.watched(batch)):
            old = self._count(names, row)
            if row["stream_id"] and (old is None or old > row["first_at"]):
                for at, change in ((row["first_at"], 1), (old, -1)):
                    if at is not None:
                        key = (row["stream_id"], at // MINUTE_MS * MINUTE_MS)
                        batch.minutes.setdefault(key, [0, 0, 0, 0])[NUM_JOINED] += change

    def _buy(self, batch: Batch) -> None:
        bought = {key[3]: key for key in self.graph if key[0] == "BOUGHT"}
        for row in named_rows(rows.refunds(batch)):
            refund = self.graph.setdefault(("Refund", row["purchase_event_id"]), {"at": 0, "user_id": ""})
            if (refund["at"], refund["user_id"]) < (row["at"], row["user_id"]):
                refund.update(at=row["at"], user_id=row["user_id"])
            if key := bought.get(row["purchase_event_id"]):
                self.graph[key]["refunded_at"] = refund["at"]
        for row in named_rows(rows.purchases(batch)):
            if row["event_id"] in bought:
                continue
            key = ("BOUGHT", row.pop("user_id"), row.pop("product_id"), row.pop("event_id"))
            if ("Refund", key[3]) in self.graph:
                row["refunded_at"] = self.graph["Refund", key[3]]["at"]
            self.graph[key] = row
            if row["stream_id"]:
                batch.minutes[row["stream_id"], row["at"] // MINUTE_MS * MINUTE_MS][NUM_PURCHASES] += 1

    def _erase(self, user_id: str, until: date) -> None:
        self._erased[user_id] = until
        for key, record in list(self.graph.items()):
            is_theirs = record.get("user_id") == user_id or (len(key) > 2 and key[1] == user_id)
            at = record.get("at", record.get("first_at"))
            if is_theirs and at is not None and utc_day(at) <= until:
                del self.graph[key]
            elif is_theirs and "refunded_at" in record and utc_day(record["refunded_at"]) <= until:
                del record["refunded_at"]
        user = self.graph.get(("User", user_id), {})
        if "record_at" in user and utc_day(user["record_at"]) <= until:
            user.clear()
        if not user and not any(len(key) > 2 and key[1] == user_id for key in self.graph):
            self.graph.pop(("User", user_id), None)
