"""How far a snapshot goes in the event log, as its manifest tells it and every release made of it."""

from collections.abc import Sequence
from typing import TypedDict


class LogPosition(TypedDict):
    """The last batch of a shard of the log that a snapshot holds: its number, and its last entry's id.

    The number is the graph's, from 1: it goes on where another log is taken up.
    """

    shard: int
    seq: int
    position: str


def seqs_by_shard(positions: Sequence[LogPosition]) -> list[int]:
    """The last batch of each shard, at the shard's index; 0 where a shard has none yet."""
    seqs = [0] * (max((each["shard"] for each in positions), default=0) + 1)
    for each in positions:
        seqs[each["shard"]] = each["seq"]
    return seqs
