"""One function a route: its parameters and what it answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lsec.client.answers import (
    EventsAnswer,
    Lag,
    Training,
    Trainings,
)
from lsec.client.errors import NotCommitted
from lsec.client.exchange import (
    READ_PATIENCE_S,
    Call,
    Dropped,
    Emit,
    Feed,
    Flow,
    Item,
    Next,
    Open,
    Parameter,
    Patience,
    Pause,
    Reply,
    decode,
    exchange,
    failure,
    fetch,
    is_passing,
    json_call,
    path_of,
)

POLL_S = 0.1
STREAM_TIMEOUT_S = 60.0
"""The API sends a sign of life on open streams more often than this."""


def health() -> Flow[dict[str, Any]]:
    """Whether the API's process is up."""
    return fetch(Call("GET", "/healthz"), dict[str, Any])


def ready() -> Flow[dict[str, Any]]:
    """Whether the API reaches everything it needs; ApiError with status 503 if not."""
    return fetch(Call("GET", "/readyz"), dict[str, Any])


def post_events(
    body: bytes,
    *,
    content_type: str = "application/x-ndjson",
    wait: bool = False,
    timeout_s: float = 30.0,
    dry_run: bool = False,
) -> Flow[EventsAnswer]:
    """One request of events as it is, without retries; `send_events` is the one to use for many."""
    params: dict[str, Parameter] = {"wait": wait or None, "dry_run": dry_run or None}
    if wait:
        params["timeout_s"] = timeout_s
    call = Call("POST", "/v1/events", params, body, content_type, timeout_s + 30.0)
    return fetch(call, EventsAnswer)


def lag(*, patience_s: float = READ_PATIENCE_S) -> Flow[Lag]:
    """How far the graph is behind the log."""
    return fetch(Call("GET", "/v1/events/lag"), Lag, patience_s=patience_s)


def wait_until_committed(
    *, timeout_s: float = 300.0, on_progress: Callable[[Lag], None] | None = None
) -> Flow[Lag]:
    """The lag once the graph holds everything that was in the log when this was called.

    NotCommitted after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    now = yield from lag()
    targets = {shard.shard: shard.appended for shard in now.shards}
    while any(shard.committed < targets.get(shard.shard, 0) for shard in now.shards):
        if on_progress is not None:
            on_progress(now)
        if time.monotonic() > deadline:
            raise NotCommitted(
                f"{now.backlog_events} events are not in the graph after {timeout_s:.0f} s.",
                remedy="Does the ingester run? `lsec status` shows.",
            )
        yield Pause(POLL_S)
        now = yield from lag()
    return now


def event_schema() -> Flow[dict[str, Any]]:
    """The JSON Schema of an event."""
    return fetch(Call("GET", "/v1/events/schema"), dict[str, Any], patience_s=READ_PATIENCE_S)


def train(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    categories: Sequence[str] = (),
    streamers: Sequence[str] = (),
    min_purchases: int = 1,
    snapshot: str | None = None,
    model: str | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    preset: str | None = None,
    seed: int = 0,
    publish: bool = True,
    override_gate: str | None = None,
    warm_start: bool = False,
    device: str | None = None,
    reason: str | None = None,
) -> Flow[Training]:
    """Asks for a training on the chosen part of the graph, or a snapshot; it runs on in the background.

    `override_gate` says why its release is to be published even if the gate rejects it.
    """
    body: dict[str, Any] = {"min_purchases": min_purchases, "seed": seed, "publish": publish}
    chosen = {"since": since, "until": until, "categories": list(categories), "streamers": list(streamers)}
    how = {
        "snapshot": snapshot,
        "model": model,
        "hyperparameters": hyperparameters,
        "preset": preset,
        "override_gate": override_gate,
        "warm_start": warm_start,
        "device": device,
        "reason": reason,
    }
    body |= {name: value for name, value in (chosen | how).items() if value}
    return fetch(json_call("POST", "/v1/trainings", body), Training)


def trainings(*, limit: int = 20) -> Flow[Trainings]:
    """Training runs, the newest first."""
    return fetch(Call("GET", "/v1/trainings", {"limit": limit}), Trainings, patience_s=READ_PATIENCE_S)


def training(training_id: str) -> Flow[Training]:
    """One training run."""
    return fetch(Call("GET", path_of("/v1/trainings", training_id)), Training, patience_s=READ_PATIENCE_S)


def cancel_training(training_id: str) -> Flow[Training]:
    """Asks a training to stop; cancelling twice is the same as once."""
    call = Call("POST", path_of("/v1/trainings", training_id, "cancel"))
    return fetch(call, Training, patience_s=READ_PATIENCE_S)


def training_log(training_id: str, *, last_bytes: int = 64 * 1024) -> Flow[str]:
    """The end of a training's log; it is kept for some days after the run's end."""
    call = Call("GET", path_of("/v1/trainings", training_id, "log"), {"last_bytes": last_bytes})
    reply = yield from exchange(call, patience_s=READ_PATIENCE_S)
    return reply.body.decode(errors="replace")


def training_progress(training_id: str, *, patience_s: float = 60.0) -> Feed[Training]:
    """The training at each change until it is final; a stream that breaks is opened again."""
    patience = Patience(patience_s)
    while True:
        call = Call("GET", path_of("/v1/trainings", training_id, "progress"), timeout_s=STREAM_TIMEOUT_S)
        outcome: Any = yield Open(call, as_events=True)
        while not isinstance(outcome, Dropped) and not (isinstance(outcome, Reply) and outcome.status >= 400):
            outcome = yield Next()
            if outcome is None:
                outcome = Dropped("The progress stream ended before the training did.")
            elif isinstance(outcome, Item) and outcome.name in ("progress", "done") and outcome.data:
                patience.succeeded()
                state = decode(outcome.data, Training)
                yield Emit(state)
                if state.is_final:
                    return
        pause_s = patience.next_pause_s(outcome) if is_passing(outcome) else None
        if pause_s is None:
            raise failure(outcome)
        yield Pause(pause_s)
