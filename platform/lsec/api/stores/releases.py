"""Releases as the ledger records them."""

from collections.abc import Sequence

from sqlalchemy import select

from lsec.api.stores.ledger import Ledger
from lsec.core.errors import NotFound
from lsec.core.ledger import ApiKey, ReleaseRecord


class ReleaseStore:
    """The releases that trainings made; which one is active stands in the graph."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def list(self) -> Sequence[ReleaseRecord]:
        """All releases, newest first."""
        newest = select(ReleaseRecord).order_by(ReleaseRecord.created_at.desc(), ReleaseRecord.id.desc())
        async with self._ledger.read() as session:
            return (await session.scalars(newest)).all()

    async def get(self, release_id: str) -> ReleaseRecord:
        """The release of that id; NotFound if there is none."""
        async with self._ledger.read() as session:
            release = await session.get(ReleaseRecord, release_id)
        if release is None:
            raise NotFound(f"There is no release {release_id}.")
        return release


async def check_ledger(ledger: Ledger) -> None:
    """Run a real query; it fails on a database that was never migrated, too."""
    async with ledger.read() as session:
        await session.scalar(select(ApiKey.id).limit(1))
