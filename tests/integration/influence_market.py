"""A small market, made of events by hand, whose influence can be counted on paper."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from graph_schema.events import (
    Event,
    ProductUpserted,
    StreamerUpserted,
    UserBought,
    UserCarted,
    UserEngaged,
    UserFollowed,
    UserRefunded,
    UserUnfollowed,
    UserViewed,
    UserWatched,
)

DAY = datetime(2026, 1, 5, tzinfo=UTC)


def at(hours: float, *, day: int = 0) -> datetime:
    return DAY + timedelta(days=day, hours=hours)


def market() -> list[Event]:
    """Ann, Bob and Cay; buyers u1, u2, u3 and u4; u5 watches Cay and buys nothing.

    u1 follows Ann (9 h), watches Bob (10 h, in stream b1) and buys a cup for 300 there (11 h).
    u2 views the cup with Ann (9 h), engages with Bob (10 h), buys a cup for 200 with Bob (11 h), refunded;
    and on the next day, with no further touch, tea for 100 with Bob.
    u3 buys tea for 50 without any touch and without a streamer. u4 watches Ann two days before buying a cup
    for 400, and follows Bob on the next day.
    """
    acts: list[Event] = [
        StreamerUpserted(event_id="ann", at=at(0), streamer_id="ann", name="Ann"),
        StreamerUpserted(event_id="bob", at=at(0), streamer_id="bob", name="Bob"),
        ProductUpserted(event_id="cup", at=at(0), product_id="cup", categories=("ware",)),
        ProductUpserted(event_id="tea", at=at(0), product_id="tea", categories=("food",)),
        UserFollowed(event_id="f1", at=at(9), user_id="u1", streamer_id="ann"),
        UserWatched(event_id="w1", at=at(10), user_id="u1", streamer_id="bob", stream_id="b1", seconds=60),
        UserWatched(event_id="w2", at=at(10.1), user_id="u1", streamer_id="bob", stream_id="b1", seconds=30),
        UserViewed(
            event_id="v1", at=at(10.2), user_id="u1", product_id="cup", streamer_id="bob", stream_id="b1"
        ),
        UserCarted(
            event_id="c1", at=at(10.3), user_id="u1", product_id="cup", streamer_id="bob", stream_id="b1"
        ),
        bought("b1", at(11), "u1", "cup", 300, "bob", stream_id="b1", quantity=3),
        UserViewed(event_id="v2", at=at(9), user_id="u2", product_id="cup", streamer_id="ann"),
        UserEngaged(event_id="e1", at=at(10), user_id="u2", streamer_id="bob", likes=2),
        bought("b2", at(11), "u2", "cup", 200, "bob"),
        UserRefunded(event_id="r1", at=at(12), user_id="u2", purchase_event_id="b2"),
        bought("b3", at(11, day=1), "u2", "tea", 100, "bob"),
        bought("b4", at(11), "u3", "tea", 50, ""),
        UserWatched(event_id="w3", at=at(9, day=-2), user_id="u4", streamer_id="ann", seconds=10),
        bought("b5", at(11), "u4", "cup", 400, ""),
        UserWatched(event_id="w4", at=at(9), user_id="u5", streamer_id="cay", seconds=5),
        UserFollowed(event_id="f2", at=at(8), user_id="u5", streamer_id="bob"),
        UserUnfollowed(event_id="f3", at=at(8.5), user_id="u5", streamer_id="bob"),
        UserFollowed(event_id="f4", at=at(8, day=1), user_id="u4", streamer_id="bob"),
    ]
    return acts


def bought(
    event_id: str,
    moment: datetime,
    user: str,
    product: str,
    amount: int,
    streamer: str,
    *,
    stream_id: str = "",
    quantity: int = 1,
) -> UserBought:
    return UserBought(
        event_id=event_id,
        at=moment,
        user_id=user,
        product_id=product,
        amount=amount,
        quantity=quantity,
        streamer_id=streamer,
        stream_id=stream_id,
    )


def ask(client: httpx2.Client, query: str, **params: Any) -> list[dict[str, Any]]:
    """The rows of a query's answer, whose shape is looked at."""
    return ask_table(client, query, **params)["rows"]  # type: ignore[no-any-return]  # JSON


def ask_table(client: httpx2.Client, query: str, **params: Any) -> dict[str, Any]:
    answer = client.get(f"/v1/influence/{query}", params=params)
    assert answer.status_code == 200, answer.text
    table: dict[str, Any] = answer.json()
    assert table["query"] == query
    for row in table["rows"]:
        assert list(row) == table["columns"]
    return table
