"""Streams and what they showcase, read once and kept until they change."""

import time
from dataclasses import dataclass

from lsec.api.stores.graph import SERVING_TIMEOUT_S, Graph
from lsec.core.errors import NotFound
from lsec.serving.catalog import Catalog
from lsec.serving.tags import Rows

KEPT_S = 5.0
"""A stream is read anew after this long even if no change was heard of."""
MAX_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Showcase:
    """A stream's host, and the products that it showcased, the latest first."""

    stream_id: str
    streamer_id: str
    has_ended: bool
    product_ids: tuple[str, ...]


class Streams:
    """The showcases that this process was asked for lately."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._kept: dict[str, tuple[float, Showcase]] = {}
        self._rows: dict[str, tuple[Showcase, Catalog, Rows]] = {}
        self._num_changes = 0

    async def showcase(self, stream_id: str) -> Showcase:
        """The stream's showcase as of its last change; NotFound for a stream that nobody has seen."""
        kept = self._kept.get(stream_id)
        if kept is not None and time.monotonic() - kept[0] < KEPT_S:
            return kept[1]
        read_at, num_changes = time.monotonic(), self._num_changes
        rows = await self._graph.rows(
            "serving/stream", timeout_s=SERVING_TIMEOUT_S, asked={"stream_id": stream_id}
        )
        if not rows:
            raise NotFound(f"There is no stream {stream_id[:100]}.")
        row = rows[0]
        found = Showcase(stream_id, row["streamer_id"], row["ended_ms"] >= 0, tuple(row["product_ids"]))
        # What was read while some stream changed may be older than the change.
        if num_changes == self._num_changes:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[stream_id] = read_at, found
        return found

    def rows(self, showcase: Showcase, catalog: Catalog) -> Rows:
        """The rows of what is showcased; found once for the many who watch a stream."""
        found = self._rows.get(showcase.stream_id)
        if found is None or found[0] is not showcase or found[1] is not catalog:
            if len(self._rows) >= MAX_KEPT:
                self._rows.clear()
            found = self._rows[showcase.stream_id] = showcase, catalog, catalog.rows(showcase.product_ids)
        return found[2]

    def forget(self, stream_id: str) -> None:
        """Take in that the stream has changed."""
        self._num_changes += 1
        self._kept.pop(stream_id, None)
