"""The market's days as events in time order: a fixed number of days, or on and on at wall-clock time."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice

import msgspec
import numpy as np

from graph_schema.events import Event
from lsec.simulate.columns import join
from lsec.simulate.day import Day, Run
from lsec.simulate.emit import Emitter
from lsec.simulate.market import DAY_MS, Market
from lsec.simulate.table import Kind, Table, in_time, of_day, of_rows, table


def _utc_now() -> datetime:
    return datetime.now(UTC)


def simulate(market: Market) -> Iterator[Event]:
    """Every event of the market, in time order; the same market gives the same events.

    The records of users, streamers and products and the first follows come on the day before `start_at`,
    then `num_days` days. What would fall after the last day (a refund, a return) is left out. One day is
    held in memory at a time.
    """
    run = Run(market)
    emitter = Emitter(market, run.world, market.fingerprint)
    for part in tables(run):
        yield from emitter.events(part)


def tables(run: Run) -> Iterator[Table]:
    """The events of `simulate` as columns: the records with the first follows, then a table a day."""
    yield _records(run)
    yield from _day_tables(islice(run.days(), run.market.num_days))


def live(market: Market, *, now: Callable[[], datetime] = _utc_now) -> Iterator[Event]:
    """The days after the market's end, without end; each event carries the time when it is asked for.

    The caller sets the pace. A second call goes on from the same end with event ids of its own, so what
    the market's own days left for later is forgotten: it would come again with every call.
    """
    run = Run(market)
    days = run.days()
    for _ in islice(days, market.num_days):
        pass
    emitter = Emitter(market, run.world, f"{market.fingerprint}-live{int(now().timestamp() * 1000):x}")
    for day_table in _day_tables(days):
        for event in emitter.events(day_table):
            yield msgspec.structs.replace(event, at=now())


def _day_tables(days: Iterator[Day]) -> Iterator[Table]:
    """Each day's events in time order, with those that earlier ones left for it."""
    later = join(Table, [])
    for day in days:
        now, later = in_time(join(Table, [later, of_day(day)]), day.midnight + DAY_MS)
        yield now


def _records(run: Run) -> Table:
    """Everyone and everything on the midnight of the day before the first, then the first follows."""
    num_users, num_streamers, price = len(run.world.user_kind), len(run.world.streamer_taste), run.first_price
    midnight = run.start - DAY_MS
    return join(
        Table,
        [
            table(Kind.PRODUCT, np.full(len(price), midnight), product=np.arange(len(price)), amount=price),
            table(Kind.STREAMER, np.full(num_streamers, midnight), streamer=np.arange(num_streamers)),
            table(Kind.USER, np.full(num_users, midnight), user=np.arange(num_users)),
            of_rows(Kind.FOLLOWED, run.first_follows),
        ],
    )
