"""One day of the market after the other, as columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from itertools import count

import numpy as np

from graph_schema.events import epoch_ms
from lsec.simulate.audience import (
    Seen,
    draw_engagements,
    draw_live,
    draw_new_follows,
    draw_unfollows,
    draw_visits,
    what_was_seen,
)
from lsec.simulate.columns import (
    Changes,
    Engagements,
    Follows,
    Purchases,
    Showcases,
    Streams,
    Views,
    Visits,
    join,
    keep,
)
from lsec.simulate.decisions import draw_looks, settle
from lsec.simulate.market import DAY_MS, Ints, Market
from lsec.simulate.needs import draw_needs, find_hits, meet
from lsec.simulate.world import build_world

NEW_PRICE_SHARE = 0.005
WEEKLY, MONTHLY, MONTH_DAYS, BUSIEST_WEEKDAY = 0.35, 0.25, 28, 5.5


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """What one day brings; some of it falls on later days: returns, and refunds of its purchases."""

    midnight: int
    priced: Ints
    """Products with a new price, and the price of each."""
    price: Ints
    first_stream: int
    """The market's number of the first of the day's streams."""
    streams: Streams
    showcases: Showcases
    visits: Visits
    engagements: Engagements
    follows: Follows
    unfollows: Follows
    views: Views
    carts: Views
    purchases: Purchases
    changes: Changes


class Run:
    """A market on its way: its world, its state, and its days one by one."""

    def __init__(self, market: Market) -> None:
        """The market on the morning of its first day."""
        self.market = market
        self.world, self.state = build_world(market, np.random.default_rng([market.seed, 0]))
        self.start = epoch_ms(market.start_at.astimezone(UTC))
        self.end = self.start + market.num_days * DAY_MS
        self.first_price = self.state.price.copy()
        self.first_follows = self._first_follows()

    def days(self) -> Iterator[Day]:
        """The days without end; the market's own are the first `num_days`."""
        seen_before = join(Seen, [])
        for number in count():
            day, seen_before = self._day(number, seen_before)
            yield day

    def season(self, number: int) -> float:
        """What week-end and time of the month add to the log of visits and needs, about 0 on average."""
        weekday = (self.market.start_at.astimezone(UTC) + timedelta(days=number)).weekday()
        weekly = WEEKLY * np.cos(2.0 * np.pi * (weekday - BUSIEST_WEEKDAY) / 7.0)
        monthly = MONTHLY * np.sin(2.0 * np.pi * number / MONTH_DAYS + self.world.season_phase)
        return float(weekly + monthly)

    def _first_follows(self) -> Follows:
        """The follows from the start, spread over the day before it."""
        user, streamer = np.divmod(self.state.follows, len(self.world.streamer_taste))
        at = (np.arange(len(user)) + 1) * ((DAY_MS - 1) // max(1, len(user)))
        return Follows(user, streamer, self.start - DAY_MS + at)

    def _day(self, number: int, seen_before: Seen) -> tuple[Day, Seen]:
        """The day, and what users saw on it."""
        market, world, state = self.market, self.world, self.state
        rng = np.random.default_rng([market.seed, 1, number])
        midnight, season = self.start + number * DAY_MS, self.season(number)
        priced = self._new_prices(rng)
        live = draw_live(market, world, state, number, midnight, rng)
        visits = draw_visits(market, world, state, live, season, rng)
        seen = what_was_seen(world, live, visits)
        needs = draw_needs(world, live, season, rng)
        met = meet(world, needs, live, seen, rng)
        hits = find_hits(world, needs, met, live, _merged(seen_before, seen))
        outcome = settle(market, world, state, needs, hits, met, season, rng)
        looks, look_carts = draw_looks(world, seen, rng)
        unfollows = draw_unfollows(world, state, midnight, rng)
        follows = draw_new_follows(world, state, visits, rng)
        day = Day(
            midnight=midnight,
            priced=priced,
            price=state.price[priced],
            first_stream=live.first,
            streams=live.streams,
            showcases=live.showcases(),
            visits=visits,
            engagements=draw_engagements(visits, rng),
            follows=follows,
            unfollows=unfollows,
            views=join(Views, [outcome.views, looks]),
            carts=join(Views, [outcome.carts, look_carts]),
            purchases=outcome.purchases,
            changes=outcome.changes,
        )
        self._keep_follows(follows, unfollows)
        return day, seen

    def _new_prices(self, rng: np.random.Generator) -> Ints:
        """A few products get a new price at midnight: their rows."""
        price = self.state.price
        changed = np.flatnonzero(rng.random(len(price)) < NEW_PRICE_SHARE)
        factor = rng.uniform(0.8, 1.15, size=len(changed))
        price[changed] = np.maximum(1, (price[changed] * factor).astype(np.int64))
        return changed

    def _keep_follows(self, new: Follows, ended: Follows) -> None:
        num_streamers = len(self.world.streamer_taste)
        kept = np.setdiff1d(
            self.state.follows, ended.user * num_streamers + ended.streamer, assume_unique=True
        )
        self.state.follows = np.union1d(kept, new.user * num_streamers + new.streamer)


def _merged(before: Seen, today: Seen) -> Seen:
    both = join(Seen, [before, today])
    return keep(both, np.argsort(both.key, kind="stable"))
