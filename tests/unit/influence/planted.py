"""Simulated markets as the rows that the estimators read, and the truth about them in a window of time."""

from dataclasses import fields
from typing import Any

import numpy as np

from lsec.influence.exposure import Windows
from lsec.influence.rows import Bool, Int64, Purchases, Touches, TouchKind
from lsec.simulate import Rows, Truth

DAY_MS = 86_400_000


def purchases_of(rows: Rows) -> Purchases:
    """All purchases of a market, refunded ones marked."""
    return Purchases(**{column.name: getattr(rows.purchases, column.name) for column in fields(Purchases)})


def touches_of(rows: Rows) -> Touches:
    """Every follow, visit, opening and engagement of a market; an opening in the shop has no streamer."""
    parts: dict[TouchKind, Any] = {
        TouchKind.FOLLOW: rows.follows,
        TouchKind.WATCH: rows.visits,
        TouchKind.VIEW: rows.views,
        TouchKind.ENGAGE: rows.engagements,
    }

    def column(name: str) -> Int64:
        return np.concatenate(
            [getattr(part, name, np.full(len(part.at), -1, np.int64)) for part in parts.values()]
        )

    kinds = [np.full(len(part.at), kind, np.int8) for kind, part in parts.items()]
    return Touches(
        user=column("user"),
        streamer=column("streamer"),
        kind=np.concatenate(kinds),
        at=column("at"),
        product=column("product"),
        stream=column("stream"),
    )


def windows_of(rows: Rows, *, placebo: int, since: int, until: int) -> Windows:
    """The windows that begin and end at the midnights after so many days."""
    at = (rows.start + day * DAY_MS for day in (0, placebo, since, until))
    return Windows(*at)


def true_gain(
    truth: Truth, streamer: int, users: Int64, bought: Int64, windows: Windows
) -> tuple[float, float]:
    """What the streamer added a user of users[N]: purchases, and the rate of those who bought any.

    bought[N] are the purchases there were in the window.
    """
    changes = truth.changes
    inside: Bool = (changes.at >= windows.since) & (changes.at < windows.until)
    inside &= changes.streamer == streamer
    added = np.bincount(
        changes.user[inside], changes.change[inside], minlength=int(users.max(initial=0)) + 1
    )[users]
    return float(added.mean()), float(np.mean(bought > 0) - np.mean(bought - added > 0))
