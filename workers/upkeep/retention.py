"""Pruning: what is past the retention goes, in small transactions, from where the last run stopped.

It takes no lock but those of what it deletes. No step leaves anything for one before it: first what users
did, then refunds, minutes and streams, then nodes of which nothing is left.
"""

import time
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import neo4j

from lsec.core.ledger import utc_now
from workers.graph import read_rows, write_rows

NODES_PER_RANGE = 1_000
DELETES_PER_WRITE = 5_000
NO_LIMIT = 2**62
STEPS: dict[str, str | None] = {
    "acts": "User",
    "refunds": None,
    "minutes": None,
    "streams": None,
    "idle_users": "User",
    "idle_streamers": "Streamer",
    "idle_products": "Product",
}
"""Each step's statement in `retention/`, and the label whose dense index it goes along, if any."""
DONE = "done"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a pruning is: all before this step, and before this index in it, is done."""

    horizon: date
    step: str
    start: int = 0


def horizon_of(retention_days: int) -> date:
    """The first day that is kept."""
    return utc_now().date() - timedelta(days=retention_days)


def prune(driver: neo4j.Driver, *, horizon: date, budget_s: float) -> dict[str, int]:
    """Delete what is of before the horizon; the numbers deleted by step.

    It stops when the time is over and goes on with the next call, until all of that horizon is done.
    """
    return _prune(driver, read_cursor(driver, horizon), deadline=time.monotonic() + budget_s)


def prune_all(driver: neo4j.Driver, *, horizon: date) -> dict[str, int]:
    """Delete all that is of before the horizon, from the start; the numbers deleted by step."""
    return _prune(driver, Cursor(horizon, next(iter(STEPS))), deadline=float("inf"))


def _prune(driver: neo4j.Driver, cursor: Cursor, *, deadline: float) -> dict[str, int]:
    deleted = dict.fromkeys(STEPS, 0)
    while cursor.step != DONE and time.monotonic() < deadline:
        rows = write_rows(
            driver, f"retention/{cursor.step}", **_parameters(cursor), limit=DELETES_PER_WRITE, dry_run=False
        )
        num_deleted = rows[0]["num_found"]
        deleted[cursor.step] += num_deleted
        if num_deleted < DELETES_PER_WRITE:
            cursor = _after(driver, cursor)
            write_rows(
                driver, "retention/move_cursor", horizon=cursor.horizon, step=cursor.step, start=cursor.start
            )
    return deleted


def count(driver: neo4j.Driver, *, horizon: date) -> dict[str, int]:
    """What a pruning would delete now, by step, without the nodes that it would make idle first."""
    found = dict.fromkeys(STEPS, 0)
    cursor = Cursor(horizon, next(iter(STEPS)))
    while cursor.step != DONE:
        rows = write_rows(
            driver, f"retention/{cursor.step}", **_parameters(cursor), limit=NO_LIMIT, dry_run=True
        )
        found[cursor.step] += rows[0]["num_found"]
        cursor = _after(driver, cursor)
    return found


def read_cursor(driver: neo4j.Driver, horizon: date) -> Cursor:
    """Where the pruning of this horizon is; one of another horizon begins anew."""
    for row in read_rows(driver, "retention/cursor"):
        if row["horizon"].to_native() == horizon:
            return Cursor(horizon, row["step"], row["start"])
    return Cursor(horizon, next(iter(STEPS)))


def _parameters(cursor: Cursor) -> dict[str, Any]:
    bounds = {"start": cursor.start, "stop": cursor.start + NODES_PER_RANGE}
    return {"horizon": cursor.horizon} | (bounds if STEPS[cursor.step] else {})


def _after(driver: neo4j.Driver, cursor: Cursor) -> Cursor:
    """The cursor past a range that is done: at the next range, or the next step."""
    label = STEPS[cursor.step]
    if label is not None:
        bounds = {row["label"]: row["next"] for row in read_rows(driver, "export/index_bounds")}
        start = cursor.start + NODES_PER_RANGE
        if start < bounds.get(label, 0):
            return Cursor(cursor.horizon, cursor.step, start)
    steps = [*STEPS, DONE]
    return Cursor(cursor.horizon, steps[steps.index(cursor.step) + 1])
