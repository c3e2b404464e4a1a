"""From events in any order to what they come to, by record of the graph; pure.

Events that meet in one record become one: sums add up, times widen, the latest follow state or
record wins. Merging the results into the graph is commutative too, so that neither the order of
events nor the cut into batches changes the graph.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, TypeVar, cast

from graph_schema.events import (
    Event,
    ProductShowcased,
    ProductUpserted,
    StreamEnded,
    StreamerUpserted,
    StreamStarted,
    UserBought,
    UserCarted,
    UserDismissed,
    UserEngaged,
    UserErased,
    UserFollowed,
    UserImpressed,
    UserRefunded,
    UserUnfollowed,
    UserUpserted,
    UserViewed,
    UserWatched,
)

MINUTE_MS = 60_000
DAY_MS = 86_400_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

Record = TypeVar("Record", ProductUpserted, UserUpserted, StreamerUpserted)
Counter = dict[tuple[Any, ...], list[int]]
"""By the record's key: its increments, then first_at and last_at in ms."""
NUM_JOINED, NUM_VIEWS, NUM_CARTS, NUM_PURCHASES = range(4)


@dataclass(frozen=True, slots=True)
class Batch:
    """What events come to, by record of the graph; times are ms since 1970, days are UTC."""

    users: set[str] = field(default_factory=set)
    streamers: set[str] = field(default_factory=set)
    products: set[str] = field(default_factory=set)
    streams: set[str] = field(default_factory=set)
    erasures: dict[str, date] = field(default_factory=dict)
    follow_states: dict[tuple[str, str], tuple[int, bool]] = field(default_factory=dict)
    """(user, streamer) → (at, whether it is an unfollow): the greatest wins, so a tie unfollows."""
    watched: Counter = field(default_factory=dict)
    engaged: Counter = field(default_factory=dict)
    viewed: Counter = field(default_factory=dict)
    carted: Counter = field(default_factory=dict)
    impressed: Counter = field(default_factory=dict)
    min_positions: dict[tuple[Any, ...], int] = field(default_factory=dict)
    sells: Counter = field(default_factory=dict)
    showcased: Counter = field(default_factory=dict)
    dismissed: dict[tuple[str, str], int] = field(default_factory=dict)
    hosted: dict[tuple[str, str], tuple[int | None, int | None]] = field(default_factory=dict)
    purchases: dict[str, UserBought] = field(default_factory=dict)
    refunds: dict[str, UserRefunded] = field(default_factory=dict)
    product_records: dict[str, ProductUpserted] = field(default_factory=dict)
    user_records: dict[str, UserUpserted] = field(default_factory=dict)
    streamer_records: dict[str, StreamerUpserted] = field(default_factory=dict)
    minutes: dict[tuple[str, int], list[int]] = field(default_factory=dict)


def user_ids(events: Iterable[Event]) -> set[str]:
    """The users that the events are about."""
    return {user_id for event in events if (user_id := getattr(event, "user_id", ""))}


def changed_ids(
    events: Iterable[Event], new_products: Collection[str] | None = None
) -> list[tuple[str, str]]:
    """(kind, id) of those for whom answers may differ after the events.

    Kind "shown" is a user who was only shown something or dismissed it: their taste is what it was. Any
    event makes the product that it mentions; those made are among `new_products`, None if nobody knows.
    """
    changed: set[tuple[str, str]] = {("product", product_id) for product_id in new_products or ()}
    for event in events:
        if user_id := getattr(event, "user_id", ""):
            changed.add(("shown" if isinstance(event, UserImpressed | UserDismissed) else "user", user_id))
        elif streamer_id := getattr(event, "streamer_id", ""):
            changed.add(("streamer", streamer_id))
            if stream_id := getattr(event, "stream_id", ""):
                changed.add(("stream", stream_id))
        if isinstance(event, ProductShowcased | ProductUpserted):
            changed.add(("product", event.product_id))
        elif new_products is None and (product_id := getattr(event, "product_id", "")):
            changed.add(("product", product_id))
    return sorted(changed)


def aggregate(events: Sequence[Event], erased: Mapping[str, date]) -> Batch:
    """What the events come to, less what users erased in them or before.

    `erased` has the last erased day of users who were erased before.
    """
    batch = Batch()
    until = dict(erased)
    for event in events:
        if isinstance(event, UserErased):
            day = max(utc_day(event.at_ms), until.get(event.user_id, date.min))
            batch.erasures[event.user_id] = until[event.user_id] = day
    for event in events:
        at = event.at_ms
        _mention(batch, event)
        user_id = getattr(event, "user_id", None)
        if user_id is not None:
            if user_id in until and utc_day(at) <= until[user_id]:
                continue
            if not isinstance(event, UserRefunded):
                batch.users.add(user_id)
        _ADDERS[type(event)](batch, event, at)
    return batch


@lru_cache(maxsize=4096)
def _day_of(number: int) -> date:
    return date.fromordinal(_EPOCH_ORDINAL + number)


def utc_day(at_ms: int) -> date:
    """The UTC day of a moment."""
    return _day_of(at_ms // DAY_MS)


def _mention(batch: Batch, event: Event) -> None:
    """Streamers, products and streams are made by every mention, also by an erased user's."""
    if streamer_id := getattr(event, "streamer_id", ""):
        batch.streamers.add(streamer_id)
    if product_id := getattr(event, "product_id", ""):
        batch.products.add(product_id)
    if stream_id := getattr(event, "stream_id", ""):
        batch.streams.add(stream_id)


def _count(counter: Counter, key: tuple[Any, ...], at: int, *increments: int) -> None:
    row = counter.get(key)
    if row is None:
        counter[key] = [*increments, at, at]
        return
    for place, increment in enumerate(increments):
        row[place] += increment
    row[-2] = min(row[-2], at)
    row[-1] = max(row[-1], at)


def _minute(batch: Batch, stream_id: str, at: int) -> list[int]:
    return batch.minutes.setdefault((stream_id, at // MINUTE_MS * MINUTE_MS), [0, 0, 0, 0])


def _add_follow(batch: Batch, event: UserFollowed | UserUnfollowed, at: int) -> None:
    key = (event.user_id, event.streamer_id)
    state = (at, isinstance(event, UserUnfollowed))
    batch.follow_states[key] = max(state, batch.follow_states.get(key, state))


def _add_stream(batch: Batch, event: StreamStarted | StreamEnded, at: int) -> None:
    key = (event.streamer_id, event.stream_id)
    started_at, ended_at = batch.hosted.get(key, (None, None))
    if isinstance(event, StreamStarted):
        started_at = at if started_at is None else min(started_at, at)
    else:
        ended_at = at if ended_at is None else max(ended_at, at)
    batch.hosted[key] = (started_at, ended_at)


def _add_showcase(batch: Batch, event: ProductShowcased, at: int) -> None:
    # Outside a stream it only states that the streamer sells the product: no count, so that a catalogue
    # can be sent again at any time.
    _count(batch.sells, (event.streamer_id, event.product_id), at, 1 if event.stream_id else 0)
    if event.stream_id:
        _count(batch.showcased, (event.stream_id, event.product_id), at, 1)


def _add_watch(batch: Batch, event: UserWatched, at: int) -> None:
    key = (event.user_id, event.streamer_id, event.stream_id, utc_day(at))
    _count(batch.watched, key, at, event.seconds)
    if event.stream_id:
        # Who joined when is known once the row meets the graph; the minute is made by any watching,
        # so that it is there whichever of its events came first.
        _minute(batch, event.stream_id, at)


def _add_engagement(batch: Batch, event: UserEngaged, at: int) -> None:
    key = (event.user_id, event.streamer_id, event.stream_id, utc_day(at))
    _count(batch.engaged, key, at, event.comments, event.likes, event.gifts, event.shares)


def _add_view(batch: Batch, event: UserViewed, at: int) -> None:
    key = (event.user_id, event.product_id, event.streamer_id, event.stream_id, utc_day(at))
    _count(batch.viewed, key, at, 1)
    if event.stream_id:
        _minute(batch, event.stream_id, at)[NUM_VIEWS] += 1


def _add_cart(batch: Batch, event: UserCarted, at: int) -> None:
    key = (event.user_id, event.product_id, event.streamer_id, event.stream_id, utc_day(at))
    _count(batch.carted, key, at, 1)
    if event.stream_id:
        _minute(batch, event.stream_id, at)[NUM_CARTS] += 1


def _add_purchase(batch: Batch, event: UserBought, at: int) -> None:
    batch.purchases.setdefault(event.event_id, event)
    if event.stream_id:
        _minute(batch, event.stream_id, at)


def _add_refund(batch: Batch, event: UserRefunded, at: int) -> None:
    held = batch.refunds.get(event.purchase_event_id)
    if held is None or (held.at_ms, held.user_id) < (at, event.user_id):
        batch.refunds[event.purchase_event_id] = event


def _add_impression(batch: Batch, event: UserImpressed, at: int) -> None:
    key = (event.user_id, event.product_id, event.release_id, utc_day(at))
    _count(batch.impressed, key, at, 1)
    batch.min_positions[key] = min(event.position, batch.min_positions.get(key, event.position))


def _add_dismissal(batch: Batch, event: UserDismissed, at: int) -> None:
    key = (event.user_id, event.product_id)
    batch.dismissed[key] = max(at, batch.dismissed.get(key, at))


def _add_product(batch: Batch, event: ProductUpserted, at: int) -> None:
    _keep_latest(batch.product_records, event.product_id, event, at)


def _add_user(batch: Batch, event: UserUpserted, at: int) -> None:
    _keep_latest(batch.user_records, event.user_id, event, at)


def _add_streamer(batch: Batch, event: StreamerUpserted, at: int) -> None:
    _keep_latest(batch.streamer_records, event.streamer_id, event, at)


def _keep_latest(records: dict[str, Record], subject: str, event: Record, at: int) -> None:
    held = records.get(subject)
    if held is None or (held.at_ms, held.event_id) < (at, event.event_id):
        records[subject] = event


_ADDERS = cast(
    dict[type, Callable[[Batch, Any, int], None]],
    {
        UserFollowed: _add_follow,
        UserUnfollowed: _add_follow,
        StreamStarted: _add_stream,
        StreamEnded: _add_stream,
        ProductShowcased: _add_showcase,
        UserWatched: _add_watch,
        UserViewed: _add_view,
        UserCarted: _add_cart,
        UserBought: _add_purchase,
        UserRefunded: _add_refund,
        UserEngaged: _add_engagement,
        UserImpressed: _add_impression,
        UserDismissed: _add_dismissal,
        ProductUpserted: _add_product,
        UserUpserted: _add_user,
        StreamerUpserted: _add_streamer,
    },
)
