"""One function a route about snapshots of the graph: export, look, keep, delete."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from lsec.client.exchange import READ_PATIENCE_S, Call, Flow, Pause, fetch, json_call, path_of

WAIT_EVERY_S = 0.5
_SNAPSHOTS = "/v1/snapshots"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An exported subgraph: `state` is exporting, ready or failed."""

    id: str
    state: str
    training_id: str | None = None
    percent: float = 0.0
    error: str | None = None
    scope: dict[str, Any] = {}
    positions: list[dict[str, Any]] = []
    counts: dict[str, Any] = {}
    sha256: str = ""
    num_bytes: int = 0
    is_kept: bool = False
    created_at: datetime | None = None


class Snapshots(msgspec.Struct, frozen=True, kw_only=True):
    """Snapshots, the newest first."""

    snapshots: list[Snapshot]


def create_snapshot(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    categories: Sequence[str] = (),
    streamers: Sequence[str] = (),
    min_purchases: int = 1,
    keep: bool = True,
) -> Flow[Snapshot]:
    """Asks for an export of the chosen part of the graph; it runs on in the background."""
    chosen = {"since": since, "until": until, "categories": list(categories), "streamers": list(streamers)}
    body: dict[str, Any] = {"min_purchases": min_purchases, "keep": keep}
    body |= {name: value for name, value in chosen.items() if value}
    return fetch(json_call("POST", _SNAPSHOTS, body), Snapshot)


def snapshots(*, limit: int = 100) -> Flow[Snapshots]:
    """Snapshots, the newest first."""
    return fetch(Call("GET", _SNAPSHOTS, {"limit": limit}), Snapshots, patience_s=READ_PATIENCE_S)


def snapshot(snapshot_id: str) -> Flow[Snapshot]:
    """One snapshot."""
    return fetch(Call("GET", path_of(_SNAPSHOTS, snapshot_id)), Snapshot, patience_s=READ_PATIENCE_S)


def wait_until_exported(snapshot_id: str, *, timeout_s: float = 3600.0) -> Flow[Snapshot]:
    """The snapshot when its export is over, or as it stands after so long."""
    deadline = time.monotonic() + timeout_s
    while True:
        state = yield from snapshot(snapshot_id)
        if state.state != "exporting" or time.monotonic() + WAIT_EVERY_S > deadline:
            return state
        yield Pause(WAIT_EVERY_S)


def keep_snapshot(snapshot_id: str) -> Flow[Snapshot]:
    """Keeps a snapshot until it is deleted by hand; keeping twice is the same as once."""
    call = Call("POST", path_of(_SNAPSHOTS, snapshot_id, "keep"))
    return fetch(call, Snapshot, patience_s=READ_PATIENCE_S)


def delete_snapshot(snapshot_id: str) -> Flow[Snapshot]:
    """Deletes a snapshot, as it was; ApiError with status 409 while a training uses it."""
    return fetch(Call("DELETE", path_of(_SNAPSHOTS, snapshot_id)), Snapshot)
