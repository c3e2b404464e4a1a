"""API keys straight from the ledger; imported by commands that run on the server, as it needs SQLAlchemy."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError

from lsec.api.stores.keys import KeyStore
from lsec.api.stores.ledger import open_ledger
from lsec.core.errors import Unavailable
from lsec.core.ledger import ApiKey, Scope
from lsec.core.settings import Settings


async def create(settings: Settings, name: str, scope: str) -> tuple[ApiKey, str]:
    """A new key and its secret."""
    async with _store(settings) as keys:
        return await keys.create(name, Scope(scope))


async def create_only(settings: Settings, name: str, scope: str) -> tuple[ApiKey, str]:
    """A new key and its secret; older keys of the same name are revoked."""
    async with _store(settings) as keys:
        for key in await keys.list():
            if key.name == name and key.revoked_at is None:
                await keys.revoke(key.id)
        return await keys.create(name, Scope(scope))


async def list_keys(settings: Settings) -> Sequence[ApiKey]:
    """All keys, the newest first."""
    async with _store(settings) as keys:
        return await keys.list()


async def revoke(settings: Settings, key_id: str) -> None:
    """Ends a key; NotFound if there is none."""
    async with _store(settings) as keys:
        await keys.revoke(key_id)


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[KeyStore]:
    try:
        async with open_ledger(settings) as ledger:
            yield KeyStore(ledger)
    except DBAPIError as error:
        raise Unavailable(
            f"The ledger cannot be used: {error.orig}.",
            remedy="Is LSEC_DATA_DIR or LSEC_SQL_URL right? `lsec migrate` or `lsec up` makes its tables.",
        ) from error
