"""The active release: follows the graph's pointer and keeps the artifact it shows open."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from neo4j.exceptions import DriverError, Neo4jError

from lsec.api.stores.graph import SERVING_TIMEOUT_S, Graph
from lsec.core.artifact import MANIFEST, Artifact, open_artifact
from lsec.core.errors import ArtifactError, NotFound
from lsec.core.settings import Settings

FOLLOW_EVERY_S = 0.5
LAST_SERVED = "last-served"
"""The file in the data folder that names the release served last, for a start while the graph is away."""

FileMark = tuple[int, int]
"""A file's inode and time of change."""

log = logging.getLogger(__name__)


async def active_release(graph: Graph, *, timeout_s: float) -> str | None:
    """The id that the graph's pointer shows, None before the first publication."""
    rows = await graph.rows("recommendations/active_release", timeout_s=timeout_s)
    return str(rows[0]["release_id"]) if rows else None


class ReleaseFollower:
    """The artifact that is served; the old one stays until the new one is open.

    `serve` is called with each one before it becomes `current`, and makes it ready for requests. `tell` is
    called each time that the graph was asked: did it answer?
    """

    def __init__(
        self,
        graph: Graph,
        settings: Settings,
        *,
        serve: Callable[[Artifact | None], Awaitable[None]],
        tell: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._graph = graph
        self._make_ready = serve
        self._tell = tell
        self._artifacts_path = settings.artifacts_path
        self._last_served = settings.data_dir / LAST_SERVED
        self._complained_of: set[str] = set()
        self._refused: tuple[str, FileMark | None] | None = None
        self._current_mark: FileMark | None = None
        self.current: Artifact | None = None
        """The artifact of the release that requests are answered from."""

    async def active_id(self) -> str | None:
        """The id that the graph's pointer shows now."""
        return await active_release(self._graph, timeout_s=SERVING_TIMEOUT_S)

    async def follow(self) -> None:
        """Follow the pointer, for ever; whatever goes wrong, the open release is served on."""
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
            release_id = await self.active_id()
            if release_id is None:
                if self.current is not None:
                    await self._make_ready(None)
                self.current = None
            else:
                await self._serve(release_id)
        finally:
            if self.current is not None:
                await self._serve(self.current.manifest.release_id)

    async def _serve(self, release_id: str) -> None:
        mark = await asyncio.to_thread(self._mark, release_id)
        is_other = self.current is None or self.current.manifest.release_id != release_id
        if (is_other or mark not in (None, self._current_mark)) and (release_id, mark) != self._refused:
            try:
                artifact, opened_mark = await asyncio.to_thread(self._open, release_id)
                await self._make_ready(artifact)
                self.current, self._current_mark = artifact, opened_mark
                await asyncio.to_thread(self._remember, release_id)
                log.info("serving release %s", release_id)
            except (ArtifactError, OSError):
                # One that is there is not read again until it is another one: that takes all cores.
                self._refused = (release_id, mark) if mark is not None else None
                if release_id not in self._complained_of:
                    log.exception("release %s is active, but cannot be served", release_id)
                    self._complained_of.add(release_id)

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

    async def open(self, release_id: str) -> Artifact:
        """The artifact of any release; NotFound if it is not kept any more."""
        current, current_mark = self.current, self._current_mark
        # `follow` may not have seen yet that an erasure replaced it.
        if (
            current is not None
            and current.manifest.release_id == release_id
            and await asyncio.to_thread(self._mark, release_id) in (None, current_mark)
        ):
            return current
        if not await asyncio.to_thread(self._folder(release_id).is_dir):
            raise NotFound(f"The artifact of release {release_id} is not kept here.")
        return (await asyncio.to_thread(self._open, release_id))[0]

    def _open(self, release_id: str) -> tuple[Artifact, FileMark | None]:
        """The artifact with its manifest's mark, opened anew if an erasure replaced the folder meanwhile."""
        while True:
            mark = self._mark(release_id)
            artifact = open_artifact(self._folder(release_id))
            if self._mark(release_id) == mark:
                return artifact, mark

    def _mark(self, release_id: str) -> FileMark | None:
        """What changes when an erasure replaces the artifact; None for the moment that it is away."""
        try:
            found = (self._folder(release_id) / MANIFEST).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _folder(self, release_id: str) -> Path:
        return self._artifacts_path / release_id
