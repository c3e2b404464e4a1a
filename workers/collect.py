"""Take old releases out of the graph: a few slates at a time, with pauses, so that no reader waits for it."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import neo4j

from lsec.core.ledger import utc_now
from workers.graph import read_rows, write_rows

DELETES_PER_WRITE = 1_000
LONGEST_PAUSE_S = 1.0
ABANDONED_AFTER = timedelta(hours=1)
"""A release that is not whole and was not written to for so long is not being published any more."""
ACTIVE_POINTER = "active"


def superseded(driver: neo4j.Driver, *, keep: int) -> list[str]:
    """Releases that can leave the graph, those first that have begun to.

    The `keep` that were whole last stay, and so do those that a pointer shows, the one that was active
    before, and one that is just being written.
    """
    pointers = {row["name"]: row for row in read_rows(driver, "publish/pointers")}
    previous = pointers.get(ACTIVE_POINTER, {}).get("previous_ids", [])[:1]
    begun, whole, abandoned = [], [], []
    for row in read_rows(driver, "publish/releases"):
        if row["is_collected"]:
            begun.append(row["release_id"])
        elif row["is_complete"] is not False:
            whole.append(row)
        elif is_abandoned(row):
            abandoned.append(row["release_id"])
    old = [row["release_id"] for row in whole[keep:] if not row["is_shown"]]
    return [*begun, *abandoned, *(release_id for release_id in old if release_id not in previous)]


def is_abandoned(row: dict[str, Any]) -> bool:
    """Whether nobody has written to an unfinished release for long."""
    written_at = datetime.fromtimestamp(row["written_at_ms"] / 1000, tz=utc_now().tzinfo)
    return written_at < utc_now() - ABANDONED_AFTER


def collect(
    driver: neo4j.Driver, *, keep: int, check: Callable[[], None] = lambda: None, pause: bool = True
) -> list[str]:
    """Delete the slates and vectors of superseded releases; the ids of those that are gone.

    `check` is called between two transactions, and may raise: another call goes on from there.
    """
    return [
        release_id
        for release_id in superseded(driver, keep=keep)
        if collect_release(driver, release_id, check=check, pause=pause)
    ]


def collect_release(
    driver: neo4j.Driver,
    release_id: str,
    *,
    check: Callable[[], None] = lambda: None,
    pause: bool = False,
) -> bool:
    """Take a release out of the graph; False if a pointer shows it.

    From its first step on the release cannot become active. Another call goes on where one was cut off.
    """
    if not write_rows(driver, "publish/begin_collecting", release_id=release_id):
        return False
    for query in ("publish/collect_slates", "publish/collect_vectors"):
        while True:
            check()
            started = time.monotonic()
            if not write_rows(driver, query, release_id=release_id, limit=DELETES_PER_WRITE)[0][
                "num_deleted"
            ]:
                break
            if pause:
                # As long as the deletion took: half of the time is the readers'.
                time.sleep(min(time.monotonic() - started, LONGEST_PAUSE_S))
    write_rows(driver, "publish/collect_release", release_id=release_id)
    return True
