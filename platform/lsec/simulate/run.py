"""The market's days as events in time order: a fixed number of days, or on and on at wall-clock time."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np

from graph_schema.events import Event
from lsec.simulate.emit import Emitter
from lsec.simulate.market import Market, build_world


def _utc_now() -> datetime:
    return datetime.now(UTC)


def simulate(market: Market) -> Iterator[Event]:
    """Every event of the market, in time order; the same market gives the same events.

    The records of users, streamers and products and the first follows come on the day before `start_at`,
    then `num_days` days. What would fall after the last day (a refund, a return) is left out.
    """
    run = _Run(market)
    yield from run.records()
    for _ in range(market.num_days):
        yield from run.next_day()


def live(market: Market, *, now: Callable[[], datetime] = _utc_now) -> Iterator[Event]:
    """The days after the market's end, without end; each event carries the time when it is asked for.

    The caller sets the pace. A second call goes on from the same end with event ids of its own, so what
    the market's own days left for later is forgotten: it would come again with every call.
    """
    run = _Run(market)
    run.records()
    for _ in range(market.num_days):
        run.next_day()
    run.emitter.start_anew(f"{market.fingerprint}-live{int(now().timestamp() * 1000):x}")
    while True:
        for event in run.next_day():
            yield msgspec.structs.replace(event, at=now())


class _Run:
    """A market on its way through the days."""

    def __init__(self, market: Market) -> None:
        self._seed = market.seed
        self._midnight = market.start_at.astimezone(UTC)
        self._num_days = 0
        world, state = build_world(market, np.random.default_rng([market.seed, 0]))
        self.emitter = Emitter(market, world, state)

    def records(self) -> list[Event]:
        """The events of the day before the first."""
        return self.emitter.records(self._midnight - timedelta(days=1))

    def next_day(self) -> list[Event]:
        """The events of the next day, in time order."""
        rng = np.random.default_rng([self._seed, 1, self._num_days])
        midnight = self._midnight + timedelta(days=self._num_days)
        self._num_days += 1
        return self.emitter.day(self._num_days, midnight, rng)
