"""The split by time: what was known before a moment, and what was bought for the first time from then on."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from workers.training.data import (
    COLUMNS,
    DAY_MS,
    Ids,
    Interactions,
    Pairs,
    Records,
    Rows,
    Timeline,
    distinct_pairs,
)


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """`train` is what was known before the cutoff; `held_out` are pairs of its rows, first bought later.

    num_unknown later pairs are in neither, since their user or product was not known before the cutoff.
    """

    train: Interactions
    held_out: Pairs
    num_unknown: int


def time_split(timeline: Timeline, cutoff_ms: int) -> TimeSplit:
    """Nothing that happened at or after the cutoff, in epoch milliseconds, has any influence on `train`.

    - Purchases and followings count when they are older than the cutoff.
    - What was watched and viewed is known by day: it counts when its whole UTC day is over.
    - What a streamer sells counts from its first offer on. Its counter is of all time, so a pair counts once,
      with the time of the first offer.
    - A user, product or streamer without any such record is left out, and rows are in the order of ids, so
      that their numbers tell nothing of later ones either.

    A snapshot holds what is so when it is taken. A following that ended or was renewed after the cutoff, and
    a purchase refunded after it, are therefore missing from `train`, though they were known at the time: it
    may hold less than was known, never more.
    """
    known = _known(timeline, cutoff_ms)
    ids, rows = {}, {}
    for kind in ("user", "product", "streamer"):
        ids[kind], rows[kind] = _numbered(
            getattr(timeline, f"{kind}_ids"),
            [each for name, records in known.items() for each in _ends(name, records, kind)],
        )
    relations = {name: _renumbered(name, records, rows).pairs() for name, records in known.items()}
    train = Interactions(ids["user"], ids["product"], ids["streamer"], **relations)
    later = timeline.buys.where(timeline.buys.at >= cutoff_ms)
    first = later.pairs().without(known["buys"].pairs())
    sources, targets = rows["user"][first.sources], rows["product"][first.targets]
    is_known = (sources >= 0) & (targets >= 0)
    held_out = distinct_pairs(
        sources[is_known], targets[is_known], first.counts[is_known], first.last_at[is_known]
    )
    return TimeSplit(train, held_out, int((~is_known).sum()))


def cutoff_by_share(timeline: Timeline, share: float) -> int:
    """The cutoff, in epoch milliseconds, from which on about this share of the purchases was made.

    Purchases of one moment are never parted: the share may be larger by them.
    """
    at = np.sort(timeline.buys.at)
    place = int(len(at) * (1 - share))
    return int(at[place] if place < len(at) else at[-1] + 1)


def _known(timeline: Timeline, cutoff_ms: int) -> dict[str, Records]:
    """Each relation's records of before the cutoff."""
    buys, follows, sells = timeline.buys, timeline.follows, timeline.sells
    watched, viewed = timeline.watched, timeline.viewed
    offered = sells.where(sells.at < cutoff_ms)
    return {
        "buys": buys.where(buys.at < cutoff_ms),
        "follows": follows.where(follows.at < cutoff_ms),
        "sells": replace(offered, counts=np.ones_like(offered.counts), last_at=offered.at),
        "watched": watched.where(watched.at + DAY_MS <= cutoff_ms),
        "viewed": viewed.where(viewed.at + DAY_MS <= cutoff_ms),
    }


def _ends(relation: str, records: Records, kind: str) -> list[NDArray[np.integer]]:
    """The rows of this kind of node that the records name."""
    ends = zip(COLUMNS[relation][:2], (records.sources, records.targets), strict=True)
    return [rows for name, rows in ends if name == kind]


def _numbered(ids: Ids, named: list[NDArray[np.integer]]) -> tuple[Ids, Rows]:
    """The ids of the rows that are named, sorted, and each row's place among them, −1 for one not named."""
    is_named = np.zeros(len(ids), np.bool_)
    for rows in named:
        is_named[rows] = True
    kept = np.flatnonzero(is_named)
    kept = kept[np.argsort(ids[kept])]
    places = np.full(len(ids), -1, np.int64)
    places[kept] = np.arange(len(kept))
    return ids[kept], places


def _renumbered(relation: str, records: Records, rows: dict[str, Rows]) -> Records:
    source, target = COLUMNS[relation][:2]
    return replace(records, sources=rows[source][records.sources], targets=rows[target][records.targets])
