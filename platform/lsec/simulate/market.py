"""What decides a market: its sizes, its seed, and how much of what is planted in it."""

import hashlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
EARLIEST_START = datetime(2000, 1, 2, tzinfo=UTC)
"""The API takes no event from before 2000, and the records come on the day before the start."""
SIZES = ("num_users", "num_streamers", "num_products", "num_days")
MOST = {"num_users": 2_000_000, "num_streamers": 100_000, "num_products": 1_000_000, "num_days": 3650}
RANGES = {
    "confounding": (0.0, 2.0),
    "influence": (-2.0, 3.0),
    "bots": (0.0, 0.5),
    "taste_effect": (0.0, 10.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What decides a market: the same values give the same events, byte for byte, on one machine."""

    seed: int = 7
    num_users: int = 400
    num_streamers: int = 30
    num_products: int = 600
    num_days: int = 14
    start_at: datetime = datetime(2025, 6, 2, tzinfo=UTC)
    currency: str = "USD"
    taste_effect: float = 4.0
    """How much a product's match with the user's taste moves the log odds of buying it."""
    confounding: float = 1.0
    """How much taste, activity and season decide who watches whom and when; 0: nothing of it."""
    influence: float = 1.0
    """Factor on every streamer's planted effect; 0 plants nothing."""
    bots: float = 0.02
    """The share of users who are bots."""
    silenced: tuple[int, ...] = ()
    """Streamers (rows) whose effect is nil, all else being the very same: a counterfactual market."""

    def __post_init__(self) -> None:
        """ValueError, beginning with the name of the value that is wrong."""
        for name in SIZES:
            if not 1 <= getattr(self, name) <= MOST[name]:
                raise ValueError(f"{name} must be from 1 to {MOST[name]:,}, and is {getattr(self, name)}")
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and least <= value <= most):
                raise ValueError(f"{name} must be from {least:g} to {most:g}, and is {value:g}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, and is {self.seed}")
        if self.start_at.tzinfo is None:
            raise ValueError("start_at needs a time zone")
        if not EARLIEST_START <= self.start_at <= EARLIEST_START + timedelta(days=2_000_000):
            raise ValueError(
                "start_at must be from 2000-01-02 on, and is not in the platform's range of time"
            )
        if any(not 0 <= row < self.num_streamers for row in self.silenced):
            raise ValueError(f"silenced must name rows below {self.num_streamers}, and is {self.silenced}")

    @property
    def fingerprint(self) -> str:
        """Eight hex digits of all values; part of every event id, so that two markets never share one."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:8]


def user_id(row: int) -> str:
    """The id of a user in events."""
    return f"user-{row}"


def streamer_id(row: int) -> str:
    """The id of a streamer in events."""
    return f"streamer-{row}"


def product_id(row: int) -> str:
    """The id of a product in events."""
    return f"product-{row}"


def stream_id(prefix: str, row: int) -> str:
    """The id of a stream in events; the prefix is the market's fingerprint."""
    return f"stream-{prefix}-{row}"


def purchase_id(prefix: str, number: int) -> str:
    """The event id of a purchase."""
    return f"sim-{prefix}-p{number}"


def taste_match(left: Singles, right: Singles) -> Singles:
    """Cosines of left[N, d] and right[N, d], row by row."""
    cosines: Singles = np.einsum("nd,nd->n", left, right)
    return cosines


def sigmoid(logit: Floats) -> Floats:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-logit))
