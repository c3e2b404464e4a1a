"""Dead letters: what the ingester set aside, to be looked at, corrected, appended again or dropped."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import redis.asyncio
from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from graph_schema.events import Event
from lsec.api.stores.ledger import Ledger
from lsec.core.errors import Conflict, NotFound
from lsec.core.event_log import (
    LogKeys,
    decode_event,
    encode_chunk,
    parse_committed,
    position_key,
    shard_of,
)
from lsec.core.event_replay import MARKER_KEPT_S, REPLAY_SCRIPT, replay_arguments
from lsec.core.ledger import AuditRecord, DeadLetter, utc_now
from lsec.core.logs import REQUEST_ID
from lsec.core.settings import Settings

MAX_REFUSED = 100
"""Letters that could not be replayed, as a replay of many lists them."""
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


class DeadLetterStore:
    """The letters in the ledger, and the way of their events back into the log.

    A letter is locked while its event is appended, and the log keeps a marker of the append: so it
    happens once, whether two ask for it at the same time or the process ends before the ledger knows.
    """

    def __init__(self, ledger: Ledger, client: redis.asyncio.Redis, settings: Settings) -> None:
        self._ledger = ledger
        self._client = client
        self._settings = settings
        self._replay = client.register_script(REPLAY_SCRIPT)

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
            if letter.replayed_at is not None or await self._was_appended(letter):
                raise Conflict(
                    f"Dead letter {letter_id} was replayed: its event is in the log again.",
                    remedy="If it is refused again it becomes a new dead letter; correct that one.",
                )
            letter.payload = encode_chunk([event])
            letter.event_id = event.event_id
            letter.fixed_at = utc_now()
            session.add(_audit(key_id, "dead_letter.fix", letter))
        return letter

    async def replay(self, letter_id: str, *, key_id: str) -> DeadLetter:
        """Append the letter's event to the log again, whatever became of it before; again changes nothing.

        Conflict if it cannot be read, or if the ingester is not past the place that it was set aside from.
        """
        async with self._ledger.write() as session:
            letter = await _find(session, letter_id, lock=True)
            if letter.replayed_at is not None:
                return letter
            event = read_event(letter)
            await self._check_passed(letter)
            shard = shard_of(event, self._settings.shards)
            keys, arguments = replay_arguments(
                event,
                letter_id=letter.id,
                shard=shard,
                window_s=self._settings.dedup_window_s,
                request_id=REQUEST_ID.get(),
            )
            number = int(await self._replay(keys=keys, args=arguments))
            letter.replayed_at = utc_now()
            session.add(_audit(key_id, "dead_letter.replay", letter, into_shard=shard, number=number))
        await self._client.expire(keys[-1], MARKER_KEPT_S)
        return letter

    async def replay_all(self, selection: Selection, *, limit: int, key_id: str) -> ReplayTotals:
        """Replay open letters, the oldest first, until `limit` are; those that cannot be stay open."""
        wanted = select(DeadLetter.id).where(*selection.clauses(), DeadLetter.replayed_at.is_(None))
        totals = ReplayTotals()
        async with self._ledger.read() as session:
            ids = (await session.scalars(wanted.order_by(DeadLetter.created_at, DeadLetter.id))).all()
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
        """Drop a letter, with the event that only it may hold; NotFound if there is none."""
        async with self._ledger.write() as session:
            letter = await _find(session, letter_id, lock=True)
            session.add(_audit(key_id, "dead_letter.delete", letter))
            await session.delete(letter)
        if letter.replayed_at is None:
            await self._forget([(letter.shard, letter.event_id)])

    async def purge(self, selection: Selection, *, key_id: str) -> int:
        """Drop all letters that are meant; how many they were."""
        asked = {name: str(value) for name, value in asdict(selection).items() if value is not None}
        gone = delete(DeadLetter).where(*selection.clauses())
        columns = (DeadLetter.shard, DeadLetter.event_id, DeadLetter.replayed_at)
        async with self._ledger.write() as session:
            letters = (await session.execute(gone.returning(*columns))).all()
            detail = {**asked, "num": len(letters)}
            session.add(AuditRecord(key_id=key_id, action="dead_letter.purge", detail=detail))
        await self._forget([(shard, event_id) for shard, event_id, at in letters if at is None])
        return len(letters)

    async def _forget(self, events: Sequence[tuple[int, str]]) -> None:
        """Have the log no longer know dropped events, so that they may be sent again."""
        async with self._client.pipeline(transaction=False) as pipe:
            for shard, event_id in events:
                if event_id:
                    pipe.delete(LogKeys(shard).id_prefix + event_id)
            await pipe.execute()

    async def _was_appended(self, letter: DeadLetter) -> bool:
        """Whether the log has the letter's event again, though the ledger does not know."""
        try:
            shard = shard_of(read_event(letter), self._settings.shards)
        except Conflict:
            return False
        return bool(await self._client.exists(LogKeys(shard).replay_prefix + letter.id))

    async def _check_passed(self, letter: DeadLetter) -> None:
        """Conflict while the batch that the letter is from may still be applied as a whole."""
        keys = LogKeys(letter.shard)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.get(keys.epoch)
            pipe.hgetall(keys.committed)
            epoch, committed = await pipe.execute()
        if epoch is None or epoch.decode() != letter.epoch:
            return
        if position_key(parse_committed(committed).position) < position_key(letter.entry_id):
            raise Conflict(
                f"The graph is not yet past the place in the log that dead letter {letter.id} is from.",
                remedy="Replay it once `lsec lag` shows that the graph has caught up.",
            )


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


def _cursor_of(letter: DeadLetter) -> str:
    return f"{(letter.created_at - _EPOCH) // _MICROSECOND}-{letter.id}"


def _parse_cursor(cursor: str) -> tuple[datetime, str]:
    microseconds, _, letter_id = cursor.partition("-")
    return _EPOCH + int(microseconds) * _MICROSECOND, letter_id


def _audit(key_id: str, action: str, letter: DeadLetter, **detail: Any) -> AuditRecord:
    return AuditRecord(
        key_id=key_id, action=action, target=letter.id, detail={"event_id": letter.event_id, **detail}
    )
