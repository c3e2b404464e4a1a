"""Who watched a streamer, and what is known of each user from before: the columns that `lift` compares.

Four windows follow each other: what is known of the users, the placebo, and the window in which some are
exposed and all buy. Nothing known reaches into the placebo's window, or the placebo would hold itself. Users
who watched the streamer in the placebo's window or on the day before it are left out: an influence that
already works is no placebo, and would still work later. So are users of whom nothing is known.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lsec.core.errors import InvalidInput
from lsec.influence.paths import window_ms
from lsec.influence.rows import Bool, Int64, Purchases, Touches, TouchKind

Floats = NDArray[np.float64]

DAY_MS: Final = 86_400_000
WASHOUT_MS: Final = DAY_MS
"""How long before the placebo's window a visit still makes its user no subject of the comparison."""
MAX_UNEXPOSED: Final = 50_000
"""Users without a visit that a lift looks at: more of them would hardly narrow its interval."""
MAX_CATEGORIES: Final = 12
"""Categories with a column of their own: those opened most often; the others share one."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Times in ms since the epoch; each window ends where the next begins, at a moment of the next one.

    InvalidInput unless they ascend.
    """

    known_since: int
    placebo_since: int
    since: int
    until: int

    def __post_init__(self) -> None:
        if not self.known_since < self.placebo_since < self.since < self.until:
            raise InvalidInput("The windows of a lift do not follow each other.")

    @classmethod
    def before(
        cls, since: int, until: int, *, known: timedelta, placebo: timedelta | None = None
    ) -> "Windows":
        """The windows that lead up to since…until; the placebo's is as long as that when left out."""
        placebo_since = since - (until - since if placebo is None else window_ms(placebo))
        return cls(placebo_since - window_ms(known), placebo_since, since, until)


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """The N users compared, ascending, and their columns for `lift`.

    purchases are all that a user made in the window, in the shop or through whichever streamer: what a
    streamer only moved from elsewhere is no gain. Refunded ones count unless they were left out before.
    """

    user: Int64  # [N]
    is_exposed: Bool  # [N], watched the streamer within since ≤ at < until
    purchases: Int64  # [N]
    placebo_purchases: Int64  # [N]
    covariates: Floats  # [N, K]
    names: tuple[str, ...]  # [K]
    num_watched_before: (
        int  # users left out because they watched the streamer in the placebo or the day before
    )
    num_unknown: int  # users left out because nothing is known of them


def compared_users(visitors: Int64, num_users: int, *, seed: int, most: int = MAX_UNEXPOSED) -> Int64:
    """The users whose rows a lift of these visitors needs, ascending: they, and `most` others by lot.

    The weights of the others are relative ones, so that a part of them tells the same.
    """
    others = np.setdiff1d(np.arange(num_users), visitors)
    if len(others) > most:
        others = np.random.default_rng(seed).choice(others, most, replace=False)
    return np.union1d(visitors, others)


def exposure(
    streamer: int,
    purchases: Purchases,
    touches: Touches,
    *,
    product_category: Int64,
    num_users: int,
    windows: Windows,
) -> Exposure:
    """The users exposed to a streamer and those not, with what was known of them before the placebo's window.

    product_category[P] is −1 for none. The touches are those of all users and all streamers, with openings
    outside any stream (streamer −1) too: users are alike when they open, watch and buy alike. Follows count
    from any time before, all else from known_since on. InvalidInput for a user or product out of range.
    """
    _require_rows("user", num_users, purchases.user, touches.user)
    _require_rows("product", len(product_category), touches.product[touches.kind == TouchKind.VIEW])
    watched_at = touches.at[is_visit := (touches.kind == TouchKind.WATCH) & (touches.streamer == streamer)]
    watched_by = touches.user[is_visit]

    def watches(since: int, until: int) -> Bool:
        inside = (watched_at >= since) & (watched_at < until)
        return np.bincount(watched_by[inside], minlength=num_users) > 0

    def bought(since: int, until: int) -> Int64:
        inside = (purchases.at >= since) & (purchases.at < until)
        return np.bincount(purchases.user[inside], minlength=num_users)

    known = _Known(streamer, purchases, touches, product_category, num_users, windows)
    names, columns, is_known = known.covariates()
    has_watched = watches(windows.placebo_since - WASHOUT_MS, windows.since)
    user = np.flatnonzero(is_known & ~has_watched)
    return Exposure(
        user=user,
        is_exposed=watches(windows.since, windows.until)[user],
        purchases=bought(windows.since, windows.until)[user],
        placebo_purchases=bought(windows.placebo_since, windows.since)[user],
        covariates=columns[user],
        names=names,
        num_watched_before=int(has_watched.sum()),
        num_unknown=int(np.sum(~is_known & ~has_watched)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What was seen of the users before the placebo's window."""

    streamer: int
    purchases: Purchases
    touches: Touches
    product_category: Int64
    num_users: int
    windows: Windows

    def covariates(self) -> tuple[tuple[str, ...], Floats, Bool]:
        """The names [K] and values [U, K] of the covariates, and whether anything [U] is known."""
        touches, kind = self.touches, self.touches.kind
        is_before = touches.at < self.windows.placebo_since
        is_recent = is_before & (touches.at >= self.windows.known_since)
        visits = is_recent & (kind == TouchKind.WATCH)
        views = is_recent & (kind == TouchKind.VIEW)
        follows = is_before & (kind == TouchKind.FOLLOW)
        is_own = touches.streamer == self.streamer
        buys = (self.purchases.at >= self.windows.known_since) & (
            self.purchases.at < self.windows.placebo_since
        )
        num_views, num_visits = self._count(views), self._count(visits)
        # A rate of buying goes with the counts themselves, the odds of watching with their logarithms.
        columns = {
            "days active": self._days(is_recent, buys),
            "openings": num_views,
            "openings, log": np.log1p(num_views),
            "openings outside streams": self._count(views & (touches.streamer < 0)),
            "purchases": np.bincount(self.purchases.user[buys], minlength=self.num_users),
            "visits": num_visits,
            "visits, log": np.log1p(num_visits),
            "visits to the streamer": self._count(visits & is_own),
            "engagements": self._count(is_recent & (kind == TouchKind.ENGAGE)),
            "follows": self._count(follows),
            "follows the streamer": np.minimum(self._count(follows & is_own), 1),
            **self._tastes(views, is_own),
        }
        is_known = (columns["days active"] > 0) | (columns["follows"] > 0)
        return tuple(columns), np.column_stack(list(columns.values())).astype(np.float64), is_known

    def _count(self, rows: Bool) -> Int64:
        return np.bincount(self.touches.user[rows], minlength=self.num_users)

    def _days(self, touched: Bool, bought: Bool) -> Int64:
        """[U], the days on which a user did anything."""
        user = np.concatenate([self.touches.user[touched], self.purchases.user[bought]])
        at = np.concatenate([self.touches.at[touched], self.purchases.at[bought]])
        num_days = (self.windows.placebo_since - self.windows.known_since) // DAY_MS + 1
        day = (at - self.windows.known_since) // DAY_MS
        seen = np.bincount(user * num_days + day, minlength=self.num_users * num_days)
        active: Int64 = (seen.reshape(self.num_users, num_days) > 0).sum(axis=1)
        return active

    def _tastes(self, views: Bool, is_own: Bool) -> dict[str, Floats]:
        """Each user's openings by category, as shares, and how much they are those made with the streamer."""
        group = self.product_category[self.touches.product[views]]
        sizes = np.bincount(group + 1)[1:]
        largest = np.argsort(-sizes, kind="stable")[:MAX_CATEGORIES]
        place = np.full(len(sizes) + 1, len(largest))
        place[largest] = np.arange(len(largest))
        group = place[group]
        cell = self.touches.user[views] * (len(largest) + 1) + group
        shape = (self.num_users, len(largest) + 1)
        counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
        # As if everybody had opened one thing more, at the rates of all.
        rates = counts.sum(axis=0) / max(int(counts.sum()), 1)
        shares = (counts + rates) / (counts.sum(axis=1, keepdims=True) + 1)
        own = np.bincount(group[is_own[views]], minlength=shape[1]).astype(np.float64)
        own = (own + rates) / (own.sum() + 1)
        names = [f"share of openings in category {k}" for k in largest.tolist()]
        return {
            "taste for the streamer": shares @ own,
            **dict(zip(names, shares.T, strict=False)),
        }


def _require_rows(name: str, num: int, *columns: Int64) -> None:
    for column in columns:
        if len(column) and not 0 <= column.min() <= column.max() < num:
            raise InvalidInput(f"A {name} row is not from 0 to {num - 1}.", field=name)
