"""Dead letters: what the ingester set aside, to be looked at, corrected, appended again or dropped."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import redis.asyncio
from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from graph_schema.events import Event
from lsec.api.stores.ledger import Ledger
from lsec.api.stores.letter_log import LetterLog
from lsec.core.errors import Conflict, NotFound
from lsec.core.event_log import decode_event, encode_chunk
from lsec.core.ledger import AuditRecord, DeadLetter, utc_now
from lsec.core.settings import Settings

MAX_REFUSED = 100
"""Letters that could not be replayed, as a replay of many lists them."""
MAX_TRIES_IN_VAIN = 1000
"""Letters that a replay of many tries beyond its limit, past those that cannot be replayed."""
PURGE_PAGE = 500
"""Letters of one transaction: others may write between two."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

LetterState = Literal["open", "replayed", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which letters are meant; `before` is about when they were set aside."""

    state: LetterState = "all"
    shard: int | None = None
    event_id: str | None = None
    before: datetime | None = None

    def clauses(self) -> list[ColumnElement[bool]]:
        """The same for a WHERE; empty for all letters."""
        clauses: list[ColumnElement[bool]] = []
        if self.state != "all":
            is_open = DeadLetter.replayed_at.is_(None)
            clauses.append(is_open if self.state == "open" else ~is_open)
        if self.shard is not None:
            clauses.append(DeadLetter.shard == self.shard)
        if self.event_id is not None:
            clauses.append(DeadLetter.event_id == self.event_id)
        if self.before is not None:
            clauses.append(DeadLetter.created_at < self.before)
        return clauses


@dataclass(slots=True)
class ReplayTotals:
    """What a replay of many did: letters replayed, those that could not be, and what is still open."""

    replayed: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    open: int = 0


@dataclass(slots=True)
class PurgeTotals:
    """What a purge did: letters gone, and those that were meant but stay."""

    purged: int = 0
    kept: int = 0


class DeadLetterStore:
    """The letters in the ledger, and the way of their events back into the log.

    A letter is locked while its event is appended, and the log keeps a marker of the append: so it
    happens once, whether two ask for it at the same time or the process ends before the ledger knows.
    """

    def __init__(self, ledger: Ledger, client: redis.asyncio.Redis, settings: Settings) -> None:
        self._ledger = ledger
        self._log = LetterLog(client, settings)

    async def list(
        self, selection: Selection, *, limit: int, cursor: str | None = None
    ) -> tuple[Sequence[DeadLetter], str | None]:
        """Letters, newest first, and the cursor of what follows, None at the end."""
        order = (DeadLetter.created_at.desc(), DeadLetter.id.desc())
        page = select(DeadLetter).where(*selection.clauses()).order_by(*order).limit(limit + 1)
        if cursor is not None:
            page = page.where(tuple_(DeadLetter.created_at, DeadLetter.id) < _parse_cursor(cursor))
        async with self._ledger.read() as session:
            letters = (await session.scalars(page)).all()
        return letters[:limit], _cursor_of(letters[limit - 1]) if len(letters) > limit else None

    async def get(self, letter_id: str) -> DeadLetter:
        """The letter of that id; NotFound if there is none."""
        async with self._ledger.read() as session:
            return await _find(session, letter_id)

    async def newest_open(self, event_id: str) -> DeadLetter | None:
        """The letter that holds an event which is nowhere else."""
        letters, _ = await self.list(Selection(state="open", event_id=event_id), limit=1)
        return next(iter(letters), None)

    async def count_open(self) -> int:
        """Letters whose events are not in the log again."""
        async with self._ledger.read() as session:
            return await _count_open(session)

    async def fix(self, letter_id: str, event: Event, *, key_id: str) -> DeadLetter:
        """Put a corrected event into an open letter; Conflict once it was replayed."""
        async with self._ledger.write() as session:
            letter = await _find(session, letter_id, lock=True)
            if letter.replayed_at is not None or await self._log.appended([letter.id]):
                raise _was_replayed(
                    letter, "If it is refused again it becomes a new dead letter; correct that one."
                )
            letter.payload = encode_chunk([event])
            letter.event_id = event.event_id
            letter.fixed_at = utc_now()
            session.add(_audit(key_id, "dead_letter.fix", letter))
        return letter

    async def replay(self, letter_id: str, *, key_id: str) -> DeadLetter:
        """Append the letter's event to the log again, whatever became of it before; again changes nothing.

        Conflict if it cannot be read, if the ingester is not past the place that it was set aside from,
        or if the event was sent again since.
        """
        async with self._ledger.write() as session:
            letter = await _find(session, letter_id, lock=True)
            if letter.replayed_at is not None:
                return letter
            event = read_event(letter)
            if await self._log.waiting([letter]):
                raise _not_passed(letter)
            shard, number = await self._log.append(letter, event)
            letter.replayed_at = utc_now()
            session.add(_audit(key_id, "dead_letter.replay", letter, into_shard=shard, number=number))
        await self._log.settle([letter_id])
        return letter

    async def replay_all(self, selection: Selection, *, limit: int, key_id: str) -> ReplayTotals:
        """Replay open letters, the oldest first, until `limit` are; those that cannot be stay open.

        It ends too after `MAX_TRIES_IN_VAIN`: what lies behind so many needs a narrower selection.
        """
        wanted = select(DeadLetter.id).where(*selection.clauses(), DeadLetter.replayed_at.is_(None))
        wanted = wanted.order_by(DeadLetter.created_at, DeadLetter.id).limit(limit + MAX_TRIES_IN_VAIN)
        totals = ReplayTotals()
        async with self._ledger.read() as session:
            ids = (await session.scalars(wanted)).all()
        for letter_id in ids:
            if totals.replayed == limit:
                break
            try:
                await self.replay(letter_id, key_id=key_id)
                totals.replayed += 1
            except (Conflict, NotFound) as reason:
                if len(totals.refused) < MAX_REFUSED:
                    totals.refused.append({"id": letter_id, "reason": str(reason)})
        totals.open = await self.count_open()
        return totals

    async def delete(self, letter_id: str, *, key_id: str) -> None:
        """Drop a letter, with the event that only it may hold; NotFound if there is none.

        Conflict while its batch may still be applied, and if it turns out that the log has the event again:
        then the letter is noted as replayed.
        """
        async with self._ledger.write() as session:
            letter = await _find(session, letter_id, lock=True)
            appended, waiting = await self._drop(session, [letter])
            if not (appended or waiting):
                session.add(_audit(key_id, "dead_letter.delete", letter))
        if waiting:
            raise _not_passed(letter)
        if appended:
            await self._log.settle(appended)
            raise _was_replayed(letter, "Delete it again to drop the letter alone.")

    async def purge(self, selection: Selection, *, key_id: str) -> PurgeTotals:
        """Drop all letters that are meant, but for those that `delete` refuses."""
        asked = {name: str(value) for name, value in asdict(selection).items() if value is not None}
        order = (DeadLetter.created_at, DeadLetter.id)
        wanted = select(DeadLetter).options(defer(DeadLetter.payload)).where(*selection.clauses())
        page = wanted = wanted.order_by(*order).limit(PURGE_PAGE).with_for_update()
        totals, is_end = PurgeTotals(), False
        while not is_end:
            async with self._ledger.write() as session:
                letters = (await session.scalars(page)).all()
                appended, waiting = await self._drop(session, letters)
                num_gone = len(letters) - len(appended) - len(waiting)
                detail = {**asked, "num": num_gone}
                session.add(AuditRecord(key_id=key_id, action="dead_letter.purge", detail=detail))
            await self._log.settle(appended)
            totals.purged += num_gone
            totals.kept += len(letters) - num_gone
            is_end = len(letters) < PURGE_PAGE
            if not is_end:
                page = wanted.where(tuple_(*order) > (letters[-1].created_at, letters[-1].id))
        return totals

    async def _drop(self, session: AsyncSession, letters: Sequence[DeadLetter]) -> tuple[set[str], set[str]]:
        """Delete the letters but for two kinds, whose ids come back.

        The log has the events of the first again, though the ledger did not know: they become replayed ones.
        The batches of the second may still be applied as a whole, for which the ingester needs them.
        """
        unsettled = [letter for letter in letters if letter.replayed_at is None]
        appended = await self._log.appended([letter.id for letter in unsettled])
        waiting = await self._log.waiting(unsettled) - appended
        for letter in letters:
            if letter.id in appended:
                letter.replayed_at = utc_now()
            elif letter.id not in waiting:
                await session.delete(letter)
        # Before the commit: a letter that is left without its id only needs to be deleted again, while
        # an id that is left without its letter would make a duplicate of an event that is nowhere.
        await self._log.forget([each for each in unsettled if each.id not in appended | waiting])
        return appended, waiting


def read_event(letter: DeadLetter) -> Event:
    """The letter's event; Conflict if it is none of the vocabulary."""
    try:
        return decode_event(letter.payload)
    except ValueError as error:
        raise Conflict(
            f"Dead letter {letter.id} holds no event that can be read: {error}.",
            remedy=f"Correct it with PUT /v1/dead-letters/{letter.id}/event, or delete it and send "
            "what it should have been as new events.",
        ) from error


async def _find(session: AsyncSession, letter_id: str, *, lock: bool = False) -> DeadLetter:
    """The letter; `lock` keeps other writers of it waiting. SQLite locks them all, by `Ledger.write`."""
    found = select(DeadLetter).where(DeadLetter.id == letter_id)
    letter = await session.scalar(found.with_for_update() if lock else found)
    if letter is None:
        raise NotFound(f"There is no dead letter {letter_id}.", remedy="GET /v1/dead-letters lists them.")
    return letter


async def _count_open(session: AsyncSession) -> int:
    is_open = DeadLetter.replayed_at.is_(None)
    return await session.scalar(select(func.count()).select_from(DeadLetter).where(is_open)) or 0


def _was_replayed(letter: DeadLetter, remedy: str) -> Conflict:
    return Conflict(f"Dead letter {letter.id} was replayed: its event is in the log again.", remedy=remedy)


def _not_passed(letter: DeadLetter) -> Conflict:
    return Conflict(
        f"The graph is not yet past the place in the log that dead letter {letter.id} is from.",
        remedy="Try again once `lsec lag` shows that the graph has caught up.",
    )


def _cursor_of(letter: DeadLetter) -> str:
    return f"{(letter.created_at - _EPOCH) // _MICROSECOND}-{letter.id}"


def _parse_cursor(cursor: str) -> tuple[datetime, str]:
    microseconds, _, letter_id = cursor.partition("-")
    return _EPOCH + int(microseconds) * _MICROSECOND, letter_id


def _audit(key_id: str, action: str, letter: DeadLetter, **detail: Any) -> AuditRecord:
    return AuditRecord(
        key_id=key_id, action=action, target=letter.id, detail={"event_id": letter.event_id, **detail}
    )
