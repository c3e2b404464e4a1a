"""What happens in a market, as columns: ids are rows, times int64 ms since 1970, money int64 minor units."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from lsec.simulate.market import Flags, Ints

NONE = -1
"""The streamer and the stream of what happens outside a stream; the time of a refund that never comes."""

C = TypeVar("C")


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """Live streams, each [N]; the row of a stream is its place."""

    streamer: Ints
    started_at: Ints
    ended_at: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Showcases:
    """Showings of products in streams, each [N]; a stream shows the products of its shelf in turns."""

    streamer: Ints
    stream: Ints
    product: Ints
    at: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """Who watched which stream, from `at` on for `seconds` on end, each [N]: a pair has one at most."""

    user: Ints
    streamer: Ints
    stream: Ints
    at: Ints
    seconds: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Engagements:
    """What viewers said and gave in streams, each [N]."""

    user: Ints
    streamer: Ints
    stream: Ints
    at: Ints
    comments: Ints
    likes: Ints
    gifts: Ints
    shares: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Follows:
    """Follows that begin, or that end, each [N]."""

    user: Ints
    streamer: Ints
    at: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Products opened, or put into the cart, each [N]; outside a stream streamer and stream are -1."""

    user: Ints
    product: Ints
    streamer: Ints
    stream: Ints
    at: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Purchases:
    """Purchases, each [N]; `number` is in the event's id, `refunded_at` is -1 where it is kept."""

    number: Ints
    user: Ints
    product: Ints
    streamer: Ints
    stream: Ints
    at: Ints
    quantity: Ints
    amount: Ints
    refunded_at: Ints

    @property
    def is_refunded(self) -> Flags:
        """Whether each was refunded before the market's end."""
        refunded: Flags = self.refunded_at != NONE
        return refunded


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What one streamer's effect changed, each [N]: +1 bought by it alone, -1 left because of it."""

    user: Ints
    streamer: Ints
    product: Ints
    at: Ints
    """When it was bought, or would have been."""
    change: Ints
    refunded_at: Ints
    """When the purchase was refunded, or would have been; -1 never."""

    @property
    def is_refunded(self) -> Flags:
        """Whether it was refunded, or would have been, before the market's end."""
        refunded: Flags = self.refunded_at != NONE
        return refunded


def names(kind: Any) -> list[str]:
    """The columns of a kind of columns."""
    return [field.name for field in fields(kind)]


def join(kind: type[C], parts: Sequence[C]) -> C:
    """The parts below each other; none are columns of length 0."""
    empty = np.empty(0, dtype=np.int64)
    return kind(*(np.concatenate([empty, *(getattr(part, name) for part in parts)]) for name in names(kind)))


def keep(columns: C, which: Flags | Ints) -> C:
    """The chosen rows."""
    return type(columns)(*(getattr(columns, name)[which] for name in names(columns)))


def until(columns: C, end: int) -> C:
    """The rows before the end; a refund after it is none."""
    at: Ints = getattr(columns, "at")  # noqa: B009 - every kind that ends by time has it, C does not say so
    kept = keep(columns, at < end)
    if isinstance(kept, Purchases | Changes):
        kept.refunded_at[kept.refunded_at >= end] = NONE
    return kept
