"""API keys: made, listed, revoked and recognised; only the SHA-256 of a secret is kept."""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update

from lsec.api.stores.ledger import Ledger
from lsec.core.errors import NotFound
from lsec.core.jobs import new_id
from lsec.core.ledger import GRANTS, ApiKey, Scope, utc_now

SECRET_PREFIX = "lsec_"  # noqa: S105 - the public mark of every key, not a secret
CACHE_S = 0.5
"""A revoked key is refused after this long at the latest."""
REFRESH_S = CACHE_S / 2
"""Once a key in use was looked up so long ago, all of them are looked up again: no request waits."""
MAX_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a key and what it may do."""

    key_id: str
    scope: Scope

    def may(self, scopes: Sequence[Scope]) -> bool:
        """Whether the key grants one of `scopes`."""
        return not GRANTS[self.scope].isdisjoint(scopes)


@dataclass(slots=True)
class _Lookup:
    """One look-up of a secret, shared by all requests that come within CACHE_S of its start."""

    started: float
    found: asyncio.Future[Caller | None]
    is_asked: bool = False
    """Whether it served a later request, too."""

    def holds(self, now: float) -> bool:
        """Whether it is believed."""
        return now - self.started <= CACHE_S

    def is_in_use(self, now: float) -> bool:
        """Whether it found a key, which is asked for and still believed."""
        has_ended = self.found.done() and not self.found.cancelled() and self.found.exception() is None
        return self.is_asked and self.holds(now) and has_ended and self.found.result() is not None


class KeyStore:
    """The keys in the ledger, with the short memory that keeps SQL off the event path."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lookups: dict[str, _Lookup] = {}
        self._renewal: asyncio.Task[None] | None = None

    async def create(self, name: str, scope: Scope) -> tuple[ApiKey, str]:
        """A new key and its secret, which is shown this once."""
        secret = SECRET_PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(id=new_id("key"), name=name, scope=scope, secret_sha256=_digest(secret))
        async with self._ledger.write() as session:
            session.add(key)
        return key, secret

    async def list(self) -> Sequence[ApiKey]:
        """All keys, newest first, the revoked ones too."""
        async with self._ledger.read() as session:
            return (await session.scalars(select(ApiKey).order_by(ApiKey.created_at.desc()))).all()

    async def revoke(self, key_id: str) -> None:
        """End a key; again changes nothing. NotFound if there is none."""
        async with self._ledger.write() as session:
            key = await session.get(ApiKey, key_id)
            if key is None:
                raise NotFound(f"There is no key {key_id}.")
            await session.execute(
                update(ApiKey)
                .where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
                .values(revoked_at=utc_now())
            )

    async def authenticate(self, secret: str) -> Caller | None:
        """Whom the secret belongs to; None if it is unknown or revoked."""
        digest, now = _digest(secret), time.monotonic()
        lookup = self._lookups.get(digest)
        if lookup is None or not lookup.holds(now):
            lookup = self._begin(digest, now)
        else:
            lookup.is_asked = True
        is_renewing = self._renewal is not None and not self._renewal.done()
        if now - lookup.started > REFRESH_S and not is_renewing and lookup.is_in_use(now):
            self._renewal = asyncio.create_task(self._renew())
        try:
            # A request that goes away must not cancel the look-up for the others.
            return lookup.found.result() if lookup.found.done() else await asyncio.shield(lookup.found)
        except Exception:
            if self._lookups.get(digest) is lookup:
                del self._lookups[digest]
            raise

    def _begin(self, digest: str, now: float) -> _Lookup:
        if len(self._lookups) >= MAX_CACHED:
            self._lookups.clear()
        lookup = self._lookups[digest] = _Lookup(now, asyncio.create_task(self._find_one(digest)))
        return lookup

    async def _renew(self) -> None:
        """Look the keys in use up again, all at once, and put what is found in place of what is known."""
        now, loop = time.monotonic(), asyncio.get_running_loop()
        in_use = {digest: each for digest, each in self._lookups.items() if each.is_in_use(now)}
        # One that fails is tried again when the known ones are no longer believed: then requests hear of it.
        with contextlib.suppress(Exception):
            callers = await self._find(list(in_use))
            for digest, known in in_use.items():
                if self._lookups.get(digest) is known:
                    renewed = self._lookups[digest] = _Lookup(now, loop.create_future())
                    renewed.found.set_result(callers.get(digest))

    async def _find_one(self, digest: str) -> Caller | None:
        return (await self._find([digest])).get(digest)

    async def _find(self, digests: Sequence[str]) -> dict[str, Caller]:
        async with self._ledger.read() as session:
            keys = await session.scalars(
                select(ApiKey).where(ApiKey.secret_sha256.in_(digests), ApiKey.revoked_at.is_(None))
            )
            return {key.secret_sha256: Caller(key.id, Scope(key.scope)) for key in keys}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
