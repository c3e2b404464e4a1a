"""One function a route about what became of events: an event's status, and the dead letters."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from lsec.client.answers import DeadLetter, DeadLetters, EventStatus, Purge, Replay
from lsec.client.exchange import READ_PATIENCE_S, Call, Flow, Parameter, fetch, path_of

REPLAY_TIMEOUT_S = 300.0
"""For many letters, each of which is a transaction."""
_LETTERS = "/v1/dead-letters"


def event_status(event_id: str) -> Flow[EventStatus]:
    """Whether an event is accepted, committed or dead-lettered; ApiError with status 404 if it is unknown."""
    call = Call("GET", path_of("/v1/events", event_id))
    return fetch(call, EventStatus, patience_s=READ_PATIENCE_S)


def dead_letters(
    *,
    state: str = "open",
    shard: int | None = None,
    event_id: str | None = None,
    before: datetime | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Flow[DeadLetters]:
    """Events that were set aside, the newest first; `state` is open, replayed or all."""
    params = _selection(shard, event_id, before) | {"state": state, "limit": limit, "cursor": cursor}
    return fetch(Call("GET", _LETTERS, params), DeadLetters, patience_s=READ_PATIENCE_S)


def dead_letter(letter_id: str) -> Flow[DeadLetter]:
    """One dead letter with its event."""
    return fetch(Call("GET", path_of(_LETTERS, letter_id)), DeadLetter, patience_s=READ_PATIENCE_S)


def fix_dead_letter(letter_id: str, event: Mapping[str, Any] | bytes) -> Flow[DeadLetter]:
    """Puts a corrected event, or its JSON, in place of the refused one; replaying is another step."""
    content = event if isinstance(event, bytes) else msgspec.json.encode(event)
    call = Call("PUT", f"{path_of(_LETTERS, letter_id)}/event", {}, content, "application/json")
    return fetch(call, DeadLetter, patience_s=READ_PATIENCE_S)


def replay_dead_letter(letter_id: str) -> Flow[DeadLetter]:
    """Sends its event to the graph again, once however often this is asked."""
    return fetch(Call("POST", path_of(_LETTERS, letter_id, "replay")), DeadLetter, patience_s=READ_PATIENCE_S)


def replay_dead_letters(
    *,
    shard: int | None = None,
    event_id: str | None = None,
    before: datetime | None = None,
    limit: int = 1000,
) -> Flow[Replay]:
    """Replays open letters, the oldest first; without a filter all of them, up to the limit."""
    params = _selection(shard, event_id, before) | {"limit": limit}
    return fetch(Call("POST", f"{_LETTERS}:replay", params, timeout_s=REPLAY_TIMEOUT_S), Replay)


def purge_dead_letter(letter_id: str) -> Flow[Purge]:
    """Drops a letter for ever, with the event that only it may hold."""
    return fetch(Call("DELETE", path_of(_LETTERS, letter_id)), Purge)


def purge_dead_letters(
    *,
    state: str | None = None,
    shard: int | None = None,
    event_id: str | None = None,
    before: datetime | None = None,
    everything: bool = False,
) -> Flow[Purge]:
    """Drops the letters that a filter names, or everything, for ever; neither is an ApiError."""
    params = _selection(shard, event_id, before) | {"state": state, "all": everything or None}
    return fetch(Call("POST", f"{_LETTERS}:purge", params), Purge)


def _selection(shard: int | None, event_id: str | None, before: datetime | None) -> dict[str, Parameter]:
    return {"shard": shard, "event_id": event_id, "before": before.isoformat() if before else None}
