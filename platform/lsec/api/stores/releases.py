"""Releases as the ledger records them, and as they stand in the graph and on disk."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select

from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S, Graph
from lsec.api.stores.jobs import Jobs
from lsec.api.stores.ledger import Ledger, audit
from lsec.core.errors import Conflict, NotFound
from lsec.core.jobs import RELEASES_JOB, UPKEEP_QUEUE
from lsec.core.ledger import ApiKey, ReleaseRecord, utc_now
from lsec.core.settings import Settings

FLIP_TIMEOUT_S = 10.0
CHAMPION, CHALLENGER = "champion", "challenger"
ALIASES = {"active": CHAMPION, CHALLENGER: CHALLENGER}
"""What a release is called that the graph's pointer of that name shows."""
State = Literal["active", "published", "publishing", "kept", "deleted"]


@dataclass(frozen=True, slots=True)
class InGraph:
    """What the graph holds of releases: whom its pointers show, and how far each release is written."""

    shown: dict[str, str] = field(default_factory=dict)
    """Release id by the pointer's name."""
    previous_ids: Sequence[str] = ()
    """Which were active before, the last one first."""
    written: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def champion(self) -> str | None:
        """The active release's id."""
        return self.shown.get("active")

    def aliases(self, release_id: str) -> list[str]:
        """What a release is called beside its id."""
        return [alias for name, alias in ALIASES.items() if self.shown.get(name) == release_id]

    def is_whole(self, release_id: str) -> bool:
        """Whether the release can become active at once."""
        row = self.written.get(release_id, {})
        return row.get("is_complete") is True and not row["is_collected"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A release with where it stands."""

    record: ReleaseRecord
    state: State
    percent: float
    """Of its publication that is done."""
    aliases: list[str]


class ReleaseStore:
    """The releases that trainings made; which one is active stands in the graph alone."""

    def __init__(self, ledger: Ledger, graph: Graph, jobs: Jobs, settings: Settings) -> None:
        self._ledger = ledger
        self._graph = graph
        self._jobs = jobs
        self._artifacts_path = settings.artifacts_path

    async def list(self, *, model: str | None = None) -> Sequence[ReleaseRecord]:
        """All releases, or those of a model, newest first."""
        newest = select(ReleaseRecord).order_by(ReleaseRecord.created_at.desc(), ReleaseRecord.id.desc())
        if model is not None:
            newest = newest.where(ReleaseRecord.model == model)
        async with self._ledger.read() as session:
            return (await session.scalars(newest)).all()

    async def get(self, release_id: str) -> ReleaseRecord:
        """The release of that id; NotFound if there is none."""
        async with self._ledger.read() as session:
            release = await session.get(ReleaseRecord, release_id)
        if release is None:
            raise NotFound(f"There is no release {release_id}.")
        return release

    async def in_graph(self) -> InGraph:
        """What the graph holds of releases."""
        pointers, releases = await asyncio.gather(
            self._graph.rows("publish/pointers", timeout_s=ANALYSIS_TIMEOUT_S),
            self._graph.rows("publish/releases", timeout_s=ANALYSIS_TIMEOUT_S),
        )
        previous = [row["previous_ids"] for row in pointers if row["name"] == "active"]
        return InGraph(
            {row["name"]: row["release_id"] for row in pointers if row["release_id"] is not None},
            previous[0] if previous else (),
            {row["release_id"]: row for row in releases},
        )

    def folder(self, release_id: str) -> Path:
        """Where the release's artifact lies, if it is kept."""
        return self._artifacts_path / release_id

    async def stand(self, records: Sequence[ReleaseRecord], in_graph: InGraph) -> Sequence[Standing]:
        """Each release with its state."""

        def kept() -> set[str]:
            return {record.id for record in records if self.folder(record.id).is_dir()}

        on_disk = await asyncio.to_thread(kept)
        return [_standing(record, in_graph, is_kept=record.id in on_disk) for record in records]

    async def set_kept(self, release_id: str, *, is_kept: bool, key_id: str, reason: str) -> ReleaseRecord:
        """The release, pinned against retention or given back to it; Conflict if it is deleted."""
        async with self._ledger.write() as session:
            release = await session.get(ReleaseRecord, release_id)
            if release is None:
                raise NotFound(f"There is no release {release_id}.")
            if release.deleted_at is not None and is_kept:
                raise deleted(release_id)
            release.is_kept = is_kept
            action = "release.keep" if is_kept else "release.unkeep"
            session.add(audit(key_id, action, release_id, {"reason": reason}))
        return release

    async def delete(self, release_id: str, *, key_id: str, reason: str) -> ReleaseRecord:
        """The release, marked as deleted; a worker takes it out of the graph and off the disk.

        Conflict if a pointer shows it, or if it is about to become active. A second request changes nothing.
        """
        in_graph = await self.in_graph()
        if names := in_graph.aliases(release_id):
            raise Conflict(
                f"Release {release_id} is the {' and '.join(names)}.",
                remedy="Promote another one, or end the experiment, first.",
            )
        async with self._ledger.write() as session:
            release = await session.get(ReleaseRecord, release_id)
            if release is None:
                raise NotFound(f"There is no release {release_id}.")
            if release.promotion_asked_at is not None:
                raise Conflict(f"Release {release_id} is being published.", remedy="Wait for its end.")
            if release.deleted_at is not None:
                return release
            if release_id in in_graph.written and not await self._graph.write(
                "publish/begin_collecting", timeout_s=FLIP_TIMEOUT_S, release_id=release_id
            ):
                raise Conflict(f"Release {release_id} has just become active.")
            release.deleted_at = utc_now()
            session.add(audit(key_id, "release.delete", release_id, {"reason": reason}))
        await self._jobs.hurry(RELEASES_JOB, queue=UPKEEP_QUEUE)
        return release


def _standing(record: ReleaseRecord, in_graph: InGraph, *, is_kept: bool) -> Standing:
    row = in_graph.written.get(record.id)
    # One that is not whole, though nobody asked for it, was begun by a training, which publishes it.
    is_written = row is not None and row["is_complete"] is False and not row["is_collected"]
    state: State
    if record.deleted_at is not None:
        state = "deleted"
    elif in_graph.champion == record.id:
        state = "active"
    elif record.promotion_asked_at is not None or is_written:
        state = "publishing"
    elif row is not None and not row["is_collected"]:
        state = "published"
    else:
        state = "kept" if is_kept else "deleted"
    num_users = max(1, record.counts.get("users", 0))
    share = row["num_users_written"] / num_users if row is not None and is_written else 0.0
    percent = 100.0 if state in ("active", "published") else round(100 * min(share, 1.0), 1)
    return Standing(record, state, percent, in_graph.aliases(record.id))


def deleted(release_id: str) -> Conflict:
    """The error of a change to a release that is deleted."""
    return Conflict(f"Release {release_id} is deleted.", remedy="Train again.")


async def check_ledger(ledger: Ledger) -> None:
    """Run a real query; it fails on a database that was never migrated, too."""
    async with ledger.read() as session:
        await session.scalar(select(ApiKey.id).limit(1))
