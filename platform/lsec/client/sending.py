"""Sending many events: in batches, again and again until they are in, never twice in effect."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import zstandard

from graph_schema.events import Envelope
from lsec.client.answers import EventsAnswer, Rejected
from lsec.client.exchange import (
    Call,
    Dropped,
    Flow,
    Patience,
    Pause,
    Reply,
    Together,
    decode,
    failure,
    is_passing,
)
from lsec.client.routes import lag

DEFAULT_BATCH = 1000
BATCH_BYTES = 2 * 1024 * 1024
PATIENCE_S = 120.0
AHEAD_POLL_S = 0.02
LAG_EVERY_S = 1.0
MAX_AHEAD = 4
"""Times the connections: so many batches from the first without an answer on may be begun."""


@dataclass(slots=True)
class SendTotals:
    """What became of all events sent so far; `rejected` has indexes in the order of sending.

    A request that is repeated after a lost connection may count as duplicates what it had sent itself.
    """

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    retries: int = 0
    num_rejected: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    """Each one by `send_events`; `send_batches` leaves them to its caller."""
    paused_behind_s: float = 0.0
    """While sending pauses for live events: how far the graph is behind them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of JSON for one request; the index of the first one in all that is sent."""

    first: int
    lines: list[bytes]


T = TypeVar("T")
B = TypeVar("B", bound=Batch)


def send_events(
    events: Iterable[Envelope | bytes],
    *,
    batch: int = DEFAULT_BATCH,
    connections: int = 1,
    max_lag_s: float | None = None,
    compress: bool = False,
    on_progress: Callable[[SendTotals], None] | None = None,
    patience_s: float = PATIENCE_S,
) -> Flow[SendTotals]:
    """Sends events (or JSON lines as they are) in batches; the totals, with every rejection.

    Over one connection they go in order. The rest is as in `send_batches`.
    """
    rejected: list[Rejected] = []

    def on_answer(part: Batch, answer: EventsAnswer) -> None:
        rejected.extend(msgspec.structs.replace(bad, index=part.first + bad.index) for bad in answer.rejected)

    totals = yield from send_batches(
        batches_of(events, batch),
        connections=connections,
        max_lag_s=max_lag_s,
        compress=compress,
        on_answer=on_answer,
        on_progress=on_progress,
        patience_s=patience_s,
    )
    totals.rejected = sorted(rejected, key=lambda bad: bad.index)
    return totals


def send_batches(
    batches: Iterable[B],
    *,
    connections: int = 1,
    max_lag_s: float | None = None,
    compress: bool = False,
    on_answer: Callable[[B, EventsAnswer], None] | None = None,
    on_progress: Callable[[SendTotals], None] | None = None,
    patience_s: float = PATIENCE_S,
) -> Flow[SendTotals]:
    """Sends batches over as many connections; the totals. `on_answer` hears what became of each batch.

    A batch is repeated by itself with growing pauses when the API is busy (503, 429, as long as Retry-After
    says) or gone; events have ids, so nothing is counted twice. No batch is begun that is more than
    `MAX_AHEAD` a connection past one without an answer. One that is too large is halved. Above
    `max_lag_s` seconds of lag sending pauses, so that live events go first. `compress` packs the requests
    by zstd, which is worth it over a network. ApiError or Unreachable after
    `patience_s` seconds without success, or at once for what a retry cannot help (a wrong key). The
    callbacks are called one at a time, by the blocking client from threads of its own.
    """
    live_first = None if max_lag_s is None else _LiveFirst(max_lag_s)
    sending = _Sending(patience_s, on_progress, live_first, compress=compress)
    flows = (
        _in_turn(number, MAX_AHEAD * connections, _send(batch, sending, on_answer), sending)
        for number, batch in enumerate(batches)
    )
    yield Together(flows, connections)
    return sending.totals


def batches_of(events: Iterable[Envelope | bytes], size: int) -> Iterator[Batch]:
    """The events in batches, as JSON lines."""
    encode = msgspec.json.Encoder().encode
    first = 0
    for lines in cut((each if isinstance(each, bytes) else encode(each) for each in events), size, len):
        yield Batch(first, lines)
        first += len(lines)


def cut(items: Iterable[T], size: int, num_bytes: Callable[[T], int]) -> Iterator[list[T]]:
    """Lists of at most `size` items and, a single one aside, `BATCH_BYTES` bytes."""
    some: list[T] = []
    total = 0
    for item in items:
        length = num_bytes(item) + 1
        if some and (len(some) >= size or total + length > BATCH_BYTES):
            yield some
            some, total = [], 0
        some.append(item)
        total += length
    if some:
        yield some


class _LiveFirst:
    """Whether the graph is up to date with what is live; asked once a second for all connections."""

    def __init__(self, max_lag_s: float) -> None:
        self.max_lag_s = max_lag_s
        self.behind_s = 0.0
        self.look_at = 0.0

    @property
    def is_behind(self) -> bool:
        return self.behind_s > self.max_lag_s


class _Sending:
    """What the conversations of one sending share."""

    def __init__(
        self,
        patience_s: float,
        on_progress: Callable[[SendTotals], None] | None,
        live_first: _LiveFirst | None,
        *,
        compress: bool,
    ) -> None:
        self.totals = SendTotals()
        self.patience_s = patience_s
        self.live_first = live_first
        self.compress = compress
        self.num_done = 0
        """Batches without a gap, from the first."""
        self.done: set[int] = set()
        """Batches after a gap."""
        self.lock = threading.Lock()
        """Held where nothing waits, so the asynchronous client may hold it too."""
        self._on_progress = on_progress

    def count(
        self, batch: B, answer: EventsAnswer, on_answer: Callable[[B, EventsAnswer], None] | None
    ) -> None:
        with self.lock:
            self.totals.sent += len(batch.lines)
            self.totals.accepted += answer.accepted
            self.totals.duplicates += answer.duplicates
            self.totals.num_rejected += len(answer.rejected)
            if on_answer is not None:
                on_answer(batch, answer)
            self.report()

    def finish(self, number: int) -> None:
        with self.lock:
            self.done.add(number)
            while self.num_done in self.done:
                self.done.remove(self.num_done)
                self.num_done += 1

    def count_retry(self) -> None:
        with self.lock:
            self.totals.retries += 1
            self.report()

    def pause(self, behind_s: float) -> None:
        with self.lock:
            self.totals.paused_behind_s = behind_s
            self.report()

    def report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self.totals)


def _in_turn(number: int, max_ahead: int, send: Flow[None], sending: _Sending) -> Flow[None]:
    """Sends a batch once it is near enough to the first without an answer, which never waits.

    Else one slow request would let the others run ahead, and a break would have all of that sent again.
    """
    while number >= sending.num_done + max_ahead:
        yield Pause(AHEAD_POLL_S)
    yield from send
    sending.finish(number)


def _send(batch: B, sending: _Sending, on_answer: Callable[[B, EventsAnswer], None] | None) -> Flow[None]:
    """Sends one batch, whole or in the parts that the API takes."""
    if sending.live_first is not None:
        yield from _let_live_go_first(sending.live_first, sending)
    accepted = duplicates = 0
    rejected: list[Rejected] = []
    parts = [Batch(0, batch.lines)]
    while parts:
        part = parts.pop()
        reply = yield from _post(part, sending)
        if reply.status == 413 and len(part.lines) > 1:
            middle = len(part.lines) // 2
            parts += [Batch(part.first + middle, part.lines[middle:]), Batch(part.first, part.lines[:middle])]
        elif reply.status == 413:
            rejected.append(Rejected(index=part.first, reason=failure(reply).detail))
        else:
            answer = decode(reply.body, EventsAnswer)
            accepted, duplicates = accepted + answer.accepted, duplicates + answer.duplicates
            rejected += [
                msgspec.structs.replace(bad, index=part.first + bad.index) for bad in answer.rejected
            ]
    sending.count(batch, EventsAnswer(accepted=accepted, duplicates=duplicates, rejected=rejected), on_answer)


def _post(part: Batch, sending: _Sending) -> Flow[Reply]:
    """The answer to one request, also when all of it is rejected or it is too large."""
    body, encoding = b"\n".join(part.lines) + b"\n", ""
    if sending.compress:
        body, encoding = zstandard.compress(body), "zstd"
    call = Call("POST", "/v1/events", {}, body, "application/x-ndjson", 60.0, encoding)
    patience = Patience(sending.patience_s)
    while True:
        outcome = yield call
        assert isinstance(outcome, Reply | Dropped)
        if isinstance(outcome, Reply) and (outcome.status < 400 or outcome.status in (413, 422)):
            return outcome
        pause_s = patience.next_pause_s(outcome) if is_passing(outcome) else None
        if pause_s is None:
            raise failure(outcome)
        sending.count_retry()
        yield Pause(pause_s)


def _let_live_go_first(live: _LiveFirst, sending: _Sending) -> Flow[None]:
    """Waits as long as the graph is too far behind."""
    while True:
        now = time.monotonic()
        if now >= live.look_at:
            # Set before it is asked, so that the other connections do not ask as well.
            live.look_at = now + LAG_EVERY_S
            found = yield from lag(patience_s=sending.patience_s)
            live.behind_s = found.oldest_uncommitted_age_s or 0.0
            sending.pause(live.behind_s if live.is_behind else 0.0)
        if not live.is_behind:
            return
        yield Pause(LAG_EVERY_S / 4)
