"""An artifact that is kept open: another takes its place once that is ready."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from lsec.core.artifact import MANIFEST, Artifact, open_artifact
from lsec.core.errors import ArtifactError, NotFound

FileMark = tuple[int, int]
"""A file's inode and time of change."""
RETRY_S = 60.0
"""One that could not be served, though it is not damaged, is tried again after so long."""

log = logging.getLogger(__name__)


class OpenRelease:
    """The artifact that is served; the old one stays until the new one is open.

    `serve` is called with each one before it becomes `current`, and makes it ready for requests. `role` is
    what such a release is called when it cannot be opened.
    """

    def __init__(
        self, artifacts_path: Path, serve: Callable[[Artifact | None], Awaitable[None]], *, role: str
    ) -> None:
        self._artifacts_path = artifacts_path
        self._role = role
        self._make_ready = serve
        self._complained_of: set[str] = set()
        self._refused: tuple[str, FileMark, float] | None = None
        self._current_mark: FileMark | None = None
        self._hashing: asyncio.Task[None] | None = None
        self.current: Artifact | None = None
        """The artifact of the release that requests are answered from."""

    async def show(self, release_id: str) -> bool:
        """Open the release if it is not the one served, or was replaced; whether it became `current` now.

        One that cannot be opened is complained of, and the one before is served on.
        """
        mark = await asyncio.to_thread(self._mark, release_id)
        is_other = self.current is None or self.current.manifest.release_id != release_id
        if not (is_other or mark not in (None, self._current_mark)) or self._is_refused(release_id, mark):
            return False
        try:
            artifact, opened_mark = await asyncio.to_thread(self._open, release_id)
            await self._make_ready(artifact)
        # Whatever it is: one release that cannot be served must not take down what serves the one before.
        except Exception as error:
            # A damaged one is not read again until it is another one: that takes all cores.
            until = math.inf if isinstance(error, ArtifactError) else time.monotonic() + RETRY_S
            self._refused = (release_id, mark, until) if mark is not None else None
            if release_id not in self._complained_of:
                log.exception("release %s is %s, but cannot be served", release_id, self._role)
                self._complained_of.add(release_id)
            return False
        self.current, self._current_mark = artifact, opened_mark
        self._complained_of.discard(release_id)
        log.info("serving release %s", release_id)
        # Requests are answered meanwhile, and the next release is not waited for.
        self._hashing = asyncio.create_task(asyncio.to_thread(artifact.hash_ids))
        return True

    def _is_refused(self, release_id: str, mark: FileMark | None) -> bool:
        if self._refused is None:
            return False
        *refused, until = self._refused
        return refused == [release_id, mark] and time.monotonic() < until

    async def show_none(self) -> None:
        """Serve no release, as before the first one."""
        if self.current is not None:
            await self._make_ready(None)
        self.current = None

    async def look_again(self) -> None:
        """Open the one served anew, if it was replaced."""
        if self.current is not None:
            await self.show(self.current.manifest.release_id)

    async def open(self, release_id: str) -> Artifact:
        """The artifact of any release; NotFound if it is not kept any more."""
        current, current_mark = self.current, self._current_mark
        # It may not have been seen yet that an erasure replaced it.
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
