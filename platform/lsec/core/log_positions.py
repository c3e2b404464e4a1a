"""How far a snapshot goes in the event log, as its manifest tells it and every release made of it."""

from collections.abc import Sequence
from typing import Annotated, TypedDict

import msgspec

MAX_SHARDS = 64


class LogPosition(TypedDict):
    """The last batch of a shard of the log that a snapshot holds: its number, and its last entry's id.

    The number is the graph's, 0 before the first: it goes on where another log is taken up.
    """

    shard: Annotated[int, msgspec.Meta(ge=0, lt=MAX_SHARDS)]
    seq: Annotated[int, msgspec.Meta(ge=0)]
    position: Annotated[str, msgspec.Meta(pattern=r"^\d+-\d+$")]


def seqs_by_shard(positions: Sequence[LogPosition]) -> list[int]:
    """The last batch of each shard, at the shard's index; 0 where a shard has none yet."""
    seqs = [0] * (max((each["shard"] for each in positions), default=0) + 1)
    for each in positions:
        seqs[each["shard"]] = each["seq"]
    return seqs
