"""The graph that events stand for, straight from the rules and with no regard to order.

A graph is a dict from a record's key to its properties, times in ms; nodes have a key of two.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from graph_schema import events as ev

MINUTE_MS = 60_000
OF_MINUTES = ("Minute", "HAS_MINUTE")
"""What an erasure leaves as it is, and so the only records for which it matters when that comes."""
Graph = dict[tuple[Any, ...], dict[str, Any]]


def utc_day(at_ms: int) -> date:
    """The UTC day of a moment."""
    return date(1970, 1, 1) + timedelta(milliseconds=at_ms)


def expected_graph(events: Sequence[ev.Event]) -> Graph:
    """The graph of the events, each of which counts once.

    Its minutes are what Neo4j holds only if nobody in a stream erased data: a minute keeps what it counted
    before an erasure, so there the order does matter.
    """
    until: dict[str, date] = {}
    for event in events:
        if isinstance(event, ev.UserErased):
            until[event.user_id] = max(utc_day(event.at_ms), until.get(event.user_id, date.min))
    kept = [e for e in events if utc_day(e.at_ms) > until.get(getattr(e, "user_id", ""), date.min)]
    graph: Graph = {}
    for event in events:
        for label in ("streamer", "product", "stream"):
            if node_id := getattr(event, f"{label}_id", ""):
                graph[label.title(), node_id] = {}
    for event in kept:
        if hasattr(event, "user_id") and not isinstance(event, ev.UserRefunded):
            graph["User", event.user_id] = {}
    _add_counters(graph, kept)
    _add_states(graph, kept)
    _add_records(graph, kept)
    _add_purchases(graph, kept)
    _add_minutes(graph, kept)
    return graph


def _add_counters(graph: Graph, events: Sequence[ev.Event]) -> None:
    for event in events:
        day = utc_day(event.at_ms)
        match event:
            case ev.UserWatched():
                key = ("WATCHED", event.user_id, event.streamer_id, event.stream_id, day)
                _count(graph, key, event, seconds=event.seconds)
            case ev.UserEngaged():
                key = ("ENGAGED", event.user_id, event.streamer_id, event.stream_id, day)
                sums = {name: getattr(event, name) for name in ("comments", "likes", "gifts", "shares")}
                _count(graph, key, event, **sums)
            case ev.UserViewed() | ev.UserCarted():
                name = "VIEWED" if isinstance(event, ev.UserViewed) else "CARTED"
                place = (event.streamer_id, event.stream_id, day)
                _count(graph, (name, event.user_id, event.product_id, *place), event, count=1)
            case ev.UserImpressed():
                key = ("IMPRESSED", event.user_id, event.product_id, event.release_id, day)
                _count(graph, key, event, count=1)
                lowest = min(event.position, graph[key].get("min_position", event.position))
                graph[key]["min_position"] = lowest
            case ev.ProductShowcased():
                _count(
                    graph,
                    ("SELLS", event.streamer_id, event.product_id),
                    event,
                    count=int(bool(event.stream_id)),
                )
                if event.stream_id:
                    _count(graph, ("SHOWCASED", event.stream_id, event.product_id), event, count=1)


def _count(graph: Graph, key: tuple[Any, ...], event: ev.Event, **sums: int) -> None:
    at = event.at_ms
    record = graph.setdefault(key, {"first_at": at, "last_at": at})
    for name, value in sums.items():
        record[name] = record.get(name, 0) + value
    record["first_at"] = min(record["first_at"], at)
    record["last_at"] = max(record["last_at"], at)


def _add_states(graph: Graph, events: Sequence[ev.Event]) -> None:
    follows: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for event in events:
        match event:
            case ev.UserFollowed() | ev.UserUnfollowed():
                name = "FOLLOWS" if isinstance(event, ev.UserFollowed) else "UNFOLLOWED"
                follows.setdefault((event.user_id, event.streamer_id), []).append((event.at_ms, name))
            case ev.UserDismissed():
                record = graph.setdefault(("DISMISSED", event.user_id, event.product_id), {"at": 0})
                record["at"] = max(record["at"], event.at_ms)
            case ev.StreamStarted():
                graph["HOSTED", event.streamer_id, event.stream_id] = {}
                stream = graph["Stream", event.stream_id]
                stream["started_at"] = min(event.at_ms, stream.get("started_at", event.at_ms))
            case ev.StreamEnded():
                graph["HOSTED", event.streamer_id, event.stream_id] = {}
                stream = graph["Stream", event.stream_id]
                stream["ended_at"] = max(event.at_ms, stream.get("ended_at", event.at_ms))
    for pair, states in follows.items():
        at, name = max(states)  # "UNFOLLOWED" sorts after "FOLLOWS": a tie unfollows
        graph[name, *pair] = {"at": at}


def _add_records(graph: Graph, events: Sequence[ev.Event]) -> None:
    categories: dict[str, tuple[str, ...]] = {}
    for event in sorted(events, key=lambda each: (each.at_ms, each.event_id)):
        record = {"record_at": event.at_ms, "record_event_id": event.event_id}
        match event:
            case ev.UserUpserted():
                graph["User", event.user_id] = record | {"name": event.name}
            case ev.StreamerUpserted():
                graph["Streamer", event.streamer_id] = record | {"name": event.name}
            case ev.ProductUpserted():
                categories[event.product_id] = event.categories
                fields = {name: getattr(event, name) for name in ("name", "price", "in_stock", "hidden")}
                if event.expires_at is not None:
                    fields["expires_at"] = ev.epoch_ms(event.expires_at)
                graph["Product", event.product_id] = record | fields
    for product_id, of_product in categories.items():
        graph.update({("IN", product_id, category_id): {} for category_id in of_product})


def _add_purchases(graph: Graph, events: Sequence[ev.Event]) -> None:
    for event in events:
        if isinstance(event, ev.UserRefunded):
            waiting = graph.setdefault(("Refund", event.purchase_event_id), {"at": 0, "user_id": ""})
            waiting.update(at=max(waiting["at"], event.at_ms), user_id=event.user_id)
    for event in events:
        if isinstance(event, ev.UserBought):
            names = ("streamer_id", "stream_id", "quantity", "amount")
            record = {name: getattr(event, name) for name in names} | {"at": event.at_ms}
            if refund := graph.get(("Refund", event.event_id)):
                record["refunded_at"] = refund["at"]
            graph["BOUGHT", event.user_id, event.product_id, event.event_id] = record


def _add_minutes(graph: Graph, events: Sequence[ev.Event]) -> None:
    def minute(stream_id: str, at: int) -> dict[str, Any]:
        begins_at = at // MINUTE_MS * MINUTE_MS
        graph["HAS_MINUTE", stream_id, stream_id, begins_at] = {}
        nothing = dict.fromkeys(("num_joined", "num_views", "num_carts", "num_purchases"), 0)
        return graph.setdefault(("Minute", stream_id, begins_at), nothing)

    names = {ev.UserViewed: "num_views", ev.UserCarted: "num_carts", ev.UserBought: "num_purchases"}
    for event in events:
        if isinstance(event, ev.UserWatched) and event.stream_id:
            minute(event.stream_id, event.at_ms)
        if isinstance(event, ev.UserViewed | ev.UserCarted | ev.UserBought) and event.stream_id:
            minute(event.stream_id, event.at_ms)[names[type(event)]] += 1
    for key in [key for key in graph if key[0] == "WATCHED" and key[3]]:
        minute(key[3], graph[key]["first_at"])["num_joined"] += 1
