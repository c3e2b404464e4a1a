"""Whether ledger, graph and disk hold the same releases, snapshots and runs, and nothing else."""

import time
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import neo4j
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from lsec.core.inspections import Finding, broken, listed, ok, warning
from lsec.core.ledger import ReleaseRecord, Training, utc_now
from lsec.core.release_ledger import SnapshotRecord, SnapshotState
from lsec.core.settings import Settings
from workers.graph import read_rows
from workers.inspection.sources import QUERY_TIMEOUT_S

SETTLED_S = 600.0
"""A folder that changed later may belong to something that is just being recorded."""
DELETED_WITHIN = timedelta(minutes=30)
COLLECTED_WITHIN_S = 3600.0
MAX_RELEASES = 100
MAX_COUNTED = 10_000
COLLECT = (
    "In Neo4j: MERGE (r:Release {{id: '{}'}}) SET r.is_complete = false, r.created_at = datetime(), "
    "r.written_at = datetime(), r.collected_from_at = datetime(); the upkeep then deletes them."
)


def artifacts(settings: Settings, engine: Engine) -> Iterator[Finding]:
    """Findings on the releases of the ledger and the artifacts on disk."""
    folders = _settled_folders(settings.artifacts_path)
    with Session(engine) as session:
        rows = session.execute(select(ReleaseRecord.id, ReleaseRecord.deleted_at)).all()
    kept = {row.id for row in rows if row.deleted_at is None}
    before = utc_now() - DELETED_WITHIN
    overdue = {row.id for row in rows if row.deleted_at is not None and row.deleted_at < before}
    gone = [each for each in sorted(kept) if not (settings.artifacts_path / each).is_dir()]
    yield judge_rows_without_folder(gone, len(kept), settings.artifacts_path)
    yield judge_folders_without_row(
        "artifacts.folders", sorted(folders - {row.id for row in rows}), settings.artifacts_path, "release"
    )
    if left := sorted(folders & overdue):
        detail = (
            f"{len(left)} releases were deleted long ago, and their files are still there: {listed(left)}."
        )
        yield warning("releases.deleted", detail, remedy="See the upkeep worker's log; `lsec status`.")


def judge_rows_without_folder(gone: Sequence[str], num_kept: int, folder: Path) -> Finding:
    """Of the releases that the ledger keeps, what it means that these have no artifact."""
    name = "releases.artifacts"
    if not gone:
        return ok(name, f"Each of {num_kept} releases has its artifact.")
    remedy = f"Bring {folder / gone[0]} back from a backup, or `lsec releases delete {gone[0]}`."
    return broken(
        name, f"{len(gone)} of {num_kept} releases have no artifact: {listed(gone)}.", remedy=remedy
    )


def judge_folders_without_row(name: str, left: Sequence[str], folder: Path, of: str) -> Finding:
    """What it means that these folders belong to nothing that the ledger knows."""
    if not left:
        return ok(name, "None is without a record in the ledger.")
    detail = f"{len(left)} folders in {folder} are of no {of} that the ledger knows: {listed(left)}."
    return warning(name, detail, remedy=f"If you do not miss it: rm -r {folder / left[0]}")


def snapshots(settings: Settings, engine: Engine) -> Iterator[Finding]:
    """Findings on the snapshots of the ledger and their folders."""
    folders = _settled_folders(settings.snapshots_path)
    with Session(engine) as session:
        rows = session.execute(select(SnapshotRecord.id, SnapshotRecord.state)).all()
    ready = [row.id for row in rows if row.state == SnapshotState.READY]
    gone = [each for each in sorted(ready) if not (settings.snapshots_path / each).is_dir()]
    if gone:
        detail = f"{len(gone)} of {len(ready)} snapshots have no files: {listed(gone)}."
        yield broken("snapshots", detail, remedy=f"`lsec snapshots delete {gone[0]}`")
    else:
        yield ok("snapshots", f"Each of {len(ready)} snapshots has its files.")
    left = sorted(folders - {row.id for row in rows})
    yield judge_folders_without_row("snapshots.folders", left, settings.snapshots_path, "snapshot")


def runs(settings: Settings, engine: Engine) -> Iterator[Finding]:
    """A finding on folders of runs that nobody knows: no retention reaches them."""
    folders = sorted(_settled_folders(settings.runs_path))
    with Session(engine) as session:
        known = set(session.scalars(select(Training.id)))
    left = [each for each in folders if each not in known]
    yield judge_folders_without_row("runs.folders", left, settings.runs_path, "run")


def _settled_folders(path: Path) -> set[str]:
    """Names of the folders that did not change lately."""
    if not path.is_dir():
        return set()
    before = time.time() - SETTLED_S
    found = (each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    return {each.name for each in found if each.stat().st_mtime < before}


def graph_releases(engine: Engine | None, driver: neo4j.Driver) -> Iterator[Finding]:
    """Findings on the graph's releases: without a record, never finished, or slates that are of none."""
    # Before the nodes: a release that is begun has its node first.
    written = _releases_with("slates", driver) | _releases_with("vectors", driver)
    nodes = read_rows(driver, "inspection/nodes", timeout_s=QUERY_TIMEOUT_S)
    if engine is not None:
        with Session(engine) as session:
            known = set(session.scalars(select(ReleaseRecord.id)))
        yield judge_nodes(nodes, known)
    yield judge_collecting(nodes, time.time())
    orphans = sorted(written - {row["release_id"] for row in nodes})[:MAX_RELEASES]
    counted = (
        read_rows(
            driver,
            "inspection/leftovers",
            timeout_s=QUERY_TIMEOUT_S,
            release_ids=orphans,
            limit=MAX_COUNTED,
        )
        if orphans
        else []
    )
    yield judge_orphans(counted)


def _releases_with(what: str, driver: neo4j.Driver) -> set[str]:
    """Ids of the first MAX_RELEASES releases that the graph holds some of."""
    found: list[str] = []
    while len(found) < MAX_RELEASES:
        after = found[-1] if found else ""
        rows = read_rows(driver, f"inspection/next_{what}", timeout_s=QUERY_TIMEOUT_S, after=after)
        if not rows:
            break
        found.append(rows[0]["release_id"])
    return set(found)


def judge_nodes(nodes: Sequence[dict[str, Any]], known: Collection[str]) -> Finding:
    """Whether each release in the graph has a record in the ledger."""
    name = "releases.nodes"
    unknown = [row for row in nodes if row["release_id"] not in known and not row["is_collected"]]
    if not unknown:
        return ok(name, f"Each of {len(nodes)} releases in the graph has its record in the ledger.")
    ids = sorted(row["release_id"] for row in unknown)
    detail = f"{len(ids)} of {len(nodes)} releases in the graph have no record in the ledger: {listed(ids)}."
    if shown := [row["release_id"] for row in unknown if row["is_shown"]]:
        remedy = (
            f"{listed(shown)} is shown: restore ledger and graph from one backup (`lsec restore`), or "
            "`lsec train` and `lsec releases promote` another."
        )
        return broken(name, detail, remedy=remedy)
    return warning(name, detail, remedy=COLLECT.format(ids[0]))


def judge_collecting(nodes: Sequence[dict[str, Any]], now: float) -> Finding:
    """Whether the releases that are being written or deleted get on."""
    name = "releases.unfinished"
    unfinished = [row for row in nodes if row["is_collected"] or row["is_complete"] is False]
    before_ms = (now - COLLECTED_WITHIN_S) * 1000
    stuck = sorted(row["release_id"] for row in unfinished if (row["since_ms"] or 0) < before_ms)
    if not stuck:
        return ok(name, f"{len(unfinished)} releases are being written or deleted in the graph.")
    detail = (
        f"{len(stuck)} releases are half in the graph, and nobody writes or deletes them: {listed(stuck)}."
    )
    return warning(name, detail, remedy="Does the upkeep worker run, and what says its log? `lsec status`")


def judge_orphans(counted: Sequence[dict[str, Any]]) -> Finding:
    """Whether slates or vectors are of releases that the graph does not have."""
    name = "graph.orphans"
    if not counted:
        return ok(name, "No slates or vectors are of a release that is gone.")
    ids = [row["release_id"] for row in counted]
    num_slates, num_vectors = (sum(row[what] for row in counted) for what in ("slates", "vectors"))
    more = " or more" if any(MAX_COUNTED in (row["slates"], row["vectors"]) for row in counted) else ""
    detail = (
        f"{num_slates} slates and {num_vectors} vectors{more} are of releases that are gone: {listed(ids)}."
    )
    return warning(name, detail, remedy=COLLECT.format(ids[0]))
