"""Feeding the log and draining it, as producers, API and ingester do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import neo4j
import redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from graph_schema.events import Event, UserViewed
from lsec.core.event_log import (
    APPEND_SCRIPT,
    AppendResult,
    LogKeys,
    append_arguments,
    parse_append_reply,
    parse_committed,
)
from lsec.core.ledger import DeadLetter
from lsec.core.settings import Settings
from workers.ingest.ingester import Ingester
from workers.ingest.lease import Lease
from workers.ledger import open_ledger

KEYS = LogKeys(0)
MAX_COUNT = 2**63 - 1
"""The last of the graph's integers."""
AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def views(num: int, *, prefix: str = "v") -> list[Event]:
    """Events of as many users, who look at one product."""
    return [UserViewed(event_id=f"{prefix}{i}", at=AT, user_id=f"u{i}", product_id="p") for i in range(num)]


@dataclass(frozen=True, slots=True)
class IngestStack:
    """The services of one test, and what is done with them."""

    settings: Settings
    driver: neo4j.Driver
    client: Any
    """A redis.Redis: its stubs leave open whether replies are text, bytes or awaitable."""
    engine: Engine

    def append(self, events: Sequence[Event]) -> AppendResult:
        """One request's events, through the append script."""
        keys, arguments = append_arguments(events, shard=0, window_s=60)
        return parse_append_reply(self.client.register_script(APPEND_SCRIPT)(keys=keys, args=arguments))

    def append_raw(self, num_events: int, chunk: bytes) -> str:
        """A chunk as the append script would write it, whatever is in it; its entry."""
        total = self.client.incrby(KEYS.appended, num_events)
        entry_id = self.client.xadd(KEYS.log, {"n": num_events, "t": total, "c": chunk})
        return str(entry_id.decode())

    def set_view_counts(self, count: int, *, users: Sequence[str]) -> None:
        """Give these users' counters a value; to MAX_COUNT the graph cannot add one more view."""
        self.driver.execute_query(
            "MATCH (u:User)-[v:VIEWED]->() WHERE u.id IN $users SET v.count = $count",
            users=users,
            count=count,
        )

    def ingester(self, *, batch_events: int = 5000, adopt_log: bool = False) -> Ingester:
        """A started ingester of the one shard."""
        ingester = Ingester(
            self.settings.model_copy(update={"ingest_batch_events": batch_events}),
            shard=0,
            driver=self.driver,
            client=self.client,
            engine=self.engine,
            lease=Lease(self.client, shard=0),
        )
        ingester.start(adopt_log=adopt_log)
        return ingester

    def drain(self, ingester: Ingester | None = None, *, batch_events: int = 5000) -> Ingester:
        """Apply all that is in the log."""
        ingester = ingester or self.ingester(batch_events=batch_events)
        while ingester.step(block_ms=1):
            pass
        return ingester

    def committed_total(self) -> int:
        """Events up to the graph's position, as the log has heard of it."""
        return parse_committed(self.client.hgetall(KEYS.committed)).total

    def dead_letters(self) -> list[DeadLetter]:
        """The dead letters in order of their place."""
        order = (DeadLetter.entry_id, DeadLetter.position)
        with Session(self.engine) as session:
            return list(session.scalars(select(DeadLetter).order_by(*order)))

    def wipe(self) -> None:
        """Empty graph and log between the examples of a property test."""
        self.client.flushdb()
        self.driver.execute_query(
            "MATCH (n) WHERE NOT (n:__Neo4jMigration OR n:MigrationLock OR n:TestDatabase) DETACH DELETE n"
        )


@contextmanager
def ingest_stack(settings: Settings, driver: neo4j.Driver, client: redis.Redis) -> Iterator[IngestStack]:
    """An IngestStack whose ledger connection is closed in the end."""
    engine = open_ledger(settings)
    try:
        yield IngestStack(settings, driver, client, engine)
    finally:
        engine.dispose()
