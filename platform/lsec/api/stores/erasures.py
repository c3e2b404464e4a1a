"""Erasures in the ledger: asked for, read, and whom to hide until they are in the graph."""

import asyncio
import logging
from collections.abc import Sequence

from redis.exceptions import RedisError
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from lsec.api.stores.event_log import EventLog
from lsec.api.stores.ledger import Ledger
from lsec.core.erasures import erasing_event, user_hash
from lsec.core.errors import NotFound, Unavailable
from lsec.core.event_log import shard_of
from lsec.core.jobs import new_id
from lsec.core.ledger import AuditRecord, Erasure, utc_now
from lsec.core.settings import Settings

FOLLOW_EVERY_S = 1.0
"""Other processes of the API hide a user after this long at the latest."""
FIRST_READ_S = 5.0
"""The API starts without knowing whom to hide if its ledger has not answered by then."""

log = logging.getLogger(__name__)


class ErasureStore:
    """The erasures; `follow` keeps in memory whose data may no longer be shown."""

    def __init__(self, ledger: Ledger, event_log: EventLog, settings: Settings) -> None:
        self._ledger = ledger
        self._event_log = event_log
        self._settings = settings
        self._refreshing = asyncio.Lock()
        self.hidden: frozenset[str] = frozenset()
        """Users whose erasure is not in the graph yet."""
        self.leaving: frozenset[str] = frozenset()
        """Users whose erasure is not done: artifacts may still hold them."""

    async def request(self, user_id: str, *, key_id: str) -> Erasure:
        """The user's open erasure, made if there is none; the user is hidden when this returns.

        Its event goes into the log now, or with the next upkeep if the log is away.
        """
        try:
            erasure = await self._open(user_id, key_id)
        except IntegrityError:
            # Another process of the API opened it at the same moment.
            erasure = await self._open(user_id, key_id)
        await self.refresh()
        return erasure if erasure.number is not None else await self._append(erasure)

    async def _open(self, user_id: str, key_id: str) -> Erasure:
        now = utc_now()
        # Locked, or the upkeep might call it done between this look and the answer.
        open_one = select(Erasure).where(Erasure.user_id == user_id).with_for_update()
        async with self._ledger.write() as session:
            erasure = await session.scalar(open_one)
            is_new = erasure is None
            erasure = erasure or Erasure(id=new_id("era"), user_id=user_id, user_hash=user_hash(user_id))
            # An erasure takes whole days: on a later day there may be newer data, so it begins anew.
            if is_new or erasure.requested_at.date() < now.date():
                erasure.requested_at, erasure.requested_by = now, key_id
                erasure.event_id = f"{erasure.id}-{now:%Y%m%d}"
                erasure.shard = shard_of(erasing_event(erasure), self._settings.shards)
                erasure.number = erasure.committed_at = erasure.checked_at = None
                erasure.waiting_for = ["the event log"]
            session.add(erasure)
            detail = {"erasure_id": erasure.id}
            session.add(
                AuditRecord(key_id=key_id, action="user.erase", target=erasure.user_hash, detail=detail)
            )
        return erasure

    async def _append(self, erasure: Erasure) -> Erasure:
        """Send the erasure's event; it stays for the upkeep if the log does not take it."""
        try:
            result = await self._event_log.append([erasing_event(erasure)], shard=erasure.shard)
        except (RedisError, OSError, Unavailable):
            log.warning("erasure %s waits for the event log", erasure.id, exc_info=True)
            return erasure
        async with self._ledger.write() as session:
            await session.execute(
                update(Erasure)
                .where(Erasure.id == erasure.id, Erasure.event_id == erasure.event_id)
                .values(number=result.total, waiting_for=["the ingester"])
            )
        return await self.get(erasure.id)

    async def get(self, erasure_id: str) -> Erasure:
        """The erasure of that id; NotFound if there is none."""
        async with self._ledger.read() as session:
            erasure = await session.get(Erasure, erasure_id)
        if erasure is None:
            raise NotFound(f"There is no erasure {erasure_id}.")
        return erasure

    async def list(self, *, limit: int) -> Sequence[Erasure]:
        """The newest erasures, newest first."""
        newest = select(Erasure).order_by(Erasure.requested_at.desc(), Erasure.id.desc()).limit(limit)
        async with self._ledger.read() as session:
            return (await session.scalars(newest)).all()

    async def follow(self) -> None:
        """Keep whom to hide, for ever; while the ledger is away, those known last stay hidden."""
        while True:
            await self._try_refresh()
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def begin(self) -> None:
        """Know whom to hide before the first request; a ledger that is away is left to `follow`."""
        await self._try_refresh(within_s=FIRST_READ_S)

    async def _try_refresh(self, *, within_s: float | None = None) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self.refresh()
        except (SQLAlchemyError, OSError):
            log.debug("the open erasures cannot be read", exc_info=True)

    async def refresh(self) -> None:
        """Read whom to hide; one at a time, so that an older answer never replaces a newer one."""
        is_open = select(Erasure.user_id, Erasure.committed_at).where(Erasure.user_id.is_not(None))
        async with self._refreshing:
            async with self._ledger.read() as session:
                rows = (await session.execute(is_open)).all()
            self.leaving = frozenset(user_id for user_id, _ in rows if user_id is not None)
            self.hidden = frozenset(
                user_id for user_id, committed_at in rows if user_id is not None and committed_at is None
            )
