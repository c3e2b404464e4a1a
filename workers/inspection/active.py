"""What is served: the pointers, and whether the releases that they show are whole and of one version."""

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import neo4j
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from lsec.core.artifact import ERASED_ID, Artifact, open_artifact
from lsec.core.erasures import user_hash
from lsec.core.errors import ArtifactError
from lsec.core.inspections import Finding, broken, listed, ok, warning
from lsec.core.ledger import ReleaseRecord, utc_now
from lsec.core.release_ledger import Experiment
from lsec.core.settings import Settings
from workers.graph import read_rows
from workers.inspection.sources import QUERY_TIMEOUT_S, SQLITE
from workers.ledger import running_experiment

ACTIVE, CHALLENGER = "active", "challenger"
NAME_OF_POINTER, NAME_OF_EXPERIMENT = "release.active", "release.challenger"
MAX_LOOKED_AT = 20_000
"""Users whose slates are looked for one by one, where some are missing."""
USERS_PER_READ = 2_000
BEGUN_WITHIN = timedelta(minutes=30)
"""So long the slates of an experiment's challenger may take to be written before it is shown."""


def shown_releases(
    settings: Settings, engine: Engine | None, driver: neo4j.Driver, *, is_deep: bool = False
) -> Iterator[Finding]:
    """Findings on the pointers, and on the artifact and the graph's part of each release that they show."""
    pointers = read_rows(driver, "inspection/pointers", timeout_s=QUERY_TIMEOUT_S)
    if engine is not None:
        yield judge_pointer(pointers, _num_published(engine))
        yield judge_experiment(pointers, running_experiment(engine))
    for name in (ACTIVE, CHALLENGER):
        for release_id in dict.fromkeys(_shown(pointers, name)):
            yield from _release(settings, driver, name, release_id, is_deep=is_deep)


def _num_published(engine: Engine) -> int:
    published = select(func.count()).where(ReleaseRecord.published_at.is_not(None))
    with Session(engine) as session:
        return session.scalar(published) or 0


def _shown(pointers: Sequence[dict[str, Any]], name: str) -> list[str]:
    return [row["release_id"] for row in pointers if row["name"] == name and row["release_id"] is not None]


def judge_pointer(pointers: Sequence[dict[str, Any]], num_published: int) -> Finding:
    """Whether exactly one release is active, or none where none was published yet, and it is whole."""
    shown = _shown(pointers, ACTIVE)
    match shown:
        case []:
            if num_published:
                detail = f"No release is active, though {num_published} were published."
                return broken(
                    NAME_OF_POINTER, detail, remedy="`lsec releases list`, then promote one of them."
                )
            return ok(NAME_OF_POINTER, "No release was published yet: recommendations go by what is popular.")
        case [release_id]:
            row = next(row for row in pointers if row["release_id"] == release_id)
            if row["is_collected"] or row["is_complete"] is False:
                what = "being deleted" if row["is_collected"] else "not wholly written"
                detail = f"Release {release_id} is active, and it is {what}."
                return broken(NAME_OF_POINTER, detail, remedy="`lsec releases rollback`")
            return ok(NAME_OF_POINTER, f"Release {release_id} is active.")
    newest, others = shown[0], shown[1:]
    detail = f"{len(shown)} releases are active at once: {listed(shown)}; the newest is {newest}."
    statement = (
        f"MATCH (:ActivePointer {{name: 'active'}})-[a:ACTIVE]->(r:Release) WHERE r.id <> '{newest}' DELETE a"
    )
    if newest in others:
        statement = (
            "MATCH (:ActivePointer {name: 'active'})-[a:ACTIVE]->() WITH a ORDER BY a.at DESC SKIP 1 DELETE a"
        )
    return broken(NAME_OF_POINTER, detail, remedy=f"In Neo4j: {statement}")


def judge_experiment(pointers: Sequence[dict[str, Any]], running: Experiment | None) -> Finding:
    """Whether the challenger's pointer shows what the running experiment says, and nothing without one."""
    shown = _shown(pointers, CHALLENGER)
    if running is None:
        if not shown:
            return ok(NAME_OF_EXPERIMENT, "No experiment runs.")
        detail = f"The pointer shows {listed(shown)} as challenger, but no experiment runs."
        statement = "MATCH (a:ActivePointer {name: 'challenger'}) DETACH DELETE a"
        return broken(NAME_OF_EXPERIMENT, detail, remedy=f"In Neo4j: {statement}")
    stop = f"`lsec experiments stop {running.id}`, then start a new one."
    if not shown:
        if running.started_at > utc_now() - BEGUN_WITHIN:
            return ok(NAME_OF_EXPERIMENT, f"Challenger {running.challenger_id} is being written.")
        detail = f"Experiment {running.id} runs, but no pointer shows its challenger {running.challenger_id}."
        return broken(NAME_OF_EXPERIMENT, detail, remedy=stop)
    held_by = next(row["experiment_id"] for row in pointers if row["name"] == CHALLENGER)
    if shown != [running.challenger_id] or held_by != running.id:
        detail = (
            f"Experiment {running.id} tries {running.challenger_id}, but the pointer shows {listed(shown)} "
            f"for experiment {held_by}."
        )
        return broken(NAME_OF_EXPERIMENT, detail, remedy=stop)
    if running.champion_id not in _shown(pointers, ACTIVE):
        detail = f"Experiment {running.id} compares with {running.champion_id}, which is no longer active."
        return broken(NAME_OF_EXPERIMENT, detail, remedy=stop)
    return ok(NAME_OF_EXPERIMENT, f"Experiment {running.id} tries {running.challenger_id}.")


def _release(
    settings: Settings, driver: neo4j.Driver, pointer: str, release_id: str, *, is_deep: bool
) -> Iterator[Finding]:
    name = f"artifact.{pointer}"
    try:
        artifact = open_artifact(settings.artifacts_path / release_id, verify=is_deep)
    except ArtifactError as error:
        yield broken(name, error.detail, remedy=_artifact_remedy(settings, pointer, release_id))
        return
    if artifact.manifest.release_id != release_id:
        detail = f"The folder {release_id} holds release {artifact.manifest.release_id}."
        yield broken(name, detail, remedy=_artifact_remedy(settings, pointer, release_id))
        return
    how = "read again and " if is_deep else ""
    num_users, num_products = len(artifact.user_ids), len(artifact.product_ids)
    yield ok(name, f"Its files were {how}found as written: {num_users} users, {num_products} products.")
    rows = read_rows(driver, "inspection/held", timeout_s=QUERY_TIMEOUT_S, release_id=release_id)
    if rows:
        yield _graph_part(settings, driver, f"graph.{pointer}", artifact, rows[0])


def _artifact_remedy(settings: Settings, pointer: str, release_id: str) -> str:
    folder = settings.artifacts_path / release_id
    served = "`lsec releases rollback`" if pointer == ACTIVE else "Stop the experiment"
    whole = " (`lsec restore` unpacks one beside)" if settings.ledger_url.startswith(SQLITE) else ""
    return f"{served}, or bring back {folder} from a backup{whole}; else `lsec train` makes a new release."


def _graph_part(
    settings: Settings, driver: neo4j.Driver, name: str, artifact: Artifact, held: dict[str, Any]
) -> Finding:
    if (found := judge_marks(name, artifact, held)) is not None:
        return found
    num_missing = held["num_slates"] - held["slates"]
    if num_missing <= 0:
        return ok(name, f"{held['slates']} slates and all vectors are there.")
    lost, num_looked_at = _without_slate(driver, artifact)
    return judge_slates(
        name,
        artifact.manifest.release_id,
        num_missing=num_missing,
        num_lost=len(lost),
        num_looked_at=num_looked_at,
        is_pruned=settings.retention_days > 0,
    )


def judge_marks(name: str, artifact: Artifact, held: dict[str, Any]) -> Finding | None:
    """What is wrong with a release in the graph by its marks, and with its vectors; None for nothing.

    One of before there were marks is compared by its vectors alone.
    """
    remedy = _write_anew(artifact.manifest.release_id)
    wanted = {
        "users": len(artifact.user_ids),
        "products": len(artifact.product_ids),
        "streamers": len(artifact.streamer_ids),
    }
    if held["num_users"] is None:
        return ok(name, "It was written before there were marks to compare with.")
    for kind, number in wanted.items():
        if (written := held[f"num_{kind}"]) != number:
            detail = (
                f"The graph holds {written} {kind} of it, its artifact {number}: they are not of one version."
            )
            return broken(name, detail, remedy=remedy)
    if held["model"] != artifact.manifest.model:
        detail = f"The graph says model {held['model']}, its artifact {artifact.manifest.model}."
        return broken(name, detail, remedy=remedy)
    for kind in ("product", "streamer"):
        if (found := held[f"{kind}_vectors"]) != wanted[f"{kind}s"]:
            detail = f"{found} of {wanted[f'{kind}s']} {kind} vectors are in the graph."
            return broken(name, detail, remedy=remedy)
    return None


def judge_slates(
    name: str, release_id: str, *, num_missing: int, num_lost: int, num_looked_at: int, is_pruned: bool
) -> Finding:
    """What missing slates mean: `num_lost` of the users that were looked at should have theirs."""
    fewer = f"{num_missing} slates fewer than were written"
    if not num_lost:
        return ok(name, f"All vectors are there; {fewer}, of users who are gone.")
    detail = f"{fewer}; {num_lost} of {num_looked_at} users that were looked at are there without theirs."
    if is_pruned:
        came_back = "Retention may have taken them before they came back; the next release has them again."
        return warning(name, detail, remedy=came_back)
    return broken(name, detail, remedy=_write_anew(release_id))


def _write_anew(release_id: str) -> str:
    return (
        "`lsec releases rollback` shows the one before, `lsec train` makes a new one. To write this anew, "
        f"once it is not shown, in Neo4j: MATCH (r:Release {{id: '{release_id}'}}) SET r.collected_from_at = "
        f"datetime(); then `lsec releases promote {release_id}`."
    )


def _without_slate(driver: neo4j.Driver, artifact: Artifact) -> tuple[list[str], int]:
    """Users of the release who are in the graph without a slate, and how many were looked at.

    Those are evenly spread and others each time. A user whose data was erased may have come back without one.
    """
    step = max(1, -(-len(artifact.user_ids) // MAX_LOOKED_AT))
    start = random.randrange(step)
    user_ids = [user_id.decode() for user_id in artifact.user_ids[start::step].tolist()]
    user_ids = [user_id for user_id in user_ids if user_id != ERASED_ID]
    gone = {row["user_hash"] for row in read_rows(driver, "publish/tombstones", created_at_ms=0)}
    lost: list[str] = []
    for first in range(0, len(user_ids), USERS_PER_READ):
        rows = read_rows(
            driver,
            "inspection/without_slate",
            timeout_s=QUERY_TIMEOUT_S,
            release_id=artifact.manifest.release_id,
            user_ids=user_ids[first : first + USERS_PER_READ],
        )
        lost += [row["user_id"] for row in rows if user_hash(row["user_id"]) not in gone]
    return lost, len(user_ids)
