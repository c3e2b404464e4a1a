"""Streams and what they showcase, read once for all who ask, and kept until they change."""

import asyncio
import time
from dataclasses import dataclass

from lsec.api.stores.graph import SERVING_TIMEOUT_S, Graph
from lsec.api.stores.readings import Readings
from lsec.core.errors import NotFound
from lsec.serving.catalog import Catalog
from lsec.serving.tags import Rows

KEPT_S = 5.0
"""A stream is read anew after this long even if no change was heard of."""
MAX_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Showcase:
    """The products that a stream showcased, the latest first; `read_at` is monotonic."""

    stream_id: str
    product_ids: tuple[str, ...]
    read_at: float


class Streams:
    """The showcases that this process was asked for lately."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._kept: dict[str, Showcase] = {}
        self._readings = Readings(self._read, keep=self._keep)
        self._rows: dict[str, tuple[Showcase, Catalog, Rows]] = {}

    async def showcase(self, stream_id: str) -> Showcase:
        """The stream's showcase as of its last change; NotFound for a stream that nobody has seen."""
        kept = self._kept.get(stream_id)
        if kept is not None and time.monotonic() - kept.read_at < KEPT_S:
            return kept
        task = self._readings.begin(stream_id)
        # A request that goes away must not cancel the reading for the others.
        return kept if kept is not None else await asyncio.shield(task)

    def rows(self, showcase: Showcase, catalog: Catalog) -> Rows:
        """The rows of what is showcased; found once for the many who watch a stream."""
        found = self._rows.get(showcase.stream_id)
        if found is None or found[0] is not showcase or found[1] is not catalog:
            if len(self._rows) >= MAX_KEPT:
                self._rows.clear()
            found = self._rows[showcase.stream_id] = showcase, catalog, catalog.rows(showcase.product_ids)
        return found[2]

    def forget(self, stream_id: str) -> None:
        """Take in that the stream has changed: what is being read may be older."""
        self._kept.pop(stream_id, None)
        self._readings.forget(stream_id)

    async def close(self) -> None:
        """Wait for what is being read."""
        await self._readings.close()

    def _keep(self, stream_id: str, showcase: Showcase) -> None:
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[stream_id] = showcase

    async def _read(self, stream_id: str) -> Showcase:
        read_at = time.monotonic()
        rows = await self._graph.rows(
            "serving/stream", timeout_s=SERVING_TIMEOUT_S, asked={"stream_id": stream_id}
        )
        if not rows:
            raise NotFound(f"There is no stream {stream_id[:100]}.")
        return Showcase(stream_id, tuple(rows[0]["product_ids"]), read_at)
