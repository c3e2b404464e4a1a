"""Bringing erasures to their end: each step finds what still holds the users, and takes away what it can.

A step may be cut off anywhere and done again. An erasure is done when the graph has forgotten the user and
the log with its files, the dead letters, the snapshots and the artifacts no longer hold them; then the id
goes from the ledger, too.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import neo4j
import redis
from sqlalchemy import ColumnElement, Engine, delete, select, text, update
from sqlalchemy.orm import Session

from graph_schema.events import moment_of
from lsec.core.erasures import erasing_event
from lsec.core.event_log import decode_event
from lsec.core.ledger import FINAL, AuditRecord, DeadLetter, Erasure, Training, utc_now
from lsec.core.settings import Settings
from workers.graph import read_rows
from workers.upkeep.files import clean_artifacts, clean_run
from workers.upkeep.log import UpkeepLog, day_of, is_erased
from workers.upkeep.snapshot_cleaning import clean_snapshots

REWRITE_TIMEOUT_S = 60.0
CLOCKS_APART = timedelta(minutes=1)
"""The clocks of two servers may differ by so much."""
GIVE_UP_SOON = text("PRAGMA busy_timeout=2000")
"""Writers wait while the journal is emptied, so that gives up on a long reader soon."""
LETTERS_PER_READ = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The services of one step."""

    settings: Settings
    engine: Engine
    driver: neo4j.Driver
    client: redis.Redis
    waiting: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """What each erasure waits for, in words, by its id."""

    def step(self) -> list[Erasure]:
        """Bring all open erasures on; those that are open still."""
        erasures = open_erasures(self.engine)
        if not erasures:
            return []
        event_log = UpkeepLog(self.client, self.settings)
        for erasure in erasures:
            if erasure.committed_at is None:
                self._commit(erasure, event_log)
                self._keep_commit(erasure)
        in_graph = [erasure for erasure in erasures if erasure.committed_at is not None]
        delete_dead_letters(self.engine, in_graph)
        under_way = self._look_at_runs(in_graph)
        self._look_at_snapshots(in_graph)
        self._look_at_artifacts(in_graph, under_way)
        self._look_at_log(in_graph, event_log)
        cleared = [erasure for erasure in in_graph if not self.waiting[erasure.id]]
        if cleared and not event_log.rewrite_files(timeout_s=REWRITE_TIMEOUT_S):
            for erasure in cleared:
                self._wait(erasure, "the event log's file to be rewritten")
        for erasure in erasures:
            self._keep(erasure)
        forget_in_files(self.engine)
        return open_erasures(self.engine)

    def _wait(self, erasure: Erasure, reason: str) -> None:
        self.waiting[erasure.id].append(reason)

    def _commit(self, erasure: Erasure, event_log: UpkeepLog) -> None:
        """See that the erasure's event is in the log, and then in the graph."""
        progress = event_log.progress(erasure.shard)
        if erasure.number is None or erasure.number > progress.appended:
            erasure.number = event_log.append(erasing_event(erasure), shard=erasure.shard)
        if progress.committed < erasure.number:
            self._wait(erasure, f"the ingester: {erasure.number - progress.committed} events to go")
            return
        rows = read_rows(self.driver, "lookups/tombstone", user_hash=erasure.user_hash)
        if rows and rows[0]["until"].to_native() >= day_of(erasure.requested_at):
            erasure.committed_at = utc_now()
        else:
            # It was set aside as a dead letter, or lost with its log: it goes in once more.
            erasure.event_id = f"{erasure.id}-{utc_now():%Y%m%d%H%M%S}"
            erasure.number = event_log.append(erasing_event(erasure), shard=erasure.shard)
            self._wait(erasure, "the ingester, once more")

    def _keep_commit(self, erasure: Erasure) -> None:
        """Write down at once what was sent and seen: what follows may fail."""
        values = {
            "event_id": erasure.event_id,
            "number": erasure.number,
            "committed_at": erasure.committed_at,
        }
        with Session(self.engine) as session, session.begin():
            session.execute(update(Erasure).where(*_same(erasure)).values(**values))

    @contextmanager
    def _faults_wait(self, erasures: Sequence[Erasure], what: str) -> Iterator[None]:
        """Have a fault of files hold up only what it concerns, and be told."""
        try:
            yield
        except OSError as error:
            log.warning("erasures wait for %s: %s", what, error)
            for erasure in erasures:
                self._wait(erasure, f"{what}: {error}")

    def _look_at_runs(self, erasures: Sequence[Erasure]) -> Sequence[str]:
        """Wait for runs that may have read the graph before, clean those that are over; runs under way."""
        folders: list[Path] = []
        # Before the runs: one that begins in between has no folder here.
        with self._faults_wait(erasures, "the folder of runs"):
            if erasures and self.settings.runs_path.exists():
                folders += [folder for folder in self.settings.runs_path.iterdir() if folder.is_dir()]
        with Session(self.engine) as session:
            under_way = session.execute(
                select(Training.id, Training.started_at).where(Training.status.not_in(FINAL))
            )
            started = {run.id: run.started_at for run in under_way}
        for training_id, started_at in started.items():
            for erasure in erasures:
                assert erasure.committed_at is not None
                if started_at is not None and started_at < erasure.committed_at + CLOCKS_APART:
                    self._wait(erasure, f"training {training_id}, which began before")
        for folder in folders:
            if folder.name not in started:
                with self._faults_wait(erasures, f"the files of training {folder.name}"):
                    clean_run(folder, _users(erasures))
        return list(started)

    def _look_at_snapshots(self, erasures: Sequence[Erasure]) -> None:
        """Clean snapshots, and wait for those in use that were made before; runs are cleaned by then."""
        if not erasures:
            return
        with self._faults_wait(erasures, "the folder of snapshots"):
            for created_at, what in clean_snapshots(self.settings, self.engine, _users(erasures)):
                for erasure in erasures:
                    assert erasure.committed_at is not None
                    if created_at < erasure.committed_at + CLOCKS_APART:
                        self._wait(erasure, what)

    def _look_at_artifacts(self, erasures: Sequence[Erasure], under_way: Sequence[str]) -> None:
        """Clean artifacts, but of users whom a run under way may hold: its artifact is not to be touched."""
        ready = [erasure for erasure in erasures if not self.waiting[erasure.id]]
        for reason in clean_artifacts(self.settings, _users(ready), under_way=under_way) if ready else ():
            log.warning("erasures wait for %s", reason)
            for erasure in ready:
                self._wait(erasure, reason)

    def _look_at_log(self, erasures: Sequence[Erasure], event_log: UpkeepLog) -> None:
        """Wait until the log is trimmed of the users."""
        event_log.empty_idle()
        kept = timedelta(seconds=self.settings.log_retention_s)
        users = {erasure.user_id or "": day_of(erasure.requested_at) for erasure in erasures}
        held = event_log.last_held(users) if users else {}
        oldest_change_ms = event_log.oldest_change_ms()
        for erasure in erasures:
            if (held_ms := held.get(erasure.user_id or "")) is not None:
                until = max(moment_of(held_ms) + kept, utc_now())
                self._wait(erasure, f"the event log until {until:%H:%M:%S} UTC or later, kept for {kept}")
            assert erasure.committed_at is not None
            if oldest_change_ms is not None and moment_of(oldest_change_ms) <= erasure.committed_at:
                self._wait(erasure, "the stream of changes, kept for some minutes")

    def _keep(self, erasure: Erasure) -> None:
        """Write down what the erasure waits for; one that was begun anew meanwhile stays as it is."""
        waiting_for = self.waiting[erasure.id]
        values: dict[str, Any] = {"checked_at": utc_now(), "waiting_for": waiting_for}
        if not waiting_for:
            values |= {"done_at": utc_now(), "user_id": None}
        with Session(self.engine) as session, session.begin():
            keep = update(Erasure).where(*_same(erasure)).values(**values)
            is_kept = session.scalar(keep.returning(Erasure.id))
            if is_kept and not waiting_for:
                audit = {"key_id": "", "action": "user.erased", "target": erasure.user_hash}
                session.add(AuditRecord(**audit, detail={"erasure_id": erasure.id}))
        if not waiting_for:
            log.info("erasure %s is done", erasure.id)


def _same(erasure: Erasure) -> tuple[ColumnElement[bool], ...]:
    """That the erasure was not begun anew meanwhile."""
    return Erasure.id == erasure.id, Erasure.requested_at == erasure.requested_at


def open_erasures(engine: Engine) -> list[Erasure]:
    """The erasures that are not done, oldest first."""
    is_open = select(Erasure).where(Erasure.done_at.is_(None)).order_by(Erasure.requested_at)
    with Session(engine, expire_on_commit=False) as session:
        found = list(session.scalars(is_open))
        session.expunge_all()
        return found


def delete_dead_letters(engine: Engine, erasures: Sequence[Erasure]) -> None:
    """Delete the dead letters that hold a user up to the erased day, or in bytes that nobody can read."""
    until = {erasure.user_id or "": day_of(erasure.requested_at) for erasure in erasures}
    if not until:
        return
    with Session(engine) as session:
        letters = session.execute(
            select(DeadLetter.id, DeadLetter.payload).execution_options(yield_per=LETTERS_PER_READ)
        )
        found = [letter_id for letter_id, payload in letters if _letter_is_erased(payload, until)]
    for start in range(0, len(found), LETTERS_PER_READ):
        with Session(engine) as session, session.begin():
            session.execute(
                delete(DeadLetter).where(DeadLetter.id.in_(found[start : start + LETTERS_PER_READ]))
            )


def _letter_is_erased(payload: bytes, until: Mapping[str, date]) -> bool:
    held = [user_id for user_id in until if user_id.encode() in payload]
    if not held:
        return False
    try:
        event = decode_event(payload)
    except ValueError:
        return True
    return any(is_erased(event, user_id, until[user_id]) for user_id in held)


def forget_in_files(engine: Engine) -> None:
    """Empty SQLite's journal, which holds older states, if there is anything in it.

    It may be in use just then: so it is tried again for as long as anybody was ever erased.
    """
    if engine.dialect.name != "sqlite" or not _has_journal(engine):
        return
    with Session(engine) as session:
        if not session.scalar(select(Erasure.id).limit(1)):
            return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Its short patience is its own: it does not go back to the others.
        connection.detach()
        connection.execute(GIVE_UP_SOON)
        is_busy, _, _ = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
    if is_busy:
        log.warning("the ledger's journal is in use, and was not emptied")


def _has_journal(engine: Engine) -> bool:
    journal = Path(f"{engine.url.database}-wal")
    return journal.exists() and journal.stat().st_size > 0


def _users(erasures: Sequence[Erasure]) -> list[str]:
    return [erasure.user_id for erasure in erasures if erasure.user_id is not None]
