"""The upkeep of experiments: brings the pointer to what the ledger says, works out figures, keeps guards.

Each call does one round, and may be cut off anywhere, and called twice.
"""

import logging
import time
from datetime import timedelta
from typing import Any

import neo4j
import numpy as np
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from lsec.core.artifact import Artifact, open_artifact
from lsec.core.errors import ArtifactError, LsecError
from lsec.core.experiments import Guards, Outcomes, assigned, broken_guard, figures
from lsec.core.ledger import AuditRecord, utc_now
from lsec.core.release_ledger import Experiment, ExperimentStatus
from lsec.core.settings import Settings
from workers.graph import open_driver, read_rows, write_rows
from workers.ledger import open_ledger, running_experiment
from workers.publish import active_release, begin, write_release
from workers.releases import OutOfTime, until
from workers.trainings import OUTAGES

USERS_PER_READ = 5_000
WRITE_FOR_S = 20.0
TRIES, RETRY_S = 3, 1.0
"""An erasure takes an artifact away for a moment."""
REST = 10
"""After a look at the figures there is none for so many times as long as it took: others wait behind it."""
LOOK_TIMEOUT_S = 120.0
NOW_PROMOTED = "its challenger became the active release"

log = logging.getLogger(__name__)


def check_experiments(settings: Settings) -> bool:
    """Look after the experiment that runs, if one does; whether there is more to write at once."""
    engine = open_ledger(settings)
    try:
        with open_driver(settings) as driver:
            experiment = running_experiment(engine)
            _hide_others(driver, experiment)
            if experiment is not None:
                _look_after(settings, engine, driver, experiment)
    except OutOfTime:
        return True
    except OUTAGES as error:
        log.warning("experiments wait for a service: %s", error)
    finally:
        engine.dispose()
    return False


def _pointer(driver: neo4j.Driver) -> dict[str, Any]:
    rows = read_rows(driver, "recommendations/active_release")
    return rows[0] if rows else {}


def _hide_others(driver: neo4j.Driver, experiment: Experiment | None) -> None:
    """Take the pointer off an experiment that has ended: whoever ended it was cut off."""
    shown = _pointer(driver).get("experiment_id")
    if shown is not None and (experiment is None or shown != experiment.id):
        write_rows(driver, "experiments/end", experiment_id=shown)


def _look_after(settings: Settings, engine: Engine, driver: neo4j.Driver, experiment: Experiment) -> None:
    active = active_release(driver)
    if active == experiment.challenger_id:
        end(engine, driver, experiment, ExperimentStatus.PROMOTED, NOW_PROMOTED)
        return
    if active != experiment.champion_id:
        reason = f"release {active} became active instead of the champion {experiment.champion_id}"
        end(engine, driver, experiment, ExperimentStatus.STOPPED, reason)
        return
    try:
        artifact = _opened(settings, experiment.challenger_id)
    except (ArtifactError, OSError) as error:
        reason = f"the challenger's artifact cannot be read: {error}"
        end(engine, driver, experiment, ExperimentStatus.ROLLED_BACK, reason)
        return
    if _pointer(driver).get("experiment_id") != experiment.id:
        _show(engine, driver, experiment, artifact)
    elif _is_due(experiment):
        _measure(engine, driver, experiment)


def _opened(settings: Settings, release_id: str) -> Artifact:
    for _ in range(TRIES - 1):
        try:
            return open_artifact(settings.artifacts_path / release_id)
        except (ArtifactError, OSError):
            time.sleep(RETRY_S)
    return open_artifact(settings.artifacts_path / release_id)


def _show(engine: Engine, driver: neo4j.Driver, experiment: Experiment, artifact: Artifact) -> None:
    """Write the challenger's slates, if they are not in the graph yet, and show it."""
    try:
        begun = begin(driver, artifact, active=experiment.champion_id)
        is_late = until(WRITE_FOR_S)
        write_release(driver, artifact, begun, check=lambda _: is_late())
    except LsecError as error:
        end(engine, driver, experiment, ExperimentStatus.STOPPED, f"the challenger cannot be shown: {error}")
        return
    began_at = utc_now()
    shown = write_rows(
        driver,
        "experiments/begin",
        experiment_id=experiment.id,
        champion_id=experiment.champion_id,
        challenger_id=experiment.challenger_id,
        share=experiment.share,
    )
    if shown and not _change(engine, experiment, started_at=began_at):
        # It was stopped meanwhile.
        write_rows(driver, "experiments/end", experiment_id=experiment.id)


def _is_due(experiment: Experiment) -> bool:
    took_s = float(experiment.result.get("took_s", 0.0))
    return experiment.checked_at is None or utc_now() >= experiment.checked_at + timedelta(
        seconds=REST * took_s
    )


def _measure(engine: Engine, driver: neo4j.Driver, experiment: Experiment) -> None:
    """Work out the figures, write them down, and end the experiment if a guard breaks."""
    began = time.monotonic()
    outcomes, in_arm = observe(driver, experiment)
    result = figures(outcomes, in_arm=in_arm, share=experiment.share)
    result["took_s"] = round(time.monotonic() - began, 3)
    if not _change(engine, experiment, result=result, checked_at=utc_now()):
        return
    if broken := broken_guard(Guards(**experiment.guards), result):
        end(engine, driver, experiment, ExperimentStatus.ROLLED_BACK, broken)


def observe(driver: neo4j.Driver, experiment: Experiment) -> tuple[Outcomes, np.ndarray]:
    """What the users whose window is over did, in the order of their first impression of their arm's release.

    Beside it, for every user with such an impression, whether they see the challenger.
    """
    releases = {"champion_id": experiment.champion_id, "challenger_id": experiment.challenger_id}
    [seen] = read_rows(
        driver, "experiments/seen", timeout_s=LOOK_TIMEOUT_S, since=experiment.started_at, **releases
    )
    user_ids = np.array(seen["user_ids"], object)
    sees = assigned(experiment.id, seen["user_ids"], experiment.share)
    first_ms = np.where(
        sees, np.array(seen["challenger_ms"], np.int64), np.array(seen["champion_ms"], np.int64)
    )
    # Of a release that is not their arm's, as an answer may be older than the experiment, nothing counts.
    is_seen = first_ms >= 0
    window_ms = experiment.window_s * 1000
    is_over = is_seen & (first_ms + window_ms <= utc_now().timestamp() * 1000)
    over = np.flatnonzero(is_over)
    over = over[np.argsort(first_ms[over], kind="stable")]
    columns: dict[str, np.ndarray] = {
        name: np.zeros(len(over), np.float64)
        for name in ("impressions", "conversions", "amounts", "dismissals")
    }
    for challenger, release_id in ((False, experiment.champion_id), (True, experiment.challenger_id)):
        of_arm = np.flatnonzero(sees[over] == challenger)
        for start in range(0, len(of_arm), USERS_PER_READ):
            places = of_arm[start : start + USERS_PER_READ]
            rows = over[places]
            batch = {
                "user_ids": user_ids[rows].tolist(),
                "since_ms": first_ms[rows].tolist(),
                "window_ms": window_ms,
                "release_id": release_id,
            }
            [found] = read_rows(driver, "experiments/outcomes", timeout_s=LOOK_TIMEOUT_S, batch=batch)
            for name, values in columns.items():
                values[places] = found[name]
    outcomes = Outcomes(
        sees[over],
        impressions=columns["impressions"].astype(np.int64),
        conversions=columns["conversions"].astype(np.int64),
        amounts=columns["amounts"],
        dismissals=columns["dismissals"].astype(np.int64),
    )
    return outcomes, sees[is_seen]


def end(
    engine: Engine, driver: neo4j.Driver, experiment: Experiment, status: ExperimentStatus, outcome: str
) -> None:
    """End an experiment of its own accord: in the ledger, on record, and then its pointer."""
    detail = {"status": status, "outcome": outcome}
    if _change(
        engine,
        experiment,
        audited=("experiment.end", detail),
        status=status,
        outcome=outcome,
        ended_at=utc_now(),
    ):
        log.warning("experiment %s is %s: %s", experiment.id, status, outcome)
    write_rows(driver, "experiments/end", experiment_id=experiment.id)


def _change(
    engine: Engine,
    experiment: Experiment,
    *,
    audited: tuple[str, dict[str, Any]] | None = None,
    **values: Any,
) -> bool:
    """Change an experiment that still runs; whether it did."""
    with Session(engine) as session, session.begin():
        changed = session.execute(
            update(Experiment)
            .where(Experiment.id == experiment.id, Experiment.status == ExperimentStatus.RUNNING)
            .values(**values)
            .returning(Experiment.id)
        ).scalar_one_or_none()
        if changed is not None and audited is not None:
            action, detail = audited
            session.add(AuditRecord(key_id="", action=action, target=experiment.id, detail=detail))
    return changed is not None
