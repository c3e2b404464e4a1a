"""Turns the market's columns into events day by day, and carries over what falls on later days."""

from datetime import datetime, timedelta
from itertools import count

import numpy as np

from graph_schema.events import (
    Event,
    ProductUpserted,
    StreamerUpserted,
    UserFollowed,
    UserUnfollowed,
    UserUpserted,
)
from lsec.simulate import day as days
from lsec.simulate.day import DAY_MS
from lsec.simulate.day_events import DayEvents
from lsec.simulate.market import CATEGORIES, STREAMER_NAMES, Ints, Market, State, World


class Emitter:
    """Writes the events of one day after the other; event ids count up under a prefix."""

    def __init__(self, market: Market, world: World, state: State) -> None:
        self._prefix = market.fingerprint
        self._market = market
        self._world = world
        self._state = state
        self._numbers = count()
        self._later: list[Event] = []

    def records(self, midnight: datetime) -> list[Event]:
        """The records of all products, streamers and users, and the follows that were there before."""
        events: list[Event] = [
            self._product(row, midnight) for row in range(len(self._world.product_category))
        ]
        categories = list(CATEGORIES)
        for row, catalogue in enumerate(self._world.catalogue):
            specialty = categories[int(np.bincount(self._world.product_category[catalogue]).argmax())]
            name = f"{STREAMER_NAMES[row % len(STREAMER_NAMES)]}'s {specialty}"
            events.append(
                StreamerUpserted(event_id=self._id(), at=midnight, streamer_id=f"streamer-{row}", name=name)
            )
        events.extend(
            UserUpserted(event_id=self._id(), at=midnight, user_id=f"user-{row}", name=f"User {row}")
            for row in range(len(self._world.user_taste))
        )
        return events + self._first_follows(midnight)

    def day(self, number: int, midnight: datetime, rng: np.random.Generator) -> list[Event]:
        """The events of a day in time order; afterwards the state is that of the next morning."""
        market, world, state = self._market, self._world, self._state
        streams = days.draw_streams(world, rng)
        visits = days.draw_visits(world, state, streams, rng)
        openings, shown = days.draw_stream_openings(market, world, state, streams, visits, rng)
        returns = days.draw_returns(market, world, state, openings, rng)
        browsing = days.draw_browsing(market, world, state, shown, rng)
        follows = days.draw_new_follows(world, state, streams, visits, rng)
        unfollows = days.draw_unfollows(world, state, rng)
        events = self._new_prices(midnight, rng) + self._unfollows(unfollows, midnight, rng)
        write = DayEvents(
            midnight=midnight,
            stream_ids=[f"stream-{self._prefix}-{number}-{row}" for row in streams.streamer.tolist()],
            streamer_ids=[f"streamer-{row}" for row in streams.streamer.tolist()],
            price=state.price,
            currency=market.currency,
            new_id=self._id,
        )
        events += write.streams(streams)
        events += write.visits(visits, follows, rng)
        for some in (openings, returns, browsing):
            events += write.openings(some, rng)
        state.follows[unfollows] = False
        state.follows[visits.user[follows], streams.streamer[visits.stream[follows]]] = True
        state.shown_before = shown.keys
        return self._until(midnight + timedelta(milliseconds=DAY_MS), events)

    def start_anew(self, prefix: str) -> None:
        """Event and stream ids from here on have this prefix; nothing is carried over."""
        self._prefix = prefix
        self._later = []

    def _until(self, end: datetime, events: list[Event]) -> list[Event]:
        """Of these and the carried events those before the end, in time order; the rest is carried."""
        events = self._later + events
        self._later = [event for event in events if event.at >= end]
        return sorted((event for event in events if event.at < end), key=lambda event: event.at)

    def _first_follows(self, midnight: datetime) -> list[Event]:
        users, streamers = np.nonzero(self._state.follows)
        step_ms = (DAY_MS - 1) // max(1, len(users))
        return [
            UserFollowed(
                event_id=self._id(),
                at=midnight + timedelta(milliseconds=step_ms * (number + 1)),
                user_id=f"user-{user}",
                streamer_id=f"streamer-{streamer}",
            )
            for number, (user, streamer) in enumerate(zip(users.tolist(), streamers.tolist(), strict=True))
        ]

    def _unfollows(
        self, pairs: tuple[Ints, Ints], midnight: datetime, rng: np.random.Generator
    ) -> list[Event]:
        users, streamers = pairs
        at_ms = rng.integers(0, DAY_MS, size=len(users))
        return [
            UserUnfollowed(
                event_id=self._id(),
                at=midnight + timedelta(milliseconds=at),
                user_id=f"user-{user}",
                streamer_id=f"streamer-{streamer}",
            )
            for user, streamer, at in zip(users.tolist(), streamers.tolist(), at_ms.tolist(), strict=True)
        ]

    def _new_prices(self, midnight: datetime, rng: np.random.Generator) -> list[Event]:
        """A few products get a new price at midnight, and with it a new record."""
        changed = np.flatnonzero(rng.random(len(self._state.price)) < 0.005)
        factor = rng.uniform(0.8, 1.15, size=len(changed))
        self._state.price[changed] = np.maximum(1, (self._state.price[changed] * factor).astype(np.int64))
        return [self._product(row, midnight) for row in changed.tolist()]

    def _product(self, row: int, at: datetime) -> Event:
        category, noun = list(CATEGORIES.items())[int(self._world.product_category[row])]
        return ProductUpserted(
            event_id=self._id(),
            at=at,
            product_id=f"product-{row}",
            name=f"{noun} {row}",
            price=int(self._state.price[row]),
            currency=self._market.currency,
            categories=(category,),
        )

    def _id(self) -> str:
        return f"sim-{self._prefix}-{next(self._numbers)}"
