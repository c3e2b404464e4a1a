"""Purchases and touches from plain rows, small random ones, and the slow way to the path of a purchase."""

from datetime import timedelta
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lsec.influence.paths import IN_STREAM, Window
from lsec.influence.rows import Int64, Purchases, Touches, TouchKind

HOUR_MS = 3_600_000
FOLLOW, WATCH, VIEW, ENGAGE = TouchKind
WINDOWS: tuple[Window, ...] = (IN_STREAM, timedelta(hours=3), timedelta(hours=24), timedelta(days=7))


def purchases(*rows: tuple[int, float] | tuple[int, float, dict[str, Any]]) -> Purchases:
    """Purchases from (user, hour) and the columns that differ from the default."""
    default = {"product": 0, "streamer": -1, "stream": -1, "amount": 100, "quantity": 1, "is_refunded": False}
    full = [{**default, "user": row[0], "at": int(row[1] * HOUR_MS), **dict(*row[2:])} for row in rows]
    names = ("user", "product", "streamer", "stream", "at", "amount", "quantity")
    columns = {name: np.array([row[name] for row in full], np.int64) for name in names}
    return Purchases(**columns, is_refunded=np.array([row["is_refunded"] for row in full], np.bool_))


def touches(*rows: tuple[int, int, float] | tuple[int, int, float, dict[str, Any]]) -> Touches:
    """Touches from (user, streamer, hour) and the columns that differ from the default."""
    default = {"kind": WATCH, "product": -1, "stream": -1}
    full = [
        {**default, "user": row[0], "streamer": row[1], "at": int(row[2] * HOUR_MS), **dict(*row[3:])}
        for row in rows
    ]
    columns = {
        name: np.array([row[name] for row in full], np.int64)
        for name in ("user", "streamer", "at", "product", "stream")
    }
    return Touches(**columns, kind=np.array([row["kind"] for row in full], np.int8))


def in_order(rows: Any, order: Int64) -> Any:
    """The purchases or touches in another order, or some of them."""
    return type(rows)(**{name: getattr(rows, name)[order] for name in type(rows).__dataclass_fields__})


def random_purchases(seed: int, num: int) -> Purchases:
    """Purchases of three users in two streams or none, at few distinct hours: many are tied."""
    rng = np.random.default_rng([seed, 1])
    user, product, streamer, at, amount = rng.integers(0, [[3], [4], [5], [30], [5000]], (5, num))
    at[rng.random(num) < 0.2] += 168
    stream = rng.integers(-1, 2, num)
    return Purchases(
        user, product, streamer, stream, at * HOUR_MS, amount, np.ones(num, int), rng.random(num) < 0.3
    )


def random_touches(seed: int, num: int) -> Touches:
    """Touches of four users and five streamers, or none, in two streams or none, at the same hours."""
    rng = np.random.default_rng([seed, 2])
    user, kind, at = rng.integers(0, [[4], [4], [30]], (3, num))
    at[rng.random(num) < 0.2] += 168
    stream, streamer = rng.integers(-1, [[2], [5]], (2, num))
    return Touches(user, streamer, kind.astype(np.int8), at * HOUR_MS, np.full(num, -1), stream)


seeds = st.integers(0, 10**6)
some_purchases = st.builds(random_purchases, seeds, st.sampled_from([0, 2, 6, 10, 12]))
some_touches = st.builds(random_touches, seeds, st.sampled_from([0, 5, 20, 40, 60]))
some_windows = st.sampled_from(WINDOWS)


def path_of(bought: Purchases, touched: Touches, row: int, window: Window) -> list[int]:
    """The rows of the touches on the path of one purchase, in order, found one by one."""
    path = []
    for t in range(len(touched)):
        age_ms = bought.at[row] - touched.at[t]
        if touched.user[t] != bought.user[row] or touched.streamer[t] < 0 or age_ms < 0:
            continue
        if window == IN_STREAM:
            is_within = touched.stream[t] >= 0 and touched.stream[t] == bought.stream[row]
        else:
            is_within = age_ms <= window / timedelta(milliseconds=1)
        if is_within:
            path.append(t)
    return sorted(path, key=lambda t: (touched.at[t], touched.kind[t], touched.streamer[t]))
