"""What is true of the streamers' influence in a market, as docs/market.md defines it."""

from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from lsec.simulate.columns import Changes, Purchases, Visits, join, until
from lsec.simulate.day import Run
from lsec.simulate.market import Floats, Ints, Market, streamer_id, user_id
from lsec.simulate.world import PERSON, World


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The truth, a value a streamer, each [S], for the whole time of the market.

    Without a streamer's influence everything that took place takes place, this streamer's streams and their
    audience too, and every chance falls as it did, but having seen a product shown by this streamer does
    not move the log odds of buying it.
    """

    effect: Floats
    """Added to the log odds of buying a product seen shown by the streamer."""
    refund_rate: Floats
    """Of the purchases in the streamer's streams."""
    num_visits: Ints
    num_exposed: Ints
    """Users who watched the streamer at least once."""
    num_purchases: Ints
    """Purchases in the streamer's streams, whatever brought them about."""
    num_incremental: Ints
    """Purchases there are, anywhere, less those there would be without the streamer's influence."""
    num_incremental_kept: Ints
    """The same without purchases that were refunded, or would have been."""
    changes: Changes
    """What `num_incremental` counts, one by one, for truths of shorter times and of some of the users."""
    user_kind: Ints
    """[U]: 0 a person, 1 a bot that only watches and opens, 2 a bot that buys and has all refunded."""

    @property
    def effect_on_exposed(self) -> Floats:
        """Incremental purchases per exposed user (the ATT); 0 where nobody is exposed."""
        att: Floats = self.num_incremental / np.maximum(1, self.num_exposed)
        return att

    @property
    def bots(self) -> Ints:
        """The rows of users who are bots."""
        return np.flatnonzero(self.user_kind != PERSON)

    def as_json(self) -> dict[str, Any]:
        """What `lsec simulate --truth` writes: a record a streamer, and the bots."""
        columns = {
            "effect": self.effect,
            "refund_rate": self.refund_rate,
            "num_visits": self.num_visits,
            "num_exposed": self.num_exposed,
            "num_purchases": self.num_purchases,
            "num_incremental": self.num_incremental,
            "num_incremental_kept": self.num_incremental_kept,
            "effect_on_exposed": self.effect_on_exposed,
        }
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        return {
            "streamers": [
                {"streamer_id": streamer_id(row), **dict(zip(columns, each, strict=True))}
                for row, each in enumerate(values)
            ],
            "bots": [user_id(row) for row in self.bots.tolist()],
        }


def true_influence(market: Market) -> Truth:
    """The truth about a market, without keeping its other rows."""
    run = Run(market)
    visits, purchases, changes = [], [], []
    for day in islice(run.days(), market.num_days):
        visits.append(day.visits)
        purchases.append(day.purchases)
        changes.append(day.changes)
    return truth_of(
        run.world,
        join(Visits, visits),
        until(join(Purchases, purchases), run.end),
        until(join(Changes, changes), run.end),
    )


def truth_of(world: World, visits: Visits, purchases: Purchases, changes: Changes) -> Truth:
    """The truth from what happened in the market, and what influence changed, both up to its end."""
    num = len(world.streamer_effect)

    def per_streamer(streamer: Ints, weights: Ints | None = None) -> Ints:
        return np.bincount(streamer, weights=weights, minlength=num).astype(np.int64)

    pairs = np.unique(visits.user * num + visits.streamer)
    kept = np.where(changes.is_refunded, 0, changes.change)
    return Truth(
        effect=world.streamer_effect,
        refund_rate=world.streamer_refund_rate,
        num_visits=per_streamer(visits.streamer),
        num_exposed=per_streamer(pairs % num),
        num_purchases=per_streamer(purchases.streamer[purchases.streamer >= 0]),
        num_incremental=per_streamer(changes.streamer, changes.change),
        num_incremental_kept=per_streamer(changes.streamer, kept),
        changes=changes,
        user_kind=world.user_kind,
    )
