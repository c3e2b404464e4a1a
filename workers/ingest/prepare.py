"""A batch on its way to the graph: made ready in a thread while Neo4j works on the one before."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

from graph_schema.events import Event
from workers.ingest import rows
from workers.ingest.aggregate import Batch, aggregate, user_ids
from workers.ingest.entries import Entry, LogReader, decode_entries


@dataclass(frozen=True, slots=True)
class Prepared:
    """Events with what they come to, as long as none of their users was erased before."""

    events: Sequence[Event]
    user_ids: set[str]
    batch: Batch
    statements: list[rows.Statement]
    watched: rows.Statement
    refunds: rows.Statement
    purchases: rows.Statement


def prepare(events: Sequence[Event], erased: Mapping[str, date] | None = None) -> Prepared:
    """The events made ready, less what users did up to the last day that they had erased."""
    batch = aggregate(events, erased or {})
    return Prepared(
        events,
        user_ids(events),
        batch,
        rows.record_statements(batch),
        rows.watched(batch),
        rows.refunds(batch),
        rows.purchases(batch),
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """Entries of the log, and their events made ready; without these where an event is damaged."""

    entries: list[Entry]
    prepared: Prepared | None

    @property
    def num_events(self) -> int:
        return sum(entry.num_events for entry in self.entries)


def load(entries: list[Entry]) -> Loaded:
    """The entries with their events made ready."""
    try:
        return Loaded(entries, prepare(decode_entries(entries)))
    except ValueError:
        return Loaded(entries, None)


class Loader:
    """Loads batch after batch, the next one ahead where the log holds enough for it."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load-ahead")
        self._ahead: Future[Loaded | None] | None = None

    def load(self, position: str, *, max_events: int, block_ms: int) -> Loaded | None:
        """The batch after the position; None if nothing came within `block_ms`."""
        ahead, self._ahead = self._ahead, None
        loaded = None if ahead is None else ahead.result()
        if loaded is not None:
            return loaded
        entries = self._reader.read(position, max_events=max_events, block_ms=block_ms)
        return load(entries) if entries else None

    def load_ahead(self, position: str, *, max_events: int) -> None:
        """Begin with the batch after the position, which is not in the graph yet."""

        def work() -> Loaded | None:
            entries = self._reader.read_enough(position, max_events=max_events)
            return load(entries) if entries else None

        self._ahead = self._thread.submit(work)

    def forget(self) -> None:
        """Drop what was loaded and read ahead, when the position moved elsewhere or a batch failed."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.exception()
        self._reader.forget()
