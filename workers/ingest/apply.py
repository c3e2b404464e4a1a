"""Applies batches of events to the graph, each in one transaction that also moves the position."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import neo4j
import neo4j.exceptions

from graph_schema.events import Event, UserBought
from graph_schema.queries import load_query
from graph_schema.vocabulary import Label
from lsec.core.erasures import user_hash
from workers.ingest import rows
from workers.ingest.aggregate import MINUTE_MS, NUM_JOINED, NUM_PURCHASES, Batch
from workers.ingest.faults import (
    FIRST_WAIT_S,
    DataFault,
    NodesChanged,
    PositionMoved,
    Stopped,
    fault_of,
    keep_trying,
)
from workers.ingest.nodes import (
    MAX_KNOWN,
    KnownNodes,
    NodeChanges,
    find_erased,
    make_nodes,
)
from workers.ingest.prepare import Prepared, prepare
from workers.ingest.rows import Statement

MAX_LOOK_UPS = 12
"""How often a batch is tried because its nodes changed, before that counts as its own fault."""


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

    def apply(self, prepared: Prepared, *, held: Offset, moved: Offset) -> NodeChanges:
        """Apply the events and move the position from `held` to `moved`, both or neither; what came of it.

        DataFault if the graph refuses an event; PositionMoved if the position is not `held`, also
        when an earlier try was committed without our knowing; BatchTooLarge if it does not fit.
        """
        return self._transact(prepared, held, moved)

    def rehearse(self, events: Sequence[Event], *, held: Offset) -> None:
        """Apply the events and roll back; DataFault if the graph refuses one."""
        self._transact(prepare(events), held, None)

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

    def _transact(self, prepared: Prepared, held: Offset, moved: Offset | None) -> NodeChanges:
        for number in range(MAX_LOOK_UPS):
            # Who looks up anew at once mostly finds them; else whoever deletes them is given time to end.
            if number > 1 and self._pause(min(FIRST_WAIT_S * number, 1.0)):
                raise Stopped("Told to stop while the graph's nodes changed.")
            try:
                changes = keep_trying(lambda: self._try(prepared, held, moved), pause=self._pause)
            except NodesChanged as change:
                self._known.forget()
                reason = change.detail
            else:
                if moved is not None:
                    self._known.learn(changes)
                return changes
        raise DataFault(reason)

    def _try(self, prepared: Prepared, held: Offset, moved: Offset | None) -> NodeChanges:
        self.num_tries += 1
        try:
            with self._driver.session() as session, session.begin_transaction() as tx:
                changes = _Transaction(tx, self._shard, self._known).write(prepared, held)
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
        self._minutes: dict[tuple[str, int], list[int]] = {}
        """The minutes of this try: who joined and what was bought for the first time, the graph tells."""

    def write(self, prepared: Prepared, held: Offset) -> NodeChanges:
        """Lock the position, then write all that the events come to."""
        seq = self._changes.seq = self._lock(held)
        if erased := find_erased(self._run, prepared.user_ids, self._known, self._changes):
            prepared = prepare(prepared.events, erased)
        batch = prepared.batch
        self._minutes = {minute: counts.copy() for minute, counts in batch.minutes.items()}
        self._erase(batch)
        for label, ids in (
            (Label.USER, batch.users),
            (Label.STREAMER, batch.streamers),
            (Label.PRODUCT, batch.products),
            (Label.STREAM, batch.streams),
        ):
            make_nodes(self._run, label, ids, self._known, self._changes)
        # All are sent before any answer is looked at: one is packed while Neo4j works on the one before.
        sent = [(statement, self._send(statement)) for statement in prepared.statements]
        for statement, result in sent:
            self._check(statement, list(result))
        self._watch(prepared.watched)
        self._merge(prepared.refunds)
        self._purchase(prepared.purchases, batch.purchases, seq)
        self._merge(rows.minutes(self._minutes))
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
        (gone,) = self._run("ingest/gone_users", batch={"ids": sorted(batch.erasures)})
        self._changes.removed.update(gone["ids"])

    def _send(self, statement: Statement) -> neo4j.Result:
        return self._tx.run(load_query(statement.name).text, batch=statement.batch)

    def _merge(self, statement: Statement) -> list[neo4j.Record]:
        """Run a statement; NodesChanged if it did not find the nodes of every row."""
        if not statement.num_rows:
            return []
        records = list(self._send(statement))
        self._check(statement, records)
        return records

    def _check(self, statement: Statement, records: list[neo4j.Record]) -> None:
        if sum(record["num_rows"] for record in records) != statement.num_rows:
            raise NodesChanged(f"{statement.name} did not find all of its nodes.")

    def _watch(self, statement: Statement) -> None:
        for record in self._merge(statement):
            old, new = record["old_minute"], record["new_minute"]
            if record["stream_id"] and old != new:
                self._count(NUM_JOINED, record["stream_id"], new, record["num_rows"])
                if old is not None:
                    self._count(NUM_JOINED, record["stream_id"], old, -record["num_rows"])

    def _purchase(self, statement: Statement, purchases: Mapping[str, UserBought], seq: int) -> None:
        if not statement.num_rows:
            return
        (result,) = self._run(statement.name, batch=statement.batch, seq=seq, shard=self._shard)
        if not result["found"]:
            raise NodesChanged(f"{statement.name} did not find all of its nodes.")
        for event_id in result["created"]:
            purchase = purchases[event_id]
            if purchase.stream_id:
                self._count(NUM_PURCHASES, purchase.stream_id, purchase.at_ms // MINUTE_MS, 1)

    def _count(self, what: int, stream_id: str, minute: int, change: int) -> None:
        self._minutes.setdefault((stream_id, minute * MINUTE_MS), [0, 0, 0, 0])[what] += change


def _run(tx: neo4j.Transaction, name: str, **parameters: Any) -> list[neo4j.Record]:
    return list(tx.run(load_query(name).text, parameters))
