"""All streamers by followers, read now and then: who is there, and whom to name when a user is unknown."""

import asyncio
import time

from neo4j.exceptions import DriverError, Neo4jError

from lsec.api.stores.graph import ANALYSIS_TIMEOUT_S, Graph

KEPT_S = 5.0
"""A new streamer is named after this long at the latest."""
FIRST_READ_S = 2.0
RETRY_S = 1.0


class Streamers:
    """The streamers of this process; those read last are kept while the graph is away."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._followers: dict[str, int] = {}
        self._read_again_at = 0.0
        self._reading: asyncio.Task[None] | None = None
        self.is_away = False
        """Whether the last reading failed."""

    async def followers(self) -> dict[str, int]:
        """How many follow each streamer, most first; a request waits for the first reading alone."""
        if time.monotonic() >= self._read_again_at and self._reading is None:
            self._reading = asyncio.create_task(self._read())
        if not self._followers and self._reading is not None:
            await asyncio.wait([self._reading], timeout=FIRST_READ_S)
        return self._followers

    async def close(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _read(self) -> None:
        try:
            lists = await self._graph.lists("serving/streamers", timeout_s=ANALYSIS_TIMEOUT_S)
        except (DriverError, Neo4jError):
            self.is_away = True
            self._read_again_at = time.monotonic() + RETRY_S
        else:
            self._followers = dict(zip(lists["streamer_ids"], lists["num_followers"], strict=True))
            self.is_away = False
            self._read_again_at = time.monotonic() + KEPT_S
        finally:
            self._reading = None
