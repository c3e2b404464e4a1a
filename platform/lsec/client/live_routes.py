"""What is watched: the live feed, which goes on where it broke off, and the metrics."""

from collections.abc import Sequence
from typing import Any

import msgspec

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
    Patience,
    Pause,
    Reply,
    decode,
    exchange,
    failure,
    is_passing,
)
from lsec.client.routes import STREAM_TIMEOUT_S

GAP = "gap"


class LiveMessage(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the live feed, or a gap before the next; `token` is where to resume after it."""

    name: str
    token: str
    data: dict[str, Any]

    @property
    def is_gap(self) -> bool:
        """Whether it tells of what the log no longer holds: `data` has shard, num_events and reason."""
        return self.name == GAP


def live_events(
    *,
    streamers: Sequence[str] = (),
    products: Sequence[str] = (),
    users: Sequence[str] = (),
    types: Sequence[str] = (),
    resume_after: str = "",
    patience_s: float = 60.0,
) -> Feed[LiveMessage]:
    """Events as they come in, without end; a feed that breaks is opened again where it broke off.

    ApiError if the API refuses, Unreachable once it is away for longer than `patience_s`.
    """
    chosen = {"streamer_id": streamers, "product_id": products, "user_id": users, "type": types}
    params = {name: tuple(values) for name, values in chosen.items() if values}
    patience, token = Patience(patience_s), resume_after
    while True:
        place = {"last_event_id": token or None}
        call = Call("GET", "/v1/events/live", {**params, **place}, timeout_s=STREAM_TIMEOUT_S)
        outcome: Any = yield Open(call, as_events=True)
        while not isinstance(outcome, Dropped) and not (isinstance(outcome, Reply) and outcome.status >= 400):
            outcome = yield Next()
            if outcome is None:
                outcome = Dropped("The live feed ended.")
            elif isinstance(outcome, Item):
                patience.succeeded()
                token = outcome.id or token
                if outcome.data:
                    data = decode(outcome.data, dict[str, Any])
                    yield Emit(LiveMessage(name=outcome.name, token=token, data=data))
        pause_s = patience.next_pause_s(outcome) if is_passing(outcome) else None
        if pause_s is None:
            raise failure(outcome)
        yield Pause(pause_s)


def metrics() -> Flow[str]:
    """The API's metrics in Prometheus's text format."""
    reply = yield from exchange(Call("GET", "/metrics"), patience_s=READ_PATIENCE_S)
    return reply.body.decode()
