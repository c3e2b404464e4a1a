"""Dead letters: what the graph refuses or nobody can decode, kept in the ledger for an admin."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Engine, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from graph_schema.events import Id
from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.core.event_log import position_key
from lsec.core.ledger import DeadLetter, dead_letter_id, utc_now
from workers.ingest.entries import Damaged, Entry, LoggedEvent
from workers.ingest.faults import DataFault

MAX_REQUEST_ID = 64
_NO_NUL = str.maketrans({"\x00": "\ufffd"})
"""Postgres has no place for a NUL, which a reason may repeat from the event."""


class _Named(msgspec.Struct):
    """What any event has, however damaged the rest of it is."""

    event_id: Id


_named = msgspec.msgpack.Decoder(_Named)


class Letters:
    """The dead letters of a shard.

    They are kept before the batch that lacks them is committed, so none is lost. Should that batch not be
    committed after all and the graph take the event at the next try, its letter must go: replayed, it
    would count the event twice.
    """

    def __init__(self, engine: Engine, *, shard: int) -> None:
        self._engine = engine
        self._shard = shard
        self._early: dict[tuple[str, int], str] = {}
        """By place in the log, the ids of letters that the graph may not have passed yet."""

    def start(self, epoch: str, position: str) -> None:
        """Find the letters past the position, which an earlier ingester had no time to commit."""
        query = select(DeadLetter.entry_id, DeadLetter.position, DeadLetter.id).where(
            DeadLetter.epoch == epoch, DeadLetter.shard == self._shard, DeadLetter.replayed_at.is_(None)
        )
        with self._engine.connect() as connection:
            found = connection.execute(query).all()
        reached = position_key(position)
        self._early = {(entry, index): id_ for entry, index, id_ in found if position_key(entry) > reached}

    def check(self, entries: Sequence[Entry]) -> None:
        """DataFault if an earlier try has kept letters of these entries: that is to be found out again."""
        kept = {entry_id for entry_id, _ in self._early}
        if any(entry.entry_id in kept for entry in entries):
            raise DataFault("An earlier try kept dead letters of this batch.")

    def keep(self, entries: Sequence[Entry], letters: Sequence[DeadLetter]) -> None:
        """Keep the letters of the entries; those of an earlier try that are not among them go."""
        request_ids = {entry.entry_id: entry.request_id for entry in entries}
        for letter in letters:
            letter.request_id = request_ids[letter.entry_id].translate(_NO_NUL)[:MAX_REQUEST_ID]
        ids = {letter.id for letter in letters}
        stale = [id_ for (entry, _), id_ in self._early.items() if entry in request_ids and id_ not in ids]
        if stale:
            with self._engine.begin() as connection:
                connection.execute(delete(DeadLetter).where(DeadLetter.id.in_(stale)))
        store_dead_letters(self._engine, letters)
        self._early |= {(letter.entry_id, letter.position): letter.id for letter in letters}

    def passed(self, entries: Sequence[Entry]) -> None:
        """The entries are committed: their letters are not early any more."""
        if self._early:
            done = {entry.entry_id for entry in entries}
            self._early = {place: id_ for place, id_ in self._early.items() if place[0] not in done}


def dead_letter(logged: LoggedEvent, reason: str, *, epoch: str, shard: int) -> DeadLetter:
    """The dead letter of an event that the graph refuses."""
    event_id = logged.event.event_id[:MAX_ID_LENGTH]
    return _letter(logged, event_id, reason, epoch=epoch, shard=shard)


def damaged_letter(damaged: Damaged, *, epoch: str, shard: int) -> DeadLetter:
    """The dead letter of what cannot be decoded, with the event's id where that can be read."""
    try:
        event_id = _named.decode(damaged.payload).event_id
    except ValueError:
        event_id = ""
    return _letter(damaged, event_id, damaged.reason, epoch=epoch, shard=shard)


def _letter(
    found: LoggedEvent | Damaged, event_id: str, reason: str, *, epoch: str, shard: int
) -> DeadLetter:
    place = {"epoch": epoch, "shard": shard, "entry_id": found.entry_id, "position": found.index}
    return DeadLetter(
        **place,
        id=dead_letter_id(epoch=epoch, shard=shard, entry_id=found.entry_id, position=found.index),
        event_id=event_id,
        request_id="",
        payload=found.payload,
        reason=reason.translate(_NO_NUL),
        created_at=utc_now(),
    )


def store_dead_letters(engine: Engine, letters: Sequence[DeadLetter]) -> None:
    """Write dead letters; one that is there already, from an isolation that was cut off, stays as it is.

    It may have been corrected or replayed meanwhile.
    """
    if not letters:
        return
    columns = DeadLetter.__table__.columns.keys()
    rows = [{name: getattr(letter, name) for name in columns} for letter in letters]
    insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
    with engine.begin() as connection:
        connection.execute(insert(DeadLetter).on_conflict_do_nothing(), rows)
