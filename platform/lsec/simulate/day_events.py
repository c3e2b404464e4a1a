"""The events of one day: streams, what viewers did in them, and what users opened and bought."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from graph_schema.events import (
    Event,
    ProductShowcased,
    StreamEnded,
    StreamStarted,
    UserBought,
    UserCarted,
    UserEngaged,
    UserFollowed,
    UserRefunded,
    UserViewed,
    UserWatched,
)
from graph_schema.vocabulary import NO_STREAM
from lsec.simulate.day import DAY_MS, NOWHERE, SECOND_MS, Openings, Streams, Visits
from lsec.simulate.market import Flags, Ints

HEARTBEAT_S = 300
ENGAGED_SHARE = 0.3
REFUNDED_SHARE = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class DayEvents:
    """Writes one day's columns as events; ids of streams and streamers go by stream row."""

    midnight: datetime
    stream_ids: list[str]
    streamer_ids: list[str]
    price: Ints
    currency: str
    new_id: Callable[[], str]

    def streams(self, streams: Streams) -> Iterator[Event]:
        """Start, end and showcases of each stream."""
        starts, ends = streams.start.tolist(), (streams.start + streams.length).tolist()
        for row, (streamer_id, stream_id) in enumerate(zip(self.streamer_ids, self.stream_ids, strict=True)):
            place = {"streamer_id": streamer_id, "stream_id": stream_id}
            yield StreamStarted(event_id=self.new_id(), at=self._at(starts[row]), **place)
            yield StreamEnded(event_id=self.new_id(), at=self._at(ends[row]), **place)
            for product, at in zip(streams.shown[row].tolist(), streams.shown_at[row].tolist(), strict=True):
                yield ProductShowcased(
                    event_id=self.new_id(), at=self._at(at), product_id=f"product-{product}", **place
                )

    def visits(self, visits: Visits, follows: Flags, rng: np.random.Generator) -> Iterator[Event]:
        """Heartbeats of each visit, what some viewers said and gave, and who followed on leaving."""
        num = len(visits.user)
        acts = rng.poisson([0.5, 2.0, 0.1, 0.1], size=(num, 4))
        acts[rng.random(num) >= ENGAGED_SHARE] = 0
        columns = (visits.user, visits.stream, visits.join, visits.watched // SECOND_MS, follows)
        for (user, stream, join, seconds, follow), (comments, likes, gifts, shares) in zip(
            zip(*(column.tolist() for column in columns), strict=True), acts.tolist(), strict=True
        ):
            who = {
                "user_id": f"user-{user}",
                "streamer_id": self.streamer_ids[stream],
                "stream_id": self.stream_ids[stream],
            }
            for start in range(0, seconds, HEARTBEAT_S):
                part = min(HEARTBEAT_S, seconds - start)
                at = self._at(join + (start + part) * SECOND_MS)
                yield UserWatched(event_id=self.new_id(), at=at, seconds=part, **who)
            if comments or likes or gifts or shares:
                yield UserEngaged(
                    event_id=self.new_id(),
                    at=self._at(join + seconds * SECOND_MS // 2),
                    comments=comments,
                    likes=likes,
                    gifts=gifts,
                    shares=shares,
                    **who,
                )
            if follow:
                yield UserFollowed(event_id=self.new_id(), at=self._at(join + seconds * SECOND_MS), **who)

    def openings(self, openings: Openings, rng: np.random.Generator) -> Iterator[Event]:
        """View, then perhaps cart, purchase and refund, each later than the last."""
        num = len(openings.user)
        pause = rng.integers(5 * SECOND_MS, 60 * SECOND_MS, size=num)
        quantity = 1 + (rng.random(num) < 0.08)
        refund = rng.integers(DAY_MS, 5 * DAY_MS, size=num) * (rng.random(num) < REFUNDED_SHARE)
        columns = (openings.user, openings.product, openings.stream, openings.at, pause)
        choices = (openings.carted, openings.bought, quantity, refund)
        for (user, product, stream, at, wait), (carted, bought, pieces, refund_ms) in zip(
            zip(*(column.tolist() for column in columns), strict=True),
            zip(*(column.tolist() for column in choices), strict=True),
            strict=True,
        ):
            what = {
                "user_id": f"user-{user}",
                "product_id": f"product-{product}",
                "streamer_id": NO_STREAM if stream == NOWHERE else self.streamer_ids[stream],
                "stream_id": NO_STREAM if stream == NOWHERE else self.stream_ids[stream],
            }
            yield UserViewed(event_id=self.new_id(), at=self._at(at), **what)
            if carted:
                yield UserCarted(event_id=self.new_id(), at=self._at(at + wait), **what)
            if bought:
                amount = pieces * int(self.price[product])
                yield from self._purchase(self._at(at + 2 * wait), what, pieces, amount, refund_ms)

    def _purchase(
        self, at: datetime, what: dict[str, str], quantity: int, amount: int, refund_ms: int
    ) -> Iterator[Event]:
        purchase_id = self.new_id()
        yield UserBought(
            event_id=purchase_id,
            at=at,
            quantity=quantity,
            amount=amount,
            currency=self.currency,
            **what,
        )
        if refund_ms:
            yield UserRefunded(
                event_id=self.new_id(),
                at=at + timedelta(milliseconds=refund_ms),
                user_id=what["user_id"],
                purchase_event_id=purchase_id,
            )

    def _at(self, ms: int) -> datetime:
        return self.midnight + timedelta(milliseconds=ms)
