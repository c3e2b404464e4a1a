"""Write a release's slates and vectors into the graph, then make it active in one small transaction."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import neo4j
import numpy as np

from lsec.core.artifact import Artifact
from lsec.core.erasures import user_hash
from lsec.core.errors import Conflict
from lsec.core.jobs import HOW_TO_PUBLISH, PUBLISHABLE_SCORINGS, WHY_UNPUBLISHED
from workers.graph import read_rows, write_rows

USERS_PER_WRITE = 2_000
VECTORS_PER_WRITE = 1_000
DELETES_PER_WRITE = 5_000

Check = Callable[[float], None]


def publish(driver: neo4j.Driver, artifact: Artifact, *, keep: int, check: Check = lambda _: None) -> None:
    """Write the artifact's slates and vectors and flip the active pointer to them.

    Readers see the old release until the flip, then the new one. Restartable: what is written
    already is written again unchanged. Conflict if another release became active meanwhile, or if serving
    cannot score as the artifact does. The `keep` newest releases stay in the graph beside the active one.
    """
    release_id = artifact.manifest.release_id
    if artifact.manifest.scoring not in PUBLISHABLE_SCORINGS:
        raise Conflict(
            f"Release {release_id} of {artifact.manifest.model} cannot be published: {WHY_UNPUBLISHED}.",
            remedy=HOW_TO_PUBLISH,
        )
    expected = active_release(driver)
    if expected == release_id:
        return
    created_at = datetime.fromisoformat(artifact.manifest.created_at)
    write_rows(
        driver,
        "publish/release",
        release_id=release_id,
        model=artifact.manifest.model,
        created_at_ms=int(created_at.timestamp() * 1000),
    )
    num_users = len(artifact.user_ids)
    for start in range(0, num_users, USERS_PER_WRITE):
        check(0.7 * start / num_users)
        rows = list(_slate_rows(artifact, start, start + USERS_PER_WRITE))
        write_rows(driver, "publish/slates", release_id=release_id, rows=rows)
    check(0.7)
    _write_vectors(driver, release_id, "product", artifact.product_ids, artifact.product_vectors)
    check(0.9)
    _write_vectors(driver, release_id, "streamer", artifact.streamer_ids, artifact.streamer_vectors)
    check(0.95)
    flip(driver, release_id, expected=expected)
    collect(driver, keep=keep)


def active_release(driver: neo4j.Driver) -> str | None:
    """The active release's id, or None before the first publication."""
    rows = read_rows(driver, "recommendations/active_release")
    return str(rows[0]["release_id"]) if rows else None


def flip(driver: neo4j.Driver, release_id: str, *, expected: str | None) -> None:
    """Make `release_id` active if `expected` still is; Conflict otherwise."""
    if write_rows(driver, "publish/flip", release_id=release_id, expected=expected or ""):
        return
    now_active = active_release(driver)
    # The driver may have retried a flip whose commit it did not hear of.
    if now_active != release_id:
        raise Conflict(
            f"Release {now_active} became active while {release_id} was being published.",
            remedy="Train again if this one's data are to replace it.",
        )


def collect(driver: neo4j.Driver, *, keep: int) -> list[str]:
    """Delete slates and vectors of releases past the newest `keep`; the ids of those deleted."""
    superseded = [row["release_id"] for row in read_rows(driver, "publish/superseded", keep=keep)]
    for release_id in superseded:
        for query in ("publish/collect_slates", "publish/collect_vectors"):
            while write_rows(driver, query, release_id=release_id, limit=DELETES_PER_WRITE)[0]["num_deleted"]:
                pass
        write_rows(driver, "publish/collect_release", release_id=release_id)
    return superseded


def _slate_rows(artifact: Artifact, start: int, stop: int) -> Iterator[dict[str, Any]]:
    for row, user_id in enumerate(artifact.user_ids[start:stop], start):
        slate = artifact.slate(row)
        yield {
            "user_id": user_id.decode(),
            "user_hash": user_hash(user_id.decode()),
            "product_ids": [product_id for product_id, _ in slate],
            "scores": [score for _, score in slate],
        }


def _write_vectors(
    driver: neo4j.Driver, release_id: str, kind: str, ids: np.ndarray, vectors: np.ndarray
) -> None:
    for start in range(0, len(ids), VECTORS_PER_WRITE):
        part = slice(start, start + VECTORS_PER_WRITE)
        rows = [
            {"item_id": item_id.decode(), "values": values}
            for item_id, values in zip(ids[part], vectors[part].tolist(), strict=True)
        ]
        write_rows(driver, "publish/vectors", release_id=release_id, kind=kind, rows=rows)
