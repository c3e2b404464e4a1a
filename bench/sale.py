"""The events of a flash sale, and of the cases that are worst for the graph."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from graph_schema import events as ev


@dataclass(frozen=True, slots=True)
class Sale:
    """Users act in bursts, products are Zipf, one streamer has half of the audience.

    `run` names the users, streams and events; products and streamers are the same in every run
    unless `new_nodes` says that every event names its own.
    """

    run: str
    num_users: int = 20_000
    num_products: int = 5_000
    num_streamers: int = 200
    audience_share: float = 0.5
    product_share: float = 0.0
    """Of the events, those that are about one product."""
    longest_burst: int = 12
    new_nodes: bool = False
    event_run: str = ""
    """Names the events where the users are those of an earlier run."""


def sale(num_events: int, *, of: Sale) -> list[ev.Event]:
    """So many events, the same for the same sale."""
    draw = random.Random(f"{of.run} {of.event_run}")
    start = datetime.now(UTC) - timedelta(hours=1)
    step_ms = min(5.0, 3_000_000 / num_events)
    weights = [1 / (rank + 1) for rank in range(of.num_products)]
    prefix = of.event_run or of.run
    events: list[ev.Event] = []
    while len(events) < num_events:
        user = draw.randrange(of.num_users)
        streamer = 0 if draw.random() < of.audience_share else draw.randrange(1, of.num_streamers)
        burst = draw.randrange(1, of.longest_burst) if of.longest_burst > 1 else 1
        for product in draw.choices(range(of.num_products), weights, k=burst):
            number = len(events)
            about = 0 if draw.random() < of.product_share else product
            at = start + timedelta(milliseconds=int(step_ms * number) + draw.randrange(1000))
            names = _own_names(of, number) if of.new_nodes else _names(of, user, streamer, about)
            events.append(_event(draw.random(), names, at=at, event_id=f"{prefix}-{number}"))
    return events[:num_events]


def _names(of: Sale, user: int, streamer: int, product: int) -> dict[str, Any]:
    return {
        "user_id": f"{of.run}-user-{user}",
        "streamer_id": f"streamer-{streamer}",
        "product_id": f"product-{product}",
        "stream_id": f"{of.run}-stream-{streamer}",
    }


def _own_names(of: Sale, number: int) -> dict[str, Any]:
    kinds = ("user", "streamer", "product", "stream")
    return {f"{kind}_id": f"{of.run}-own-{kind}-{number}" for kind in kinds}


def _event(share: float, names: dict[str, Any], **own: Any) -> ev.Event:
    """The mix: 45 % heartbeats, 25 % views, 15 % engagement, 6 % carts, 5 % purchases, 4 % the rest."""
    streamer = {name: names[name] for name in ("user_id", "streamer_id", "stream_id")}
    made: list[tuple[float, Callable[[], ev.Event]]] = [
        (0.45, lambda: ev.UserWatched(**streamer, **own, seconds=10)),
        (0.70, lambda: ev.UserViewed(**names, **own)),
        (0.85, lambda: ev.UserEngaged(**streamer, **own, likes=1)),
        (0.91, lambda: ev.UserCarted(**names, **own)),
        (0.96, lambda: ev.UserBought(**names, **own, amount=1999)),
        (0.98, lambda: ev.UserFollowed(**streamer, **own)),
    ]
    for limit, make in made:
        if share < limit:
            return make()
    return ev.ProductShowcased(**{name: id_ for name, id_ in names.items() if name != "user_id"}, **own)
