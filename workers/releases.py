"""Jobs around releases: publish one that is promoted, collect what is superseded, delete what retention ends.

Each works for a while and leaves the rest to the next call, as erasures and others wait behind it; each may
be cut off anywhere, and called twice.
"""

import logging
import shutil
import time
from collections.abc import Callable

import neo4j
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from lsec.core.artifact import open_artifact
from lsec.core.errors import LsecError
from lsec.core.ledger import FINAL, AuditRecord, ReleaseRecord, Training, utc_now
from lsec.core.settings import Settings
from workers.collect import ACTIVE_POINTER, collect, collect_release
from workers.graph import open_driver, read_rows
from workers.ledger import mark_published, open_ledger
from workers.publish import publish
from workers.trainings import OUTAGES

PUBLISH_FOR_S = 20.0
COLLECT_FOR_S = 20.0

log = logging.getLogger(__name__)


class OutOfTime(Exception):
    """The job's time is over; what is left is for the next call."""


def publish_for_a_while(settings: Settings, release_id: str) -> bool:
    """Go on with the promotion that is asked for this release; whether the job is to be sent once more.

    It ends with the release active, or with its reason in the ledger.
    """
    engine = open_ledger(settings)
    try:
        return _publish(settings, engine, release_id, until(PUBLISH_FOR_S))
    except OutOfTime:
        return True
    except OUTAGES as error:
        log.warning("the publication of release %s waits for a service: %s", release_id, error)
        return False
    except (LsecError, OSError) as error:
        log.warning("release %s was not published: %s", release_id, error)
        end_promotion(engine, release_id, error=str(error))
        return False
    except Exception as error:  # else it would be tried for ever
        end_promotion(engine, release_id, error=f"{type(error).__name__}: {error}")
        raise
    finally:
        engine.dispose()


def _publish(settings: Settings, engine: Engine, release_id: str, check: Callable[[], None]) -> bool:
    with Session(engine) as session:
        asked = session.get(ReleaseRecord, release_id)
    if asked is None or asked.promotion_asked_at is None:
        return False
    artifact = open_artifact(settings.artifacts_path / release_id)
    with open_driver(settings) as driver:
        publish(
            driver,
            artifact,
            replaces=asked.promotion_replaces,
            is_rollback=asked.promotion_is_rollback,
            check=lambda _: check(),
        )
    mark_published(engine, release_id)
    end_promotion(engine, release_id, error=None)
    log.info("release %s is active", release_id)
    return False


def until(seconds: float) -> Callable[[], None]:
    """What raises OutOfTime once it is called after so many seconds."""
    deadline = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > deadline:
            raise OutOfTime

    return check


def end_promotion(engine: Engine, release_id: str, *, error: str | None) -> None:
    """Write down how the promotion of a release ended."""
    with Session(engine) as session, session.begin():
        session.execute(
            update(ReleaseRecord)
            .where(ReleaseRecord.id == release_id)
            .values(promotion_asked_at=None, promotion_error=error)
        )


def keep_releases_in_order(settings: Settings) -> list[str]:
    """Delete what was deleted or is past the retention, collect what is superseded.

    The releases whose promotion is still asked for: their job may be lost.
    """
    engine = open_ledger(settings)
    try:
        with open_driver(settings) as driver:
            check = until(COLLECT_FOR_S)
            end_old_releases(settings, engine, driver)
            delete_releases(settings, engine, driver, check=check)
            if collected := collect(driver, keep=settings.kept_releases, check=check):
                log.info("collected releases: %s", ", ".join(collected))
    except OutOfTime:
        log.info("collecting goes on with the next call")
    except OUTAGES as error:
        log.warning("old releases wait for a service: %s", error)
    finally:
        asked = promotions_asked_for(engine)
        engine.dispose()
    return asked


def promotions_asked_for(engine: Engine) -> list[str]:
    """Releases that are to be promoted, in the order in which it was asked."""
    asked = ReleaseRecord.promotion_asked_at
    with Session(engine) as session:
        return list(session.scalars(select(ReleaseRecord.id).where(asked.is_not(None)).order_by(asked)))


def end_old_releases(settings: Settings, engine: Engine, driver: neo4j.Driver) -> None:
    """Mark those as deleted whose artifacts are past the retention.

    The newest `kept_artifacts` stay, and so does one that is pinned, shown by a pointer, was active before,
    is to be promoted, or comes from a run that is not over.
    """
    pointers = read_rows(driver, "publish/pointers")
    needed = {row["release_id"] for row in pointers}
    needed |= {i for row in pointers if row["name"] == ACTIVE_POINTER for i in row["previous_ids"][:1]}
    newest = select(ReleaseRecord, Training.status).outerjoin(
        Training, Training.id == ReleaseRecord.training_id
    )
    newest = newest.where(ReleaseRecord.deleted_at.is_(None))
    newest = newest.order_by(ReleaseRecord.created_at.desc(), ReleaseRecord.id.desc())
    with Session(engine) as session, session.begin():
        for release, status in session.execute(newest).all()[settings.kept_artifacts :]:
            is_over = status is None or status in FINAL
            if is_over and not (release.is_kept or release.promotion_asked_at or release.id in needed):
                release.deleted_at = utc_now()
                detail = {"reason": f"past the newest {settings.kept_artifacts}"}
                session.add(AuditRecord(key_id="", action="release.delete", target=release.id, detail=detail))


def delete_releases(
    settings: Settings, engine: Engine, driver: neo4j.Driver, *, check: Callable[[], None] = lambda: None
) -> None:
    """Take what is left of deleted releases out of the graph and off the disk, the artifact last."""
    in_graph = {row["release_id"] for row in read_rows(driver, "publish/releases")}
    deleted = select(ReleaseRecord.id, ReleaseRecord.training_id).where(ReleaseRecord.deleted_at.is_not(None))
    with Session(engine) as session:
        found = session.execute(deleted).all()
    for release_id, training_id in found:
        if release_id in in_graph and not collect_release(driver, release_id, check=check, pause=True):
            _bring_back(engine, release_id)
            continue
        for folder in (settings.runs_path / training_id, settings.artifacts_path / release_id):
            if folder.is_dir():
                shutil.rmtree(folder)


def _bring_back(engine: Engine, release_id: str) -> None:
    """Take back the mark of a release that became active just before it could be deleted."""
    log.warning("release %s is not deleted: a pointer shows it", release_id)
    with Session(engine) as session, session.begin():
        session.execute(update(ReleaseRecord).where(ReleaseRecord.id == release_id).values(deleted_at=None))
