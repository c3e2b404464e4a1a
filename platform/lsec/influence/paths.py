"""Touch paths: the touches that came before each purchase, within an attribution window."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, TypeAlias

import numpy as np

from lsec.core.errors import InvalidInput
from lsec.influence.pairs import begins
from lsec.influence.rows import Bool, Int64, Purchases, Touches

IN_STREAM: Final = "in_stream"
Window: TypeAlias = timedelta | Literal["in_stream"]
"""How far back a purchase looks: a time, or only the touches of the stream that it happened in."""

# Rows of touches that are laid out at once: bounds the memory, and keeps the columns within a cache.
ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class TouchPaths:
    """Touches in order, and the path of each purchase as a slice of them.

    The T touches are sorted by group, time, kind and streamer; a group is a user, or in an in-stream window a
    user in a stream. Path i holds the touches start[i]:stop[i] and ends in purchase[i], a row of the input.
    The N paths are sorted by user and time, so that no figure depends on the order of the input.
    """

    group: Int64  # [T], ascending
    at: Int64  # [T]
    streamer: Int64  # [T]
    purchase: Int64  # [N]
    start: Int64  # [N]
    stop: Int64  # [N]; start where no touch is in the window
    num_streamers: int


@dataclass(frozen=True, slots=True, eq=False)
class PathRows:
    """Some paths laid out, one row per touch: E rows of P paths, none of them empty."""

    path: Int64  # [P], the paths' rows in TouchPaths
    length: Int64  # [P]
    row: Int64  # [E], the row of `path` that a touch belongs to
    position: Int64  # [E], from 0
    touch: Int64  # [E], the touch's row in TouchPaths

    @property
    def first(self) -> Int64:
        """[P], where each path begins among the E rows."""
        return np.cumsum(self.length) - self.length


def touch_paths(
    purchases: Purchases, touches: Touches, *, window: Window, buyers_only: bool = False
) -> TouchPaths:
    """The touch path of every purchase: the same user's touches from `window` before it up to its moment.

    Both ends count. Touches at one moment are ordered by kind, then streamer; a repeated touch counts each
    time; one without a streamer is none. `buyers_only` leaves out the touches of users without a purchase.
    InvalidInput unless the window is positive.
    """
    keep = touches.streamer >= 0
    if buyers_only:
        keep &= _is_buyer(purchases, touches)
    if window == IN_STREAM:
        keep &= touches.stream >= 0
    kept = np.flatnonzero(keep)
    user, stream, at = touches.user[kept], touches.stream[kept], touches.at[kept]
    streamer = touches.streamer[kept]
    num_streamers = int(streamer.max(initial=-1)) + 1
    ties = touches.kind[kept].astype(np.int64) * num_streamers + streamer
    order = sorted_rows(user, stream, at, ties) if window == IN_STREAM else sorted_rows(user, at, ties)
    user, stream, at, streamer = user[order], stream[order], at[order], streamer[order]

    purchase = np.lexsort(
        (purchases.is_refunded, purchases.amount, purchases.at, purchases.stream, purchases.user)
    )
    start = np.searchsorted(user, purchases.user[purchase], side="left")
    stop = np.searchsorted(user, purchases.user[purchase], side="right")
    bought_at, is_new = purchases.at[purchase], begins(user)
    if window == IN_STREAM:
        bought_in = purchases.stream[purchase]
        start, stop = (
            _bisect(stream, start, stop, bought_in, right=False),
            _bisect(stream, start, stop, bought_in, right=True),
        )
        is_new |= begins(stream)
    else:
        start = _bisect(at, start, stop, bought_at - window_ms(window), right=False)
    stop = _bisect(at, start, stop, bought_at, right=True)
    return TouchPaths(np.cumsum(is_new), at, streamer, purchase, start, stop, num_streamers)


def window_ms(length: timedelta) -> int:
    """A window's or half-life's length in whole milliseconds. InvalidInput unless it is positive."""
    ms = length // timedelta(milliseconds=1)
    if ms <= 0:
        raise InvalidInput(f"{length} is no positive time.")
    return ms


def path_rows(paths: TouchPaths, *, at_once: int = ROWS_AT_ONCE) -> Iterator[PathRows]:
    """All paths with a touch, laid out piece by piece: at most `at_once` rows, or one longer path."""
    path = np.flatnonzero(paths.stop > paths.start)
    length = (paths.stop - paths.start)[path]
    ends = np.cumsum(length)
    begin = 0
    while begin < len(path):
        before = ends[begin] - length[begin]
        end = max(int(np.searchsorted(ends, before + at_once, side="right")), begin + 1)
        yield _lay_out(paths, path[begin:end], length[begin:end])
        begin = end


def sorted_rows(*columns: Int64) -> Int64:
    """The rows in ascending order of the columns, of which the first counts most; equal rows in any order.

    As np.lexsort, with one fast sort in place of a slow one per column: of as many columns as fit together in
    an integer; the others only order what is still tied. No value of the first column may be negative.
    """
    packed, size, num_packed = columns[0], int(columns[0].max(initial=0)) + 1, 1
    for column in columns[1:]:
        low = int(column.min(initial=0))
        width = int(column.max(initial=0)) - low + 1
        if size * width >= 2**63:
            break
        packed, size, num_packed = packed * width + (column - low), size * width, num_packed + 1
    order = np.argsort(packed)
    in_order = packed[order]
    is_tie = in_order[1:] == in_order[:-1]
    tied = np.flatnonzero(np.append(is_tie, False) | np.append(False, is_tie))
    rows = order[tied]
    rest = [column[rows] for column in columns[num_packed:]]
    order[tied] = rows[np.lexsort((*reversed(rest), packed[rows]))]
    return order


def _lay_out(paths: TouchPaths, path: Int64, length: Int64) -> PathRows:
    row = np.repeat(np.arange(len(path)), length)
    position = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    return PathRows(path, length, row, position, paths.start[path][row] + position)


def _is_buyer(purchases: Purchases, touches: Touches) -> Bool:
    num_users = 1 + max(int(purchases.user.max(initial=-1)), int(touches.user.max(initial=-1)))
    buys = np.zeros(num_users, dtype=np.bool_)
    buys[purchases.user] = True
    return buys[touches.user]


def _bisect(column: Int64, start: Int64, stop: Int64, value: Int64, *, right: bool) -> Int64:
    """Where value[i] belongs in the ascending column[start[i]:stop[i]] of each i, as in np.searchsorted."""
    low, high = start, stop
    while (searching := low < high).any():
        middle = (low + high) // 2
        found = column[np.where(searching, middle, 0)]
        is_after = found <= value if right else found < value
        low = np.where(searching & is_after, middle + 1, low)
        high = np.where(searching & ~is_after, middle, high)
    return low
