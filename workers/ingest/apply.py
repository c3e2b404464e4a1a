"""Applies batches of events to the graph, each in one transaction that also moves the position."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import neo4j
import neo4j.exceptions

from graph_schema.events import Event
from graph_schema.queries import load_query
from graph_schema.vocabulary import Label
from lsec.core.erasures import user_hash
from workers.ingest import rows
from workers.ingest.aggregate import MINUTE_MS, NUM_JOINED, NUM_PURCHASES, Batch, aggregate, user_ids
from workers.ingest.faults import DataFault, NodesChanged, PositionMoved, fault_of, keep_trying
from workers.ingest.nodes import (
    MAX_KNOWN,
    KnownNodes,
    NodeChanges,
    find_erased,
    make_nodes,
)
from workers.ingest.rows import Statement

MAX_LOOK_UPS = 5
"""How often a batch is tried anew because its nodes changed, before that counts as its own fault."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a shard's log is in the graph: the last applied entry and the events up to it."""

    epoch: str
    position: str
    num_events: int


class GraphWriter:
    """The one writer of a shard; it waits through outages of Neo4j and raises the faults of data."""

    def __init__(
        self,
        driver: neo4j.Driver,
        *,
        shard: int,
        pause: Callable[[float], bool],
        max_known: int = MAX_KNOWN,
    ) -> None:
        self._driver = driver
        self._shard = shard
        self._pause = pause
        self._known = KnownNodes(max_known=max_known)
        self.num_tries = 0
        """Transactions begun, those that failed included."""

    def read_offset(self) -> Offset | None:
        """The shard's position in the graph; None if it has none yet."""
        self._known.forget()
        found = keep_trying(self._read_offset, pause=self._pause)
        return None if found is None else Offset(found["epoch"], found["position"], found["num_events"])

    def adopt(self, offset: Offset) -> None:
        """Bind the shard to a log at a position."""
        keep_trying(lambda: self._adopt(offset), pause=self._pause)

    def apply(self, events: Sequence[Event], *, held: Offset, moved: Offset) -> int:
        """Apply the events and move the position from `held` to `moved`, both or neither; the batch's `seq`.

        DataFault if the graph refuses an event; PositionMoved if the position is not `held`, also
        when an earlier try was committed without our knowing; BatchTooLarge if it does not fit.
        """
        return self._transact(events, held, moved)

    def rehearse(self, events: Sequence[Event], *, held: Offset) -> None:
        """Apply the events and roll back; DataFault if the graph refuses one."""
        self._transact(events, held, None)

    def _read_offset(self) -> neo4j.Record | None:
        with self._driver.session() as session:
            # As a write transaction it goes to a cluster's leader, which has the last commit.
            return session.execute_write(
                lambda tx: tx.run(load_query("ingest/read_offset").text, shard=self._shard).single()
            )

    def _adopt(self, offset: Offset) -> None:
        with self._driver.session() as session:
            session.run(
                load_query("ingest/adopt_log").text,
                shard=self._shard,
                epoch=offset.epoch,
                position=offset.position,
                num_events=offset.num_events,
            ).consume()

    def _transact(self, events: Sequence[Event], held: Offset, moved: Offset | None) -> int:
        for _ in range(MAX_LOOK_UPS):
            try:
                changes = keep_trying(lambda: self._try(events, held, moved), pause=self._pause)
            except NodesChanged as change:
                self._known.forget()
                reason = change.detail
            else:
                if moved is not None:
                    self._known.learn(changes)
                return changes.seq
        raise DataFault(reason)

    def _try(self, events: Sequence[Event], held: Offset, moved: Offset | None) -> NodeChanges:
        self.num_tries += 1
        try:
            with self._driver.session() as session, session.begin_transaction() as tx:
                changes = _Transaction(tx, self._shard, self._known).write(events, held)
                if moved is None:
                    tx.rollback()
                else:
                    _run(
                        tx,
                        "ingest/move_offset",
                        shard=self._shard,
                        position=moved.position,
                        num_events=moved.num_events,
                    )
                    tx.commit()
                return changes
        except neo4j.exceptions.Neo4jError as error:
            if (fault := fault_of(error)) is not None:
                raise fault from error
            raise
        except (ValueError, OverflowError) as error:
            raise DataFault(str(error)) from error


class _Transaction:
    """One batch in one open transaction."""

    def __init__(self, tx: neo4j.Transaction, shard: int, known: KnownNodes) -> None:
        self._tx = tx
        self._shard = shard
        self._known = known
        self._changes = NodeChanges()

    def write(self, events: Sequence[Event], held: Offset) -> NodeChanges:
        """Lock the position, then write all that the events come to."""
        seq = self._changes.seq = self._lock(held)
        erased = find_erased(self._run, user_ids(events), self._known, self._changes)
        batch = aggregate(events, erased)
        self._erase(batch)
        for label, ids in (
            (Label.USER, batch.users),
            (Label.STREAMER, batch.streamers),
            (Label.PRODUCT, batch.products),
            (Label.STREAM, batch.streams),
        ):
            make_nodes(self._run, label, ids, self._known, self._changes)
        for statement in rows.record_statements(batch):
            self._merge(statement)
        self._watch(batch)
        self._merge(rows.refunds(batch))
        self._purchase(batch, seq)
        self._merge(rows.minutes(batch.minutes))
        return self._changes

    def _run(self, name: str, **parameters: Any) -> list[neo4j.Record]:
        return _run(self._tx, name, **parameters)

    def _lock(self, held: Offset) -> int:
        found = self._run("ingest/lock_offset", shard=self._shard)
        if not found or (found[0]["epoch"], found[0]["position"]) != (held.epoch, held.position):
            raise PositionMoved(f"The position of shard {self._shard} is no longer {held.position}.")
        return int(found[0]["seq"])

    def _erase(self, batch: Batch) -> None:
        if not batch.erasures:
            return
        erasures = [
            {"user_id": user_id, "user_hash": user_hash(user_id), "until": until}
            for user_id, until in sorted(batch.erasures.items())
        ]
        self._run("ingest/set_tombstones", batch={"rows": erasures})
        for statement in ("erase_relationships", "erase_refunds", "erase_slates", "erase_users"):
            self._run(f"ingest/{statement}", batch={"rows": erasures})
        self._changes.erased.update(batch.erasures)
        self._known.has_tombstones = True
        # Those with newer data stay: only the graph knows.
        (gone,) = self._run("ingest/new_users", batch={"ids": sorted(batch.erasures)})
        self._changes.removed.update(gone["ids"])

    def _merge(self, statement: Statement) -> list[neo4j.Record]:
        """Run a statement; NodesChanged if it did not find the nodes of every row."""
        if not statement.num_rows:
            return []
        records = self._run(statement.name, batch=statement.batch)
        if sum(record["num_rows"] for record in records) != statement.num_rows:
            raise NodesChanged(f"{statement.name} did not find all of its nodes.")
        return records

    def _watch(self, batch: Batch) -> None:
        for record in self._merge(rows.watched(batch)):
            old, new = record["old_minute"], record["new_minute"]
            if record["stream_id"] and old != new:
                _joined(batch, record["stream_id"], new, record["num_rows"])
                if old is not None:
                    _joined(batch, record["stream_id"], old, -record["num_rows"])

    def _purchase(self, batch: Batch, seq: int) -> None:
        statement = rows.purchases(batch)
        if not statement.num_rows:
            return
        (result,) = self._run(statement.name, batch=statement.batch, seq=seq, shard=self._shard)
        if not result["found"]:
            raise NodesChanged(f"{statement.name} did not find all of its nodes.")
        for event_id in result["created"]:
            purchase = batch.purchases[event_id]
            if purchase.stream_id:
                minute = purchase.at_ms // MINUTE_MS * MINUTE_MS
                batch.minutes[purchase.stream_id, minute][NUM_PURCHASES] += 1


def _joined(batch: Batch, stream_id: str, minute: int, change: int) -> None:
    batch.minutes.setdefault((stream_id, minute * MINUTE_MS), [0, 0, 0, 0])[NUM_JOINED] += change


def _run(tx: neo4j.Transaction, name: str, **parameters: Any) -> list[neo4j.Record]:
    return list(tx.run(load_query(name).text, parameters))
