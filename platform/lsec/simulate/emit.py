"""The table's rows as the platform's events, one after the other."""

from collections.abc import Iterator
from datetime import datetime
from itertools import count

import numpy as np

from graph_schema.events import (
    Event,
    ProductShowcased,
    ProductUpserted,
    StreamEnded,
    StreamerUpserted,
    StreamStarted,
    UserBought,
    UserCarted,
    UserEngaged,
    UserFollowed,
    UserRefunded,
    UserUnfollowed,
    UserUpserted,
    UserViewed,
    UserWatched,
    moment_of,
)
from graph_schema.vocabulary import NO_STREAM
from lsec.simulate.columns import NONE, names
from lsec.simulate.market import Ints, Market, product_id, purchase_id, stream_id, streamer_id, user_id
from lsec.simulate.table import Kind, Table
from lsec.simulate.world import CATEGORIES, World

CHUNK = 4096
STREAMER_NAMES = (
    "Ada",
    "Bo",
    "Cem",
    "Dana",
    "Emre",
    "Fay",
    "Gus",
    "Hana",
    "Ivo",
    "Jun",
    "Kim",
    "Lea",
    "Mei",
    "Nils",
)


class Emitter:
    """Writes tables as events; event ids count up under a prefix, those of purchases have their number."""

    def __init__(self, market: Market, world: World, prefix: str) -> None:
        self._currency = market.currency
        self._world = world
        self._prefix = prefix
        self._numbers = count()
        self._categories = list(CATEGORIES.items())

    def events(self, table: Table) -> Iterator[Event]:
        """The events in the table's order."""
        columns = [getattr(table, name) for name in names(Table)]
        for first in range(0, len(table.at), CHUNK):
            for row in zip(*(column[first : first + CHUNK].tolist() for column in columns), strict=True):
                yield self._event(*row)

    def _event(
        self,
        at_ms: int,
        kind: int,
        user: int,
        streamer: int,
        stream: int,
        product: int,
        number: int,
        amount: int,
        pieces: int,
        gifts: int,
        shares: int,
    ) -> Event:
        at = moment_of(at_ms)
        if kind == Kind.BOUGHT:
            return UserBought(
                event_id=purchase_id(self._prefix, number),
                at=at,
                quantity=pieces,
                amount=amount,
                currency=self._currency,
                **self._place(user, product, streamer, stream),
            )
        event_id = f"sim-{self._prefix}-{next(self._numbers)}"
        if kind in (Kind.VIEWED, Kind.CARTED):
            opened = UserViewed if kind == Kind.VIEWED else UserCarted
            return opened(event_id=event_id, at=at, **self._place(user, product, streamer, stream))
        if kind == Kind.WATCHED:
            return UserWatched(event_id=event_id, at=at, seconds=amount, **self._who(user, streamer, stream))
        if kind == Kind.ENGAGED:
            acts = (amount, pieces, gifts, shares)
            return self._engaged(event_id, at, self._who(user, streamer, stream), acts)
        if kind == Kind.REFUNDED:
            purchase = purchase_id(self._prefix, number)
            return UserRefunded(event_id=event_id, at=at, user_id=user_id(user), purchase_event_id=purchase)
        if kind in (Kind.FOLLOWED, Kind.UNFOLLOWED):
            event = UserFollowed if kind == Kind.FOLLOWED else UserUnfollowed
            return event(event_id=event_id, at=at, user_id=user_id(user), streamer_id=streamer_id(streamer))
        if kind in (Kind.STARTED, Kind.SHOWCASED, Kind.ENDED):
            return self._of_stream(kind, event_id, at, streamer, stream, product)
        return self._record(kind, event_id, at, user, streamer, product, amount)

    def _who(self, user: int, streamer: int, stream: int) -> dict[str, str]:
        return {
            "user_id": user_id(user),
            "streamer_id": streamer_id(streamer),
            "stream_id": stream_id(self._prefix, stream),
        }

    def _engaged(
        self, event_id: str, at: datetime, who: dict[str, str], acts: tuple[int, int, int, int]
    ) -> Event:
        comments, likes, gifts, shares = acts
        return UserEngaged(
            event_id=event_id,
            at=at,
            comments=comments,
            likes=likes,
            gifts=gifts,
            shares=shares,
            **who,
        )

    def _place(self, user: int, product: int, streamer: int, stream: int) -> dict[str, str]:
        is_outside = stream == NONE
        return {
            "user_id": user_id(user),
            "product_id": product_id(product),
            "streamer_id": NO_STREAM if is_outside else streamer_id(streamer),
            "stream_id": NO_STREAM if is_outside else stream_id(self._prefix, stream),
        }

    def _of_stream(
        self, kind: int, event_id: str, at: datetime, streamer: int, stream: int, product: int
    ) -> Event:
        place = {"streamer_id": streamer_id(streamer), "stream_id": stream_id(self._prefix, stream)}
        if kind == Kind.SHOWCASED:
            return ProductShowcased(event_id=event_id, at=at, product_id=product_id(product), **place)
        event = StreamStarted if kind == Kind.STARTED else StreamEnded
        return event(event_id=event_id, at=at, **place)

    def _record(
        self, kind: int, event_id: str, at: datetime, user: int, streamer: int, product: int, price: int
    ) -> Event:
        if kind == Kind.USER:
            return UserUpserted(event_id=event_id, at=at, user_id=user_id(user), name=f"User {user}")
        if kind == Kind.STREAMER:
            name = f"{STREAMER_NAMES[streamer % len(STREAMER_NAMES)]}'s {self._specialty(streamer)}"
            return StreamerUpserted(event_id=event_id, at=at, streamer_id=streamer_id(streamer), name=name)
        category, noun = self._categories[int(self._world.product_category[product])]
        return ProductUpserted(
            event_id=event_id,
            at=at,
            product_id=product_id(product),
            name=f"{noun} {product}",
            price=price,
            currency=self._currency,
            categories=(category,),
        )

    def _specialty(self, streamer: int) -> str:
        """The category that most of the streamer's products are of."""
        sold: Ints = self._world.product_category[self._world.catalogue[streamer]]
        return self._categories[int(np.bincount(sold).argmax())][0]
