"""A whole market as numpy columns, and the truth about its streamers' influence, without a single event."""

from dataclasses import dataclass
from itertools import islice

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
    until,
)
from lsec.simulate.day import Day, Run
from lsec.simulate.market import Ints, Market
from lsec.simulate.truth import Truth, truth_of


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What is there to be observed of a market, in no order in particular, up to its end.

    Rows of users, streamers, products and streams are those of the ids in the events (`user-3`, …);
    purchase n of the events is the one whose `number` is n.
    """

    start: int
    """The first midnight, ms since 1970; the first follows come on the day before."""
    end: int
    product_category: Ints
    """[P], numbers of `lsec.simulate.world.CATEGORIES`."""
    streams: Streams
    showcases: Showcases
    visits: Visits
    engagements: Engagements
    follows: Follows
    unfollows: Follows
    views: Views
    carts: Views
    purchases: Purchases


def observe(market: Market) -> tuple[Rows, Truth]:
    """Runs the market: what can be observed of it, and what is true of it."""
    run = Run(market)
    days = list(islice(run.days(), market.num_days))
    rows = _rows(run, days)
    changes = until(join(Changes, [day.changes for day in days]), run.end)
    return rows, truth_of(run.world, rows.visits, rows.purchases, changes)


def _rows(run: Run, days: list[Day]) -> Rows:
    return Rows(
        start=run.start,
        end=run.end,
        product_category=run.world.product_category,
        streams=join(Streams, [day.streams for day in days]),
        showcases=join(Showcases, [day.showcases for day in days]),
        visits=join(Visits, [day.visits for day in days]),
        engagements=join(Engagements, [day.engagements for day in days]),
        follows=join(Follows, [run.first_follows, *(day.follows for day in days)]),
        unfollows=join(Follows, [day.unfollows for day in days]),
        views=until(join(Views, [day.views for day in days]), run.end),
        carts=until(join(Views, [day.carts for day in days]), run.end),
        purchases=until(join(Purchases, [day.purchases for day in days]), run.end),
    )
