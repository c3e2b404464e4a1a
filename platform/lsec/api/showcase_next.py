"""What a host should show next: what suits those best who watch the stream now."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from lsec.api.dependencies import MAX_SHOWN, Services
from lsec.api.stores.graph import SERVING_TIMEOUT_S
from lsec.core.errors import Conflict, NotFound
from lsec.core.half_precision import to_single
from lsec.serving.answer import only_rows
from lsec.serving.likeness import best_places
from lsec.serving.shelf import Shelf
from lsec.serving.tags import Rows, Vector
from lsec.serving.wish import Wish

MAX_AVERAGED = 500
"""A mean of so many users is near enough to that of all."""


async def showcase_next(
    services: Services, stream_id: str, wish: Wish, *, present_minutes: int, not_shown_minutes: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """At most wish.k products of the stream's host for those who watched it lately, and what was away.

    NotFound for a stream that nobody has seen, Conflict for one that has ended. Without the graph nothing is
    known of who watches: its errors go on to the caller.
    """
    shelf = services.market.shelf
    now_ms = int(time.time() * 1000)
    rows = await services.graph.rows(
        "serving/live_stream",
        timeout_s=SERVING_TIMEOUT_S,
        stream_id=stream_id,
        present_since_ms=now_ms - present_minutes * 60_000,
        shown_since_ms=now_ms - not_shown_minutes * 60_000,
    )
    if not rows:
        raise NotFound(f"There is no stream {stream_id[:MAX_SHOWN]}.")
    stream = rows[0]
    if 0 <= stream["ended_ms"] <= now_ms:
        ended_at = datetime.fromtimestamp(stream["ended_ms"] / 1000, UTC)
        raise Conflict(f"Stream {stream_id[:MAX_SHOWN]} ended at {ended_at:%Y-%m-%dT%H:%M:%SZ}.")
    present = [id_ for id_ in stream["user_ids"] if id_ not in services.erasures.leaving]
    offered = _offered(shelf, wish, stream["streamer_id"], stream["shown_ids"])

    def choose() -> tuple[str, list[dict[str, Any]]]:
        return _best(shelf, offered, mean_vector(shelf, present[:MAX_AVERAGED]), k=wish.k)

    source, products = await asyncio.to_thread(choose)
    body = {
        "stream_id": stream_id,
        "streamer_id": stream["streamer_id"],
        "release_id": shelf.release_id,
        "source": source,
        "num_present": len(present),
        "products": products,
    }
    return body, tuple(sorted(services.market.away))


def mean_vector(shelf: Shelf, user_ids: Sequence[str]) -> Vector | None:
    """The mean vector [d] of those of the users whom the release knows; None if it knows none.

    By it a product has the mean of its scores for each of them, for a score is linear in the user's vector.
    """
    if shelf.artifact is None:
        return None
    rows = shelf.artifact.users.rows(user_ids)
    rows = rows[rows >= 0]
    rows = rows[shelf.artifact.slates[rows, 0] >= 0]
    if not len(rows):
        return None
    mean: Vector = to_single(shelf.artifact.user_vectors[rows]).mean(axis=0)
    return mean


def _offered(shelf: Shelf, wish: Wish, streamer_id: str, shown_ids: Sequence[str]) -> Rows:
    """The rows of what the streamer sells and may show now."""
    catalog = shelf.catalog
    rows = catalog.sellers.rows_with([streamer_id] if streamer_id else [])
    only = only_rows(wish, catalog)
    if only is not None:
        rows = rows[np.isin(rows, only)]
    rows = rows[catalog.is_offered(rows, in_stock=wish.in_stock)]
    return rows[~np.isin(rows, catalog.rows([*shown_ids, *wish.exclude]))]


def _best(shelf: Shelf, rows: Rows, vector: Vector | None, *, k: int) -> tuple[str, list[dict[str, Any]]]:
    if vector is None:
        source = "popular"
        rows, scores = shelf.by_popularity(rows)[:k], np.zeros(min(k, len(rows)))
    else:
        source = "present_audience"
        found = shelf.scores(vector, rows)
        best = best_places(found, k)
        rows, scores = rows[best], found[best].astype(float)
    products = [
        {"product_id": id_, "score": score, "source": source}
        for id_, score in zip(shelf.catalog.product_ids(rows), scores.tolist(), strict=True)
    ]
    return source if products else "none", products
