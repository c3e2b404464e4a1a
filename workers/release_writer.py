"""The rows of a release on their way into the graph: each transaction also moves a mark on its node.

So a publication that was cut off goes on from its marks, and two of the same release share the work.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import neo4j
import numpy as np
from numpy.typing import NDArray

from lsec.core.artifact import ERASED_ID, Artifact
from lsec.core.erasures import user_hash
from lsec.core.errors import Conflict
from workers.graph import read_rows, write_rows

USERS_PER_WRITE = 2_000
VECTORS_PER_WRITE = 1_000

Check = Callable[[float], None]
Row = list[Any]


@dataclass(frozen=True, slots=True)
class Part:
    """What one statement writes of an artifact; `rows(start, stop)` are these rows as it wants them."""

    name: str
    query: str
    num_rows: int
    rows_per_write: int
    rows: Callable[[int, int], list[Row]]


def write_parts(driver: neo4j.Driver, artifact: Artifact, *, marks: Mapping[str, Any], check: Check) -> None:
    """Write what is behind the marks; users whom an erasure took out meanwhile have no slate after it.

    Conflict if the release is deleted meanwhile.
    """
    gone = _tombstones(driver, artifact)
    parts = _parts(artifact, gone)
    num_rows = max(1, sum(part.num_rows for part in parts))
    num_before = 0
    for part in parts:
        _write(driver, artifact, part, marks[part.name], check=_share(check, num_before, num_rows))
        num_before += part.num_rows
    now_gone = _tombstones(driver, artifact)
    # What an earlier attempt wrote may hold whom this one knew from the start to be gone.
    _drop_slates(driver, artifact, now_gone if marks["users"] else now_gone - gone)


def _share(check: Check, num_before: int, num_rows: int) -> Callable[[int], None]:
    return lambda done: check((num_before + done) / num_rows)


def _parts(artifact: Artifact, gone: frozenset[str]) -> tuple[Part, ...]:
    slates = partial(_slate_rows, artifact, gone, _decoded(artifact.product_ids))
    products = partial(_vector_rows, artifact.product_ids, artifact.product_vectors)
    streamers = partial(_vector_rows, artifact.streamer_ids, artifact.streamer_vectors)
    return (
        Part("users", "publish/slates", len(artifact.user_ids), USERS_PER_WRITE, slates),
        Part("products", "publish/product_vectors", len(artifact.product_ids), VECTORS_PER_WRITE, products),
        Part(
            "streamers",
            "publish/streamer_vectors",
            len(artifact.streamer_ids),
            VECTORS_PER_WRITE,
            streamers,
        ),
    )


def _write(
    driver: neo4j.Driver, artifact: Artifact, part: Part, start: int, *, check: Callable[[int], None]
) -> None:
    """Write a part from a mark on; the next rows are made ready while the database is at these."""
    release_id = artifact.manifest.release_id
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(part.rows, start, start + part.rows_per_write)
        while start < part.num_rows:
            check(start)
            rows = coming.result()
            stop = min(start + part.rows_per_write, part.num_rows)
            coming = beside.submit(part.rows, stop, stop + part.rows_per_write)
            batch = {"release_id": release_id, "start": start, "stop": stop, "rows": rows}
            if write_rows(driver, part.query, batch=batch):
                start = stop
            else:
                # Another publication of it was here first, or this one without hearing of its commit.
                start = _mark(driver, release_id, part)
                coming = beside.submit(part.rows, start, start + part.rows_per_write)


def _mark(driver: neo4j.Driver, release_id: str, part: Part) -> int:
    for row in read_rows(driver, "publish/marks", release_id=release_id):
        return int(row[part.name])
    raise Conflict(
        f"Release {release_id} was deleted while it was being published.",
        remedy="Promote it again if its artifact is still kept.",
    )


def _slate_rows(
    artifact: Artifact, gone: frozenset[str], product_ids: NDArray[np.object_], start: int, stop: int
) -> list[Row]:
    """[user id, product ids, scores] of the users, but for those who are gone."""
    block = artifact.slates[start:stop]
    lengths = np.count_nonzero(block >= 0, axis=1).tolist()
    products = product_ids[block].tolist()
    scores = artifact.slate_scores[start:stop].tolist()
    user_ids = [user_id.decode() for user_id in artifact.user_ids[start:stop].tolist()]
    return [
        [user_id, of_user[:length], scored[:length]]
        for user_id, of_user, scored, length in zip(user_ids, products, scores, lengths, strict=True)
        if user_id != ERASED_ID and not (gone and user_hash(user_id) in gone)
    ]


def _vector_rows(ids: NDArray[np.bytes_], vectors: NDArray[np.float16], start: int, stop: int) -> list[Row]:
    """[item id, vector] of the products or streamers."""
    pairs = zip(ids[start:stop].tolist(), vectors[start:stop].tolist(), strict=True)
    return [[item_id.decode(), vector] for item_id, vector in pairs]


def _decoded(ids: NDArray[np.bytes_]) -> NDArray[np.object_]:
    return np.array([id_.decode() for id_ in ids.tolist()], dtype=object)


def _tombstones(driver: neo4j.Driver, artifact: Artifact) -> frozenset[str]:
    """Hashes of the users whose erasure may be newer than the release's snapshot."""
    created_at = datetime.fromisoformat(artifact.manifest.created_at)
    rows = read_rows(driver, "publish/tombstones", created_at_ms=int(created_at.timestamp() * 1000))
    return frozenset(row["user_hash"] for row in rows)


def _drop_slates(driver: neo4j.Driver, artifact: Artifact, gone: frozenset[str]) -> None:
    if not gone:
        return
    user_ids = (user_id.decode() for user_id in artifact.user_ids.tolist())
    held = [user_id for user_id in user_ids if user_hash(user_id) in gone]
    for start in range(0, len(held), USERS_PER_WRITE):
        batch = {
            "release_id": artifact.manifest.release_id,
            "user_ids": held[start : start + USERS_PER_WRITE],
        }
        write_rows(driver, "publish/drop_slates", batch=batch)
