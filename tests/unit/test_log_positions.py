"""How far a snapshot goes in the log, as manifests tell it."""

from typing import Any

import msgspec
import pytest

from bench.memory_release import manifest
from lsec.core.log_positions import LogPosition, seqs_by_shard


def test_the_last_batches_stand_at_their_shards_places() -> None:
    position: LogPosition = {"shard": 2, "seq": 7, "position": "5-0"}
    assert seqs_by_shard([position, {"shard": 0, "seq": 3, "position": "9-1"}]) == [3, 0, 7]
    assert seqs_by_shard([]) == [0]


@pytest.mark.parametrize(
    "change", [{"shard": -1}, {"shard": 10**9}, {"seq": -1}, {"position": ""}, {"position": None}]
)
def test_a_manifest_with_other_positions_is_refused(change: dict[str, Any]) -> None:
    position = {"shard": 0, "seq": 3, "position": "9-1"}
    assert manifest(positions=[position]).positions == [position]
    with pytest.raises(msgspec.ValidationError, match="positions"):
        manifest(positions=[position | change])
