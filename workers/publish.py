"""Publish a release: write it into the graph, then make it active in one small transaction."""

from datetime import datetime
from typing import Any

import neo4j

from lsec.core.artifact import Artifact
from lsec.core.errors import Conflict
from lsec.core.jobs import HOW_TO_PUBLISH, PUBLISHABLE_SCORINGS, WHY_UNPUBLISHED
from workers.collect import collect_release
from workers.graph import read_rows, write_rows
from workers.release_writer import Check, write_parts


def publish(
    driver: neo4j.Driver,
    artifact: Artifact,
    *,
    replaces: str | None = None,
    is_rollback: bool = False,
    check: Check = lambda _: None,
) -> None:
    """Write the artifact's slates and vectors and flip the active pointer to them.

    Readers see the old release until the flip, then the new one. `check` is called with the share that is
    done, and may raise: another call goes on from there. Conflict if another release than `replaces` ('' for
    none) is active at the end, or if serving cannot score as the artifact does. Without `replaces` it is the
    one that was active when the publication first began, and a release that was active already stays as it
    is: a publication that is repeated late never takes back what came after it.
    """
    require_publishable(artifact)
    release_id = artifact.manifest.release_id
    active = active_release(driver)
    if active == release_id:
        return
    begun = begin(driver, artifact, replaces=replaces, active=active or "")
    if replaces is None and begun["was_active"]:
        return
    write_release(driver, artifact, begun, check=check)
    check(1.0)
    flip(driver, release_id, expected=begun["replaces"], is_rollback=is_rollback)


def require_publishable(artifact: Artifact) -> None:
    """Conflict if serving cannot score as the artifact does."""
    manifest = artifact.manifest
    if manifest.scoring not in PUBLISHABLE_SCORINGS:
        raise Conflict(
            f"Release {manifest.release_id} of {manifest.model} cannot be published: {WHY_UNPUBLISHED}.",
            remedy=HOW_TO_PUBLISH,
        )


def begin(
    driver: neo4j.Driver, artifact: Artifact, *, replaces: str | None = None, active: str = ""
) -> dict[str, Any]:
    """How far the release is, whose node is there after this.

    It is to replace `replaces`, else what it was to replace when it was begun, else the `active` one.
    """
    manifest = artifact.manifest
    batch = {
        "release_id": manifest.release_id,
        "model": manifest.model,
        "created_at_ms": int(datetime.fromisoformat(manifest.created_at).timestamp() * 1000),
        "replaces": replaces,
        "active": active,
    }
    begun = write_rows(driver, "publish/begin", batch=batch)[0]
    # One that is being deleted, or was written before there were marks: nothing tells what of it is there.
    if begun["is_collected"] or begun["users"] is None:
        collect_release(driver, manifest.release_id)
        begun = write_rows(driver, "publish/begin", batch=batch)[0]
    return begun


def write_release(
    driver: neo4j.Driver, artifact: Artifact, begun: dict[str, Any], *, check: Check = lambda _: None
) -> None:
    """Write what is not there yet of a release that was begun; nothing of it is shown until a pointer does.

    Restartable: each transaction also moves a mark, from which another call goes on. Conflict if it is
    deleted meanwhile.
    """
    release_id = artifact.manifest.release_id
    write_parts(driver, artifact, marks=begun, check=check)
    whole = {"users": len(artifact.user_ids), "products": len(artifact.product_ids)}
    whole["streamers"] = len(artifact.streamer_ids)
    if not write_rows(driver, "publish/complete", batch={"release_id": release_id, **whole}):
        raise being_deleted(release_id)


def active_release(driver: neo4j.Driver) -> str | None:
    """The active release's id, or None before the first publication."""
    rows = read_rows(driver, "recommendations/active_release")
    return str(rows[0]["release_id"]) if rows else None


def flip(driver: neo4j.Driver, release_id: str, *, expected: str | None, is_rollback: bool = False) -> None:
    """Make `release_id` active if it is whole and `expected` still is; Conflict otherwise."""
    parameters = {"release_id": release_id, "expected": expected or "", "is_rollback": is_rollback}
    if write_rows(driver, "publish/flip", **parameters):
        return
    now_active = active_release(driver)
    # The driver may have retried a flip whose commit it did not hear of, or a duplicate of the job did it.
    if now_active == release_id:
        return
    if (now_active or "") == (expected or ""):
        raise being_deleted(release_id)
    raise Conflict(
        f"Release {now_active} became active while {release_id} was being published.",
        remedy="Promote this one, or train again, if its data are to replace that.",
        active=now_active,
    )


def being_deleted(release_id: str) -> Conflict:
    """The error of a release that is not whole in the graph, as it is being collected."""
    return Conflict(
        f"Release {release_id} is not whole in the graph: it is being deleted.",
        remedy="Promote it again if its artifact is still kept.",
    )
