"""The loop of one shard: read, apply, tell; each step may be cut off anywhere and done again."""

import logging
import time
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

import neo4j
import redis
import redis.exceptions
from sqlalchemy import Engine

from graph_schema.events import Event
from graph_schema.vocabulary import Label
from lsec.core.errors import LogMismatch
from lsec.core.event_log import (
    MAX_CHANGES,
    START_POSITION,
    Committed,
    LogKeys,
    committed_fields,
    encode_changes,
    new_epoch,
    parse_committed,
    position_key,
)
from lsec.core.settings import Settings
from workers.ingest.aggregate import changed_ids
from workers.ingest.applied import Applied
from workers.ingest.apply import GraphWriter, Offset
from workers.ingest.entries import (
    REMEDY,
    Entry,
    LogReader,
    check_sequence,
    events_of,
    split_entries,
)
from workers.ingest.faults import BatchTooLarge, DataFault, PositionMoved, Stopped, keep_trying
from workers.ingest.isolate import isolate
from workers.ingest.lease import Lease
from workers.ingest.letters import Letters, damaged_letter, dead_letter
from workers.ingest.prepare import Loaded, Loader, prepare

logger = logging.getLogger(__name__)

CHECK_EVERY_S = 2.0
TRIM_EVERY_S = 5.0
CHANGES_KEPT_MS = 300_000
"""An API process that is further behind than this reads from the graph anew."""
WAIT_FOR_MEMORY_S = 5.0


class Ingester:
    """Drains one shard of the log into the graph.

    `lease` keeps a second ingester of the shard waiting; should both run nevertheless, the position
    in the graph lets only one of them commit, and the other reads it anew.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        shard: int,
        driver: neo4j.Driver,
        client: redis.Redis,
        engine: Engine,
        lease: Lease,
    ) -> None:
        self._settings = settings
        self._shard = shard
        self._client = client
        self._letters = Letters(engine, shard=shard)
        self._lease = lease
        self._keys = LogKeys(shard)
        self._reader = LogReader(client, self._keys)
        self._loader = Loader(self._reader)
        self._writer = GraphWriter(driver, shard=shard, pause=lease.pause)
        self._offset = Offset("", START_POSITION, 0)
        self._batch_events = settings.ingest_batch_events
        self._checked_at = self._trimmed_at = 0.0

    @property
    def offset(self) -> Offset:
        """How far this ingester knows the graph to be."""
        return self._offset

    def start(self, *, adopt_log: bool = False) -> None:
        """Find where the graph is in the log, and tell what a killed predecessor had no time to tell.

        LogMismatch if graph and log do not belong together; `adopt_log` takes the log as it is.
        """
        self._loader.forget()
        found = self._writer.read_offset()
        if found is None or adopt_log:
            self._offset = self._new_offset(found, adopt_log=adopt_log)
            self._check_log()
            self._writer.adopt(self._offset)
        else:
            self._offset = found
            self._check_log()
        self._letters.start(self._offset.epoch, self._offset.position)
        committed = parse_committed(self._client.hgetall(self._keys.committed))
        if position_key(committed.position) < position_key(self._offset.position):
            missed = self._reader.between(committed.position, self._offset.position)
            self._tell(Applied(events_of(missed)))

    def step(self, *, block_ms: int = 500) -> int:
        """Apply the next batch, or find that it has to be smaller; 0 if none came within `block_ms`."""
        now = time.monotonic()
        if now - self._checked_at >= CHECK_EVERY_S:
            self._check_log()
            self._checked_at = now
        if now - self._trimmed_at >= TRIM_EVERY_S:
            self.trim()
            self._trimmed_at = now
        try:
            return self._step(block_ms)
        except Exception:
            # What was loaded is of no use: the next try begins at the position.
            self._loader.forget()
            raise

    def _step(self, block_ms: int) -> int:
        loaded = self._loader.load(self._offset.position, max_events=self._batch_events, block_ms=block_ms)
        if loaded is None:
            return 0
        entries = loaded.entries
        num_events = check_sequence(entries, self._offset.num_events)
        moved = Offset(self._offset.epoch, entries[-1].entry_id, num_events)
        self._loader.load_ahead(moved.position, max_events=self._batch_events)
        try:
            applied = self._apply(loaded, moved)
        except BatchTooLarge as fault:
            self._shrink(loaded, fault)
            return len(entries)
        except PositionMoved:
            if self._writer.read_offset() != moved:
                logger.warning("Another ingester moved shard %d; reading its position anew.", self._shard)
                self.start()
                return 0
            # A commit whose answer was lost.
            applied = Applied(events_of(entries))
        self._offset = moved
        self._letters.passed(entries)
        keep_trying(lambda: self._tell(applied), pause=self._lease.pause)
        self._note(loaded, applied)
        self._batch_events = min(self._settings.ingest_batch_events, self._batch_events * 5 // 4 + 1)
        return len(entries)

    def _shrink(self, loaded: Loaded, fault: BatchTooLarge) -> None:
        """Go on with half of the batch; one entry alone waits until Neo4j has more memory to give."""
        self._loader.forget()
        self._batch_events = max(1, loaded.num_events // 2)
        logger.warning("A batch did not fit; trying %d events: %s", self._batch_events, fault.detail)
        if len(loaded.entries) == 1 and self._lease.pause(WAIT_FOR_MEMORY_S):
            raise Stopped("Told to stop while Neo4j had too little memory.")

    def _apply(self, loaded: Loaded, moved: Offset) -> Applied:
        started, tries = time.monotonic(), self._writer.num_tries
        prepared, num_letters = loaded.prepared, 0
        try:
            self._letters.check(loaded.entries)
            if prepared is not None:
                written = self._writer.apply(prepared, held=self._offset, moved=moved)
        except DataFault as fault:
            # Its text may name people; it goes into the dead letters, which an erasure reaches.
            logger.warning("Isolating what is wrong up to %s: %s", moved.position, type(fault).__name__)
            prepared = None
        if prepared is None:
            good, num_letters = self._keep_bad(loaded.entries)
            prepared = prepare(good)
            written = self._writer.apply(prepared, held=self._offset, moved=moved)
        return Applied(
            prepared.events,
            products=written.found.get(Label.PRODUCT, ()),
            seq=written.seq,
            num_dead_letters=num_letters,
            num_retries=self._writer.num_tries - tries - 1,
            duration_ms=round((time.monotonic() - started) * 1000),
        )

    def _keep_bad(self, entries: Sequence[Entry]) -> tuple[list[Event], int]:
        """The events that the graph takes, and the number of letters of others, which are kept first."""
        held = self._offset
        events, damaged = split_entries(entries)
        good, refused = isolate(events, lambda part: self._writer.rehearse(part, held=held))
        letters = [damaged_letter(each, epoch=held.epoch, shard=self._shard) for each in damaged]
        letters += [
            dead_letter(logged, reason, epoch=held.epoch, shard=self._shard) for logged, reason in refused
        ]
        keep_trying(lambda: self._letters.keep(entries, letters), pause=self._lease.pause)
        logger.error("Kept %d dead letters up to %s.", len(letters), entries[-1].entry_id)
        return [logged.event for logged in good], len(letters)

    def _note(self, loaded: Loaded, applied: Applied) -> None:
        """One line that leads from a request to `seq`, which its purchases carry in the graph."""
        entries, num_events = loaded.entries, loaded.num_events
        logger.info(
            "Applied batch %d: %d events up to %s.",
            *(applied.seq, num_events, entries[-1].entry_id),
            extra={
                "shard": self._shard,
                "seq": applied.seq,
                "first_entry": entries[0].entry_id,
                "last_entry": entries[-1].entry_id,
                "num_events": num_events,
                "num_dead_letters": applied.num_dead_letters,
                "duration_ms": applied.duration_ms,
                "request_ids": [entry.request_id for entry in entries if entry.request_id],
            },
        )

    def _tell(self, applied: Applied) -> None:
        """Publish what changed, mirror the position and count the batch, all or nothing.

        When the log's server is out of memory this trims the log before it fails, so that trying
        again ends.
        """
        changes = changed_ids(applied.events, applied.products)
        committed = Committed(self._offset.position, self._offset.num_events, int(time.time() * 1000))
        mirror: dict[Any, Any] = committed_fields(committed)  # the client's types are invariant
        with self._client.pipeline(transaction=True) as pipe:
            if changes:
                fields: dict[Any, Any] = {"p": self._offset.position, "c": encode_changes(changes)}
                pipe.xadd(self._keys.changes, fields, maxlen=MAX_CHANGES, approximate=True)
            pipe.hset(self._keys.committed, mapping=mirror)
            for name, count in applied.counts().items():
                pipe.hincrby(self._keys.stats, name, count)
            try:
                pipe.execute()
            except redis.exceptions.OutOfMemoryError:
                self.trim()
                raise

    def trim(self) -> None:
        """Drop committed chunks that are older than the retention, and old changes."""
        seconds, microseconds = self._client.time()
        now_ms = seconds * 1000 + microseconds // 1000
        oldest = (max(0, now_ms - self._settings.log_retention_s * 1000), 0)
        milliseconds, sequence = min(oldest, position_key(self._offset.position))
        with self._client.pipeline(transaction=False) as pipe:
            pipe.xtrim(self._keys.log, minid=f"{milliseconds}-{sequence}", approximate=True)
            pipe.xtrim(self._keys.changes, minid=str(now_ms - CHANGES_KEPT_MS), approximate=True)
            pipe.execute()

    def _new_offset(self, found: Offset | None, *, adopt_log: bool) -> Offset:
        """Where to begin in this log: at its start, or by decision where it can be gone on with."""
        state = self._reader.state(START_POSITION)
        if state.epoch is None:
            self._client.set(self._keys.epoch, new_epoch(), nx=True)
            state = self._reader.state(START_POSITION)
        offset = Offset(state.epoch or "", START_POSITION, 0)
        if adopt_log:
            if found is not None and found.epoch == state.epoch:
                state = self._reader.state(found.position)
                offset = found
            num_before = state.appended if state.first is None else state.first.num_before
            offset = replace(offset, num_events=num_before)
            logger.warning("Adopting log %s at %s with %d events.", *astuple(offset))
        return offset

    def _check_log(self) -> None:
        """LogMismatch unless the log is the graph's and goes on where the graph is."""
        state = self._reader.state(self._offset.position)
        if state.epoch != self._offset.epoch:
            raise LogMismatch(
                f"The graph follows log {self._offset.epoch}, but the log is {state.epoch or 'empty'}.",
                remedy=REMEDY,
            )
        if state.first is not None:
            check_sequence([state.first], self._offset.num_events)
        elif state.appended != self._offset.num_events:
            missing = state.appended - self._offset.num_events
            raise LogMismatch(f"The log lost {missing} events that the graph lacks.", remedy=REMEDY)
