"""The active release: follows the graph's pointers and keeps the artifact of the active one open."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from neo4j.exceptions import DriverError, Neo4jError

from lsec.api.stores.graph import SERVING_TIMEOUT_S, Graph
from lsec.api.stores.open_release import OpenRelease
from lsec.core.artifact import Artifact
from lsec.core.settings import Settings

FOLLOW_EVERY_S = 0.5
LAST_SERVED = "last-served"
"""The file in the data folder that names the release served last, for a start while the graph is away."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trial:
    """An experiment as the challenger's pointer tells it: which release a share of the users is to see."""

    experiment_id: str
    challenger_id: str
    share: float


async def active_release(graph: Graph, *, timeout_s: float) -> str | None:
    """The id that the graph's pointer shows, None before the first publication."""
    return (await pointers(graph, timeout_s=timeout_s))[0]


async def pointers(graph: Graph, *, timeout_s: float) -> tuple[str | None, Trial | None]:
    """The active release's id, None before the first publication, and the experiment that runs, if any."""
    rows = await graph.rows("recommendations/active_release", timeout_s=timeout_s)
    if not rows:
        return None, None
    # Should more than one be active, the newest is served, and the inspection tells of the others.
    row = rows[0]
    trial = None
    if row["challenger_id"] is not None and row["experiment_id"] is not None:
        trial = Trial(row["experiment_id"], row["challenger_id"], row["share"])
    return row["release_id"], trial


class ReleaseFollower:
    """The artifact that is served; the old one stays until the new one is open.

    `serve` is called with each one before it becomes `current`, and makes it ready for requests. `tell` is
    called each time that the graph was asked: did it answer? `aim` is called with the experiment that runs,
    or None, each time that it did.
    """

    def __init__(
        self,
        graph: Graph,
        settings: Settings,
        *,
        serve: Callable[[Artifact | None], Awaitable[None]],
        tell: Callable[[bool], Awaitable[None]],
        aim: Callable[[Trial | None], None] = lambda _: None,
    ) -> None:
        self._graph = graph
        self._tell = tell
        self._aim = aim
        self._release = OpenRelease(settings.artifacts_path, serve, role="active")
        self._last_served = settings.data_dir / LAST_SERVED

    @property
    def current(self) -> Artifact | None:
        """The artifact of the release that requests are answered from."""
        return self._release.current

    async def active_id(self) -> str | None:
        """The id that the graph's pointer shows now."""
        return await active_release(self._graph, timeout_s=SERVING_TIMEOUT_S)

    async def open(self, release_id: str) -> Artifact:
        """The artifact of any release; NotFound if it is not kept any more."""
        return await self._release.open(release_id)

    async def follow(self) -> None:
        """Follow the pointers, for ever; whatever goes wrong, the open release is served on."""
        while True:
            try:
                await self.refresh()
                await self._tell(True)
            except (DriverError, Neo4jError, OSError):
                log.debug("the active release cannot be read", exc_info=True)
                await self._tell(False)
                if self.current is None:
                    await self._serve_last()
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def refresh(self) -> None:
        """Open the artifact that the pointer shows, if it is not the one served, or was replaced.

        An erasure replaces artifacts while the graph is away, too: so the one served is looked at whatever
        became of the pointer.
        """
        try:
            release_id, trial = await pointers(self._graph, timeout_s=SERVING_TIMEOUT_S)
            self._aim(trial)
            if release_id is None:
                await self._release.show_none()
            else:
                await self._serve(release_id)
        finally:
            await self._release.look_again()

    async def _serve(self, release_id: str) -> None:
        if await self._release.show(release_id):
            await asyncio.to_thread(self._remember, release_id)

    async def _serve_last(self) -> None:
        """Serve what the graph showed when it was last asked, until it can be asked again."""
        with contextlib.suppress(OSError, ValueError):
            last = await asyncio.to_thread(self._last_served.read_text)
            await self._serve(last.strip())

    def _remember(self, release_id: str) -> None:
        path = self._last_served
        # The folder may be read only.
        with contextlib.suppress(OSError, ValueError):
            if not path.exists() or path.read_text() != release_id:
                part = path.with_name(f"{LAST_SERVED}.{os.getpid()}")
                part.write_text(release_id)
                part.replace(path)
