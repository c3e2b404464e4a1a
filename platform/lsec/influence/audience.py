"""Who follows, watches and buys from a streamer, whom they share with others, and who is slipping away.

An audience is a set of users: followers, watchers or buyers. Two of sizes a and b with s shared have
Jaccard similarity s/(a + b − s) and cosine similarity s/√(ab); independent ones would share ab/N of N users.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from lsec.core.errors import InvalidInput
from lsec.influence.pairs import distinct, places_of
from lsec.influence.rows import Purchases

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

Measure = Literal["jaccard", "cosine"]

DAY_MS: Final = 86_400_000
"""An end of a stream that never came is taken to be no later than this."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """The sizes of two audiences and of what they share; lift is that over what independence would give."""

    num_first: int
    num_second: int
    num_shared: int
    jaccard: float
    cosine: float
    lift: float


@dataclass(frozen=True, slots=True)
class Nearest:
    """Streamers[n] by falling similarity to one, with the users they share with it and their audience's size.

    num_shared and num_users are −1 where the similarity is not of audiences.
    """

    streamers: Ints
    similarities: Floats
    num_shared: Ints
    num_users: Ints


@dataclass(frozen=True, slots=True)
class BuyerGroup:
    """Buyers, their purchases from the two streamers, and the amount of those in minor units."""

    num_buyers: int
    num_purchases: int
    amount: int


@dataclass(frozen=True, slots=True)
class Buyers:
    """The buyers of two streamers: of the first alone, of the second alone, and of both.

    loyal_to_* bought through no other streamer at all in these purchases.
    """

    only_first: BuyerGroup
    only_second: BuyerGroup
    shared: BuyerGroup
    loyal_to_first: BuyerGroup
    loyal_to_second: BuyerGroup


@dataclass(frozen=True, slots=True)
class Watching:
    """Seconds of watching: users[E], streamers[E], at[E] in ms since the epoch, seconds[E]; pairs repeat."""

    users: Ints
    streamers: Ints
    at: Ints
    seconds: Ints


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Followers at risk, the most seconds lost first.

    Each has the seconds watched before, those of the recent window, and those expected there.
    """

    users: Ints
    streamers: Ints
    seconds_before: Ints
    seconds_recent: Ints
    seconds_expected: Floats


def overlap(first: Ints, second: Ints, *, num_users: int) -> Overlap:
    """The overlap of two audiences, given as user rows in any order and repetition, among num_users.

    Similarities are 0 when either is empty, and the lift is then NaN.
    """
    first, second = distinct(first), distinct(second)
    shared = len(np.intersect1d(first, second, assume_unique=True))
    a, b = len(first), len(second)
    return Overlap(
        num_first=a,
        num_second=b,
        num_shared=shared,
        jaccard=shared / (a + b - shared) if shared else 0.0,
        cosine=float(shared / np.sqrt(a * b)) if shared else 0.0,
        lift=shared * num_users / (a * b) if a and b else float("nan"),
    )


def nearest_by_audience(
    streamers: Ints,
    users: Ints,
    *,
    streamer: int,
    num_streamers: int,
    num_nearest: int,
    measure: Measure = "jaccard",
    min_shared: int = 1,
) -> Nearest:
    """The streamers whose audience is most like that of one, from pairs streamers[E], users[E].

    Pairs may repeat. Streamers who share fewer than min_shared users are left out, as small audiences are
    alike by chance; ties go to the lower row. InvalidInput for a streamer row out of range.
    """
    _require_streamer(streamer, num_streamers)
    num_users = int(users.max(initial=0)) + 1
    keys = distinct(streamers * num_users + users)
    streamers, users = keys // num_users, keys % num_users
    sizes = np.bincount(streamers, minlength=num_streamers)
    is_own = np.zeros(num_users, np.bool_)
    is_own[users[streamers == streamer]] = True
    shared = np.bincount(streamers[is_own[users]], minlength=num_streamers)
    a = sizes[streamer]
    scale = a + sizes - shared if measure == "jaccard" else np.sqrt(a * sizes)
    similarities = np.divide(shared, scale, out=np.zeros(num_streamers), where=scale > 0)
    others = np.flatnonzero(shared >= max(min_shared, 1))
    others = others[others != streamer]
    # A quotient of whole numbers, as equal ones must be equal: of roots they are not.
    order = similarities if measure == "jaccard" else shared**2 / np.maximum(sizes, 1)
    found = others[np.argsort(-order[others], kind="stable")[:num_nearest]]
    return Nearest(found, similarities[found], shared[found], sizes[found])


def nearest_by_embedding(vectors: NDArray[np.floating], *, streamer: int, num_nearest: int) -> Nearest:
    """The streamers of the largest cosine with one among vectors[S, D]; a vector of zeros is like none.

    Ties go to the lower row. InvalidInput for a streamer row out of range.
    """
    _require_streamer(streamer, len(vectors))
    own = vectors[streamer].astype(np.float64)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(own)
    cosines = np.divide(vectors @ own, lengths, out=np.zeros(len(vectors)), where=lengths > 0)
    others = np.flatnonzero((lengths > 0) & (np.arange(len(vectors)) != streamer))
    found = others[np.argsort(-cosines[others], kind="stable")[:num_nearest]]
    unknown = np.full(len(found), -1, np.int64)
    return Nearest(found, cosines[found], unknown, unknown)


def buyers(purchases: Purchases, *, first: int, second: int) -> Buyers:
    """Exclusive and shared buyers of two streamers; refunded purchases and those without a streamer are out.

    A group's purchases and amount are those from the two streamers. InvalidInput when both are the same.
    """
    if first == second:
        raise InvalidInput("The two streamers are the same.", field="second")
    counts = ~purchases.is_refunded & (purchases.streamer >= 0)
    users, streamers = purchases.user[counts], purchases.streamer[counts]
    amounts = purchases.amount[counts]
    _, codes = np.unique(users, return_inverse=True)
    size = int(codes.max(initial=-1)) + 1
    by_first, by_second, by_other = (
        np.bincount(codes[mask], minlength=size) > 0
        for mask in (
            streamers == first,
            streamers == second,
            (streamers != first) & (streamers != second),
        )
    )
    is_theirs = (streamers == first) | (streamers == second)

    def group(is_member: Flags) -> BuyerGroup:
        rows = is_theirs & is_member[codes]
        return BuyerGroup(int(is_member.sum()), int(rows.sum()), int(amounts[rows].sum()))

    return Buyers(
        only_first=group(by_first & ~by_second),
        only_second=group(by_second & ~by_first),
        shared=group(by_first & by_second),
        loyal_to_first=group(by_first & ~by_second & ~by_other),
        loyal_to_second=group(by_second & ~by_first & ~by_other),
    )


def followers_at_risk(
    followers: tuple[Ints, Ints],
    watching: Watching,
    *,
    until: int,
    recent_ms: int,
    before_ms: int,
    min_seconds_before: int = 600,
    max_share: float = 0.5,
    pace: Floats | None = None,
) -> AtRisk:
    """The followers (users[F], streamers[F]) who still follow but watch far less than they did.

    The recent window is the recent_ms before `until`, the one before that has before_ms. A follower with at
    least min_seconds_before of watching there is expected to watch as much per time in the recent window,
    times pace[S], the streamer's live time per day in the recent window over that before (1 when left out:
    then a pause puts everyone at risk). At risk is who watched at most max_share of what is expected.
    InvalidInput for a window that is not positive or a share outside 0 to 1.
    """
    if recent_ms <= 0 or before_ms <= 0:
        raise InvalidInput("A window is not longer than nothing.")
    if not 0 <= max_share <= 1:
        raise InvalidInput("The share of the former watching is not between 0 and 1.", field="max_share")
    users, streamers = followers
    num_users = int(max(users.max(initial=0), watching.users.max(initial=0))) + 1
    pairs = distinct(streamers * num_users + users)
    places = places_of(pairs, watching.streamers * num_users + watching.users)
    since = until - recent_ms
    recent = _seconds_of(watching, places, len(pairs), since, until)
    before = _seconds_of(watching, places, len(pairs), since - before_ms, since)
    streamers, users = pairs // num_users, pairs % num_users
    expected = before.astype(np.float64) * (recent_ms / before_ms)
    if pace is not None:
        expected *= pace[streamers]
    at_risk = np.flatnonzero(
        (before >= min_seconds_before) & (expected > 0) & (recent <= max_share * expected)
    )
    found = at_risk[np.argsort(recent[at_risk] - expected[at_risk], kind="stable")]
    return AtRisk(users[found], streamers[found], before[found], recent[found], expected[found])


def pace_of(streams: tuple[Ints, Ints], *, until: int, recent_ms: int, before_ms: int) -> float | None:
    """A streamer's live time per day in the recent window over that in the one before; None if none was.

    Streams are (started_at[N], ended_at[N]) in ms; the end −1 of one that goes on is `until`, or a day later
    than its start if that is earlier. The windows are those of `followers_at_risk`.
    """
    started_at, ended_at = streams
    ended_at = np.where(ended_at < 0, np.minimum(started_at + DAY_MS, until), ended_at)
    since = until - recent_ms

    def live_ms(begin: int, end: int) -> int:
        return int(np.maximum(np.minimum(ended_at, end) - np.maximum(started_at, begin), 0).sum())

    before = live_ms(since - before_ms, since)
    return live_ms(since, until) / recent_ms / (before / before_ms) if before else None


def _seconds_of(watching: Watching, places: Ints, num_pairs: int, since: int, until: int) -> Ints:
    """The seconds [num_pairs] within since ≤ at < until, of the pairs that the rows are of; −1 is of none."""
    inside = (places >= 0) & (watching.at >= since) & (watching.at < until)
    seconds = np.bincount(places[inside], watching.seconds[inside], minlength=num_pairs)
    return np.rint(seconds).astype(np.int64)


def _require_streamer(streamer: int, num_streamers: int) -> None:
    if not 0 <= streamer < num_streamers:
        raise InvalidInput(f"There is no streamer row {streamer} among {num_streamers}.", field="streamer")
