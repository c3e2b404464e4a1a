"""For whom a release's slate is enough: one look through the graph, a part of the users at a time."""

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S, SERVING_TIMEOUT_S, Graph
from lsec.core.artifact import Artifact
from lsec.core.event_log import entry_id_ms
from lsec.core.log_positions import seqs_by_shard
from lsec.serving.shopper import FATIGUE_DAYS
from lsec.serving.tags import Rows

USERS_PER_READ = 2_000
CLOCKS_MS = 60_000
"""An event may say an earlier time than that of its arrival, by as much at least."""


async def settled_users(graph: Graph, artifact: Artifact) -> AsyncGenerator[tuple[Rows, list[str]], None]:
    """Of each part the artifact's rows of users for whom it is enough, and who has a newer taste."""
    since = since_ms(artifact)
    last = (await graph.rows("serving/last_index", timeout_s=SERVING_TIMEOUT_S))[0]["users"]
    for start in range(0, last + 1, USERS_PER_READ):
        lists = await graph.lists(
            "serving/settled_users",
            timeout_s=ANALYSIS_TIMEOUT_S,
            asked={
                "start": start,
                "stop": start + USERS_PER_READ,
                "release_id": artifact.manifest.release_id,
                "seqs": seqs_by_shard(artifact.manifest.positions or []),
                "since_ms": since,
                "shown_since": datetime.now(UTC).date() - timedelta(days=FATIGUE_DAYS),
            },
        )
        yield _known_rows(artifact, lists["clean"]), lists["tastes"]


def still_settled(
    artifact: Artifact, before: Artifact, is_settled: NDArray[np.bool_], heard_of: Sequence[str]
) -> NDArray[np.bool_]:
    """For which users [N] of a release its slate is enough, as far as that follows from the one before.

    It was enough for `is_settled` [M] there, and of them `heard_of` have changed since. What a later snapshot
    lacks, an earlier one lacked; of an earlier one than before, nothing follows.
    """
    found = np.zeros(len(artifact.user_ids), np.bool_)
    if _is_as_late(artifact, before):
        rows = artifact.users.find(before.user_ids[is_settled])
        found[rows[rows >= 0]] = True
        for start in range(0, len(heard_of), USERS_PER_READ):
            found[_known_rows(artifact, heard_of[start : start + USERS_PER_READ])] = False
    return found


def _known_rows(artifact: Artifact, user_ids: Sequence[str]) -> Rows:
    """The rows of those of the users whom the release knows."""
    rows = artifact.users.find(np.array([id_.encode() for id_ in user_ids], np.bytes_))
    return rows[rows >= 0]


def _is_as_late(artifact: Artifact, before: Artifact) -> bool:
    """Whether a release's snapshot holds at least what the one before's does."""
    held, held_before = (
        {each["shard"]: each["seq"] for each in release.manifest.positions or []}
        for release in (artifact, before)
    )
    return (
        held.keys() == held_before.keys()
        and all(held[shard] >= seq for shard, seq in held_before.items())
        and since_ms(artifact) >= since_ms(before)
    )


def since_ms(artifact: Artifact) -> int:
    """From when on, in ms since 1970, what users do may be missing from the release's snapshot."""
    positions = artifact.manifest.positions or []
    if positions:
        return min(entry_id_ms(position["position"]) for position in positions) - CLOCKS_MS
    return int(datetime.fromisoformat(artifact.manifest.created_at).timestamp() * 1000)
