"""Sending many events: in batches, again and again until they are in, never twice in effect."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from graph_schema.events import Envelope
from lsec.client.answers import EventsAnswer, Lag, Rejected
from lsec.client.errors import ApiError, NotCommitted
from lsec.client.exchange import Call, Dropped, Flow, Patience, Pause, Reply, decode, failure, is_passing
from lsec.client.routes import lag

DEFAULT_BATCH = 1000
BATCH_BYTES = 2 * 1024 * 1024
POLL_S = 0.1


@dataclass(slots=True)
class SendTotals:
    """What became of all events sent; `rejected` has indexes in the order of sending.

    A request that is repeated after a lost connection may count as duplicates what it had sent itself.
    """

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    retries: int = 0
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Batch:
    first: int
    lines: list[bytes]

    def halves(self) -> "list[_Batch]":
        middle = len(self.lines) // 2
        return [_Batch(self.first, self.lines[:middle]), _Batch(self.first + middle, self.lines[middle:])]


def send_events(
    events: Iterable[Envelope | bytes],
    *,
    batch: int = DEFAULT_BATCH,
    on_progress: Callable[[SendTotals], None] | None = None,
    patience_s: float = 120.0,
) -> Flow[SendTotals]:
    """Sends events (or JSON lines as they are) in batches; the totals, with every rejection.

    A batch is repeated with growing pauses when the API is busy (503, 429, as long as Retry-After says) or
    gone; events have ids, so nothing is counted twice. ApiError or Unreachable after `patience_s` seconds
    without success, or at once for what a retry cannot help (a wrong key).
    """
    totals = SendTotals()
    for whole in _batches(events, batch):
        parts = [whole]
        while parts:
            part = parts.pop()
            try:
                answer = yield from _send(part, totals, patience_s)
            except ApiError as error:
                if error.status != 413:
                    raise
                if len(part.lines) > 1:
                    parts.extend(reversed(part.halves()))
                    continue
                answer = EventsAnswer(rejected=[Rejected(index=0, reason=error.detail)])
            _count(totals, part, answer)
            if on_progress is not None:
                on_progress(totals)
    return totals


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


def _send(part: _Batch, totals: SendTotals, patience_s: float) -> Flow[EventsAnswer]:
    """The answer to one batch, also when all of it is rejected."""
    call = Call("POST", "/v1/events", {}, b"\n".join(part.lines) + b"\n", "application/x-ndjson", 60.0)
    patience = Patience(patience_s)
    while True:
        outcome = yield call
        assert isinstance(outcome, Reply | Dropped)
        if isinstance(outcome, Reply) and outcome.status < 400:
            return decode(outcome.body, EventsAnswer)
        if isinstance(outcome, Reply) and outcome.status == 422:
            return decode(outcome.body, EventsAnswer)
        pause_s = patience.next_pause_s(outcome) if is_passing(outcome) else None
        if pause_s is None:
            raise failure(outcome)
        totals.retries += 1
        yield Pause(pause_s)


def _count(totals: SendTotals, part: _Batch, answer: EventsAnswer) -> None:
    totals.sent += len(part.lines)
    totals.accepted += answer.accepted
    totals.duplicates += answer.duplicates
    totals.rejected.extend(
        msgspec.structs.replace(rejected, index=part.first + rejected.index) for rejected in answer.rejected
    )


def _batches(events: Iterable[Envelope | bytes], size: int) -> Iterator[_Batch]:
    """Batches of at most `size` events and, a single event aside, `BATCH_BYTES` bytes."""
    encoder = msgspec.json.Encoder()
    lines: list[bytes] = []
    first = num_bytes = 0
    for event in events:
        line = event if isinstance(event, bytes) else encoder.encode(event)
        if lines and (len(lines) >= size or num_bytes + len(line) > BATCH_BYTES):
            yield _Batch(first, lines)
            first, lines, num_bytes = first + len(lines), [], 0
        lines.append(line)
        num_bytes += len(line) + 1
    if lines:
        yield _Batch(first, lines)
