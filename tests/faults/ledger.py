"""A known ledger of events of all types, and the requests that bring it: late, shuffled and repeated."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from graph_schema import events as ev

DAYS = 3
MAX_AHEAD = ev.MAX_CLOCK_AHEAD
_WEIGHTS: dict[type[ev.Envelope], float] = {
    ev.UserWatched: 30,
    ev.UserViewed: 18,
    ev.UserEngaged: 12,
    ev.UserBought: 8,
    ev.UserCarted: 6,
    ev.UserFollowed: 6,
    ev.UserUnfollowed: 4,
    ev.UserImpressed: 4,
    ev.UserRefunded: 3,
    ev.ProductShowcased: 3,
    ev.ProductUpserted: 2,
    ev.UserUpserted: 1,
    ev.UserDismissed: 1,
    ev.StreamerUpserted: 0.5,
    ev.StreamStarted: 0.5,
    ev.StreamEnded: 0.5,
    ev.UserErased: 0.5,
}


@dataclass(frozen=True, slots=True)
class Ledger:
    """Each event once, and the requests as they are sent; all ids begin with the prefix."""

    prefix: str
    events: list[ev.Event]
    requests: list[list[ev.Event]]


def make_ledger(
    num_events: int,
    *,
    prefix: str,
    opened_at: datetime,
    per_request: int = 100,
    beyond_s: tuple[float, float] | None = None,
) -> Ledger:
    """A ledger that its arguments determine; times are of the last days, and up to 9 minutes ahead.

    With `beyond_s` some events come from a clock that is so many seconds past what the API takes.
    """
    draw = random.Random(prefix)
    world = _World(draw, prefix, opened_at, num_users=max(20, num_events // 25), beyond_s=beyond_s)
    kinds = draw.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=num_events)
    events = [world.event(kind, number) for number, kind in enumerate(kinds)]
    far = num_events if num_events < 1000 else num_events // 10
    places = [number + draw.random() * (far if draw.random() < 0.05 else 300) for number in range(num_events)]
    sent = [event for _, _, event in sorted(zip(places, range(num_events), events, strict=True))]
    requests = [sent[first : first + per_request] for first in range(0, num_events, per_request)]
    return Ledger(prefix, events, _repeat(requests, draw))


def _repeat(requests: list[list[ev.Event]], draw: random.Random) -> list[list[ev.Event]]:
    """The requests, some sent again as a whole soon or later, some with events of an earlier one."""
    slots: list[tuple[float, list[ev.Event]]] = []
    for place, request in enumerate(requests):
        earlier = draw.choice(requests[: place + 1]) if draw.random() < 0.1 else []
        slots.append((place, request + earlier[:3]))
        if draw.random() < 0.1:
            slots.append((place + draw.choice([0.5, 1.5, 20.5]), request))
    return [request for _, request in sorted(slots, key=lambda slot: slot[0])]


@dataclass(slots=True)
class _World:
    """Draws events in which a few streamers and products meet many users."""

    draw: random.Random
    prefix: str
    opened_at: datetime
    num_users: int
    beyond_s: tuple[float, float] | None
    num_purchases: int = 0

    def event(self, kind: type[ev.Envelope], number: int) -> ev.Event:
        """An event of the kind; `number` makes its id."""
        user = int(self.num_users * self.draw.random() ** 2)
        own: dict[str, Any] = {"event_id": f"{self.prefix}{number}", "at": self._at()}
        if kind is ev.UserBought:
            user, own["event_id"] = self._buyer(self.num_purchases), self._purchase(self.num_purchases)
            self.num_purchases += 1
        if kind is ev.UserRefunded:
            # Some of these purchases are still to come, some never do.
            bought = self.draw.randrange(self.num_purchases + 20)
            user, own["purchase_event_id"] = self._buyer(bought), self._purchase(bought)
        if kind is ev.UserErased:
            user = user // 20 * 20
        fields: dict[str, Any] = self._places(kind, user) | self._values() | own
        names = kind.__struct_fields__
        event: Any = kind(**{name: value for name, value in fields.items() if name in names})
        return event  # type: ignore[no-any-return]  # its class is known at run time only

    def _purchase(self, number: int) -> str:
        return f"{self.prefix}buy-{number}"

    def _buyer(self, purchase: int) -> int:
        """A refund names its purchase's user, which may not be drawn yet."""
        return purchase * 7919 % self.num_users

    def _at(self) -> datetime:
        share = self.draw.random()
        if share < 0.02 and self.beyond_s is not None:
            return self.opened_at + MAX_AHEAD + timedelta(seconds=self.draw.uniform(*self.beyond_s))
        if share < 0.05:
            return self.opened_at + self.draw.random() * (MAX_AHEAD - timedelta(minutes=1))
        back = timedelta(days=DAYS) if share < 0.35 else timedelta(minutes=20)
        return self.opened_at - self.draw.random() * back

    def _places(self, kind: type[ev.Envelope], user: int) -> dict[str, str]:
        """Who and what; one streamer has half of the audience, one product many of the views."""
        streamer = 0 if self.draw.random() < 0.5 else self.draw.randrange(1, 20)
        stream = f"{self.prefix}t{streamer}-{self.draw.randrange(2)}"
        # Who may erase their data stays out of streams: a minute keeps what came before the erasure,
        # so there the order would matter.
        is_user = "user_id" in kind.__struct_fields__
        outside = is_user and (user % 20 == 0 or self.draw.random() < 0.2)
        return {
            "user_id": f"{self.prefix}u{user}",
            "streamer_id": f"{self.prefix}s{streamer}",
            "product_id": f"{self.prefix}p{int(200 * self.draw.random() ** 3)}",
            "stream_id": ""
            if outside or (self.draw.random() < 0.2 and "user_id" in kind.__struct_fields__)
            else stream,
            "release_id": f"{self.prefix}r{self.draw.randrange(3)}",
        }

    def _values(self) -> dict[str, Any]:
        draw = self.draw
        return {
            "seconds": draw.randint(1, 60),
            "quantity": draw.randint(1, 5),
            "amount": draw.randrange(100_000),
            "position": draw.randrange(50),
            "name": f"name {draw.randrange(1000)}",
            "price": draw.randrange(100_000),
            "in_stock": draw.random() < 0.9,
            "hidden": draw.random() < 0.1,
            "categories": tuple(
                sorted({f"{self.prefix}c{draw.randrange(30)}" for _ in range(draw.randrange(4))})
            ),
            "expires_at": draw.choice([None, self.opened_at + timedelta(days=draw.randrange(30))]),
            **{name: draw.randrange(4) for name in ("comments", "likes", "gifts", "shares")},
        }
