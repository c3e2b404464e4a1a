"""Sends a command's events with a progress bar, and reports what became of them."""

import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import BinaryIO, Generic, TypeVar

import msgspec
import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from graph_schema.events import Envelope
from lsec.cli.event_files import EventFiles, FileBatch, reject_line
from lsec.cli.output import counting, err, out, print_json
from lsec.cli.resume import Resume
from lsec.client import Client, SendTotals
from lsec.client.answers import EventsAnswer
from lsec.client.sending import Batch, batches_of
from lsec.core.errors import LsecError

MAX_SHOWN = 20
"""Rejections that are printed for people."""
BACKFILL_MAX_LAG_S = 5.0
RECOGNISED = "The same command again goes on: what was sent is recognised for an hour."

B = TypeVar("B", bound=Batch)


@dataclass(frozen=True, slots=True)
class Source(Generic[B]):
    """Batches to send, how far each one reaches in the `total`, and where its events stand."""

    batches: Iterable[B]
    total: int | None
    reached: Callable[[B], int]
    place: Callable[[B, int], tuple[int, str]]
    """The index and the words for an event of a batch."""
    answered: Callable[[B, EventsAnswer], None] = lambda _batch, _answer: None
    sent: Callable[[], None] = lambda: None
    """Called once everything was sent."""
    stopped: Callable[[], str] = lambda: RECOGNISED
    """Called when it was not; says how to go on."""


@dataclass(frozen=True, slots=True)
class How:
    """How a command sends."""

    connections: int = 1
    """With one the order is kept: the same events give the same dense indexes, so the same training."""
    max_lag_s: float | None = None
    compress: bool = False
    wait: bool = True
    keep_rejected: int | None = MAX_SHOWN
    """So many rejections are remembered; None keeps all."""
    rejects: BinaryIO | None = None
    """Where the rejected events are written."""


class RejectedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A rejected event, without itself."""

    index: int
    place: str
    field: str | None
    reason: str

    @property
    def words(self) -> str:
        """Where and why."""
        return f"{self.place}: {self.field}: {self.reason}" if self.field else f"{self.place}: {self.reason}"


@dataclass(slots=True)
class Sent:
    """What became of a command's events so far, and how long sending and committing took."""

    totals: SendTotals = field(default_factory=SendTotals)
    rejected: list[RejectedEvent] = field(default_factory=list)
    seconds: float = 0.0
    committed_seconds: float | None = None
    is_complete: bool = False

    @property
    def events_per_s(self) -> float:
        """How fast they were sent."""
        return self.totals.sent / self.seconds if self.seconds else 0.0

    @property
    def words(self) -> str:
        """The counts as a sentence."""
        totals = self.totals
        retries = f" Requests repeated: {totals.retries:,}." if totals.retries else ""
        return (
            f"{totals.sent:,} events sent in {self.seconds:.1f} s ({self.events_per_s:,.0f}/s): "
            f"{totals.accepted:,} accepted, {totals.duplicates:,} duplicates, "
            f"{totals.num_rejected:,} rejected.{retries}"
        )


def of_events(events: Iterable[Envelope | bytes], *, batch: int, total: int | None = None) -> Source[Batch]:
    """The source of events that are made on the way."""
    return Source(
        batches_of(events, batch),
        total,
        reached=lambda some: some.first + len(some.lines),
        place=lambda some, index: (some.first + index, f"event {some.first + index}"),
    )


def of_files(files: EventFiles, *, batch: int, resume: Resume) -> Source[FileBatch]:
    """The source of files; goes on where an earlier command broke off."""
    places = resume.places

    def stopped() -> str:
        resume.save()
        return f"The same command again goes on at {places()}." if places() else RECOGNISED

    def place(some: FileBatch, index: int) -> tuple[int, str]:
        return some.indexes[index], files.place(some.file, some.indexes[index])

    return Source(
        files.batches(batch, resume.starts),
        files.num_bytes(),
        reached=lambda some: some.num_bytes,
        place=place,
        answered=lambda some, answer: resume.answered(some, answer.accepted),
        sent=resume.finish,
        stopped=stopped,
    )


def deliver(client: Client, source: Source[B], label: str, how: How, *, as_json: bool) -> None:
    """Sends all, and reports; exit code 1 if some were rejected."""
    sent = Sent()
    try:
        send_all(client, source, label, how, sent)
    except (KeyboardInterrupt, LsecError) as stop:
        if as_json and isinstance(stop, KeyboardInterrupt):
            print_json(_as_json(sent))
        _show_stopped(sent, source, is_asked=isinstance(stop, KeyboardInterrupt))
        raise
    if as_json:
        print_json(_as_json(sent))
    elif not sent.totals.sent:
        out.print("There were no events, so none were sent.")
    else:
        out.print(sent.words, soft_wrap=True)
        if sent.committed_seconds is not None:
            out.print(f"The graph holds them, {sent.committed_seconds:.1f} s after the start.")
        _show_rejected(sent)
    if sent.totals.num_rejected:
        raise typer.Exit(1)


def send_all(client: Client, source: Source[B], label: str, how: How, sent: Sent) -> None:
    """Sends events with a progress bar, and waits with another until the graph holds them."""
    started = time.monotonic()
    try:
        _send(client, source, label, how, sent)
    finally:
        sent.seconds = time.monotonic() - started
        if isinstance(source.batches, Generator):
            source.batches.close()  # and with it the file that it was reading
    sent.is_complete = True
    source.sent()
    if how.wait and sent.totals.accepted + sent.totals.duplicates:
        _wait(client)
        sent.committed_seconds = time.monotonic() - started


def _send(client: Client, source: Source[B], label: str, how: How, sent: Sent) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    counts = TextColumn("{task.fields[counts]}", markup=False)
    with Progress(*columns, counts, console=err) as progress:
        task = progress.add_task(label, total=source.total, counts="")
        reached = 0

        def on_answer(batch: B, answer: EventsAnswer) -> None:
            nonlocal reached
            reached = max(reached, source.reached(batch))
            _keep_rejected(batch, answer, source, how, sent)
            source.answered(batch, answer)

        def on_progress(totals: SendTotals) -> None:
            sent.totals = totals
            elapsed_s = progress.tasks[0].elapsed or 0.0
            progress.update(task, completed=reached, counts=_counts(totals, elapsed_s))

        sent.totals = client.send_batches(
            source.batches,
            connections=how.connections,
            max_lag_s=how.max_lag_s,
            compress=how.compress,
            on_answer=on_answer,
            on_progress=on_progress,
        )
        progress.update(task, completed=reached if source.total is None else source.total)


def _keep_rejected(batch: B, answer: EventsAnswer, source: Source[B], how: How, sent: Sent) -> None:
    for bad in answer.rejected:
        index, place = source.place(batch, bad.index)
        if how.keep_rejected is None or len(sent.rejected) < how.keep_rejected:
            sent.rejected.append(RejectedEvent(index=index, place=place, field=bad.field, reason=bad.reason))
        if how.rejects is not None:
            event = batch.lines[bad.index]
            how.rejects.write(reject_line(event, place=place, field=bad.field, reason=bad.reason))


def _counts(totals: SendTotals, seconds: float) -> str:
    """The numbers beside the bar."""
    parts = [f"{totals.sent:,} events, {totals.sent / seconds if seconds else 0.0:,.0f}/s"]
    if totals.num_rejected:
        parts.append(f"{totals.num_rejected:,} rejected")
    if totals.retries:
        parts.append(f"{totals.retries:,} repeated")
    if totals.paused_behind_s:
        parts.append(f"paused: the graph is {totals.paused_behind_s:.0f} s behind")
    return ", ".join(parts)


def _wait(client: Client) -> None:
    backlog = client.lag().backlog_events
    with counting("Into the graph", backlog) as show:
        client.wait_until_committed(on_progress=lambda lag: show(max(0, backlog - lag.backlog_events)))
        show(backlog)


def _show_stopped(sent: Sent, source: Source[B], *, is_asked: bool) -> None:
    """How far it came, on the error stream."""
    if sent.is_complete:
        _say(f"All {sent.totals.sent:,} events were sent; the graph takes them in without this command.")
        return
    how_to_go_on = source.stopped()
    if sent.totals.sent or is_asked:
        _say(f"Stopped: {sent.words} {how_to_go_on}")
        _show_rejected(sent)


def _show_rejected(sent: Sent) -> None:
    for bad in sorted(sent.rejected[:MAX_SHOWN], key=lambda each: each.index):
        _say(f"  {bad.words}")
    if (more := sent.totals.num_rejected - min(MAX_SHOWN, len(sent.rejected))) > 0:
        _say(f"  … and {more:,} more; --json lists all, and `lsec ingest --rejects FILE` keeps them.")


def _as_json(sent: Sent) -> dict[str, object]:
    totals = sent.totals
    return {
        "sent": totals.sent,
        "accepted": totals.accepted,
        "duplicates": totals.duplicates,
        "retries": totals.retries,
        "num_rejected": totals.num_rejected,
        "rejected": sorted(sent.rejected, key=lambda bad: bad.index),
        "seconds": round(sent.seconds, 3),
        "events_per_s": round(sent.events_per_s, 1),
        "committed_seconds": None if sent.committed_seconds is None else round(sent.committed_seconds, 3),
        "complete": sent.is_complete,
    }


def _say(text: str) -> None:
    err.print(text, markup=False, soft_wrap=True)
