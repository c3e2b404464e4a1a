"""Whether to train again: what is new since the champion's snapshot, and how far it has drifted."""

import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import neo4j
import numpy as np
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from graph_schema.events import moment_of
from lsec.core.artifact import Artifact, open_artifact
from lsec.core.drift import Drift, drift_between
from lsec.core.event_log import entry_id_ms
from lsec.core.ledger import AuditRecord, Training, TrainingStatus, utc_now
from lsec.core.log_positions import LogPosition, seqs_by_shard
from lsec.core.release_ledger import RetrainingPolicy
from lsec.core.retraining import POLICY_ID, default_policy
from lsec.core.settings import Settings
from lsec.core.training_requests import ask_for_training, scope_key
from workers.graph import open_driver, read_rows
from workers.ledger import open_ledger
from workers.publish import active_release
from workers.trainings import OUTAGES

REST = timedelta(hours=1)
"""So long nothing is asked for by the data after a run of the scope that did not become the champion."""
LATE = timedelta(days=1)
"""Purchases that came in later than so, after they happened, are not counted as new."""
MAX_NEW = 500_000
"""The newest purchases that are looked at."""
LOOK_TIMEOUT_S = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look found; shares are of the champion's purchases, drift in bits."""

    is_due: bool
    reason: str
    release_id: str | None = None
    num_new: int = 0
    num_known: int = 0
    new_share: float = 0.0
    drift: float | None = None
    drift_by_chance: float | None = None
    is_capped: bool = False
    waits_for: str = ""


def read_policy(engine: Engine) -> RetrainingPolicy:
    """The policy, or the default one where none was set."""
    with Session(engine, expire_on_commit=False) as session:
        return session.get(RetrainingPolicy, POLICY_ID) or default_policy()


def watch(settings: Settings, *, acts: bool) -> Training | None:
    """Look whether a run is due by the data and write the verdict down; the run, if one was asked for.

    Nothing is looked at while the policy is off, unless somebody wants to know (not `acts`).
    """
    engine = open_ledger(settings)
    try:
        policy = read_policy(engine)
        if acts and not (policy.is_enabled and (policy.min_new_share or policy.max_drift)):
            return None
        with open_driver(settings) as driver:
            verdict = look(settings, engine, driver, policy)
        return _write_down(settings, engine, policy, verdict, acts=acts)
    except OUTAGES as error:
        log.warning("retraining waits for a service: %s", error)
        return None
    finally:
        engine.dispose()


def retrain(settings: Settings) -> Training | None:
    """Ask for the policy's training at one of its fixed times; None if it is off by now."""
    engine = open_ledger(settings)
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            # First of all, so that SQLite's lock is held before anything is read.
            fired = (
                update(RetrainingPolicy).where(RetrainingPolicy.id == POLICY_ID).values(fired_at=utc_now())
            )
            session.execute(fired)
            policy = session.get(RetrainingPolicy, POLICY_ID)
            if policy is None or not policy.is_enabled or not policy.cron:
                return None
            return _ask(settings, session, policy, f"scheduled at {policy.cron!r} (UTC)")
    finally:
        engine.dispose()


def _write_down(
    settings: Settings, engine: Engine, policy: RetrainingPolicy, verdict: Verdict, *, acts: bool
) -> Training | None:
    seen = {"checked_at": utc_now(), "verdict": asdict(verdict)}
    with Session(engine, expire_on_commit=False) as session, session.begin():
        kept = session.execute(
            update(RetrainingPolicy)
            .where(RetrainingPolicy.id == POLICY_ID)
            .values(**seen)
            .returning(RetrainingPolicy.updated_at)
        ).scalar_one_or_none()
        if kept is None:
            session.add(RetrainingPolicy(**default_values(), **seen))
            return None
        # One that was changed meanwhile is looked at anew in a minute.
        if not (acts and verdict.is_due and kept == policy.updated_at):
            return None
        return _ask(settings, session, policy, verdict.reason)


def default_values() -> dict[str, Any]:
    """The columns of the policy where none was set."""
    policy = default_policy()
    names = ("id", "is_enabled", "cron", "min_new_share", "max_drift", "request", "updated_by", "updated_at")
    return {name: getattr(policy, name) for name in names}


def _ask(settings: Settings, session: Session, policy: RetrainingPolicy, reason: str) -> Training:
    training, is_new = ask_for_training(
        session, dict(policy.request), reason=reason, key_id="", device=settings.device
    )
    action = "training.create" if is_new else "training.merge"
    session.add(AuditRecord(key_id="", action=action, target=training.id, detail={"reason": reason}))
    log.info("training %s: %s", training.id, reason)
    return training


def look(settings: Settings, engine: Engine, driver: neo4j.Driver, policy: RetrainingPolicy) -> Verdict:
    """What is new since the champion's snapshot, and whether that makes a run due."""
    release_id = active_release(driver)
    if release_id is None:
        return Verdict(is_due=False, reason="no release is active: ask for the first training by hand")
    artifact = open_artifact(settings.artifacts_path / release_id)
    products, purchases, buyers = _new_purchases(driver, artifact)
    num_known = int(artifact.manifest.counts["buys"])
    num_new = int(purchases.sum())
    drift = _drift(artifact, products, buyers)
    share = num_new / max(num_known, 1)
    reasons = _reasons(policy, release_id, num_new=num_new, share=share, drift=drift)
    waits_for = _waits_for(engine, policy, release_id) if reasons else ""
    return Verdict(
        is_due=bool(reasons) and not waits_for,
        reason="; ".join(reasons) or "nothing is past its bound",
        release_id=release_id,
        num_new=num_new,
        num_known=num_known,
        new_share=round(share, 6),
        drift=None if drift is None else round(drift.bits, 6),
        drift_by_chance=None if drift is None else round(drift.chance_bits, 6),
        is_capped=num_new >= MAX_NEW,
        waits_for=waits_for,
    )


def _new_purchases(driver: neo4j.Driver, artifact: Artifact) -> tuple[list[str], Any, Any]:
    """Products[N] with new purchases, how many each has, and how many buyers, within the champion's scope."""
    positions = artifact.manifest.positions or []
    scope = artifact.manifest.scope or {}
    [row] = read_rows(
        driver,
        "retraining/new_purchases",
        timeout_s=LOOK_TIMEOUT_S,
        since=_since(positions),
        seqs=seqs_by_shard(positions),
        categories=list(scope.get("categories") or ()) or None,
        streamers=list(scope.get("streamers") or ()) or None,
        limit=MAX_NEW,
    )
    return row["products"], np.array(row["purchases"], np.int64), np.array(row["buyers"], np.int64)


def _since(positions: list[LogPosition]) -> datetime:
    """Before the first purchase that counts as new."""
    moments = [entry_id_ms(each["position"]) for each in positions]
    return max(moment_of(min(moments, default=0)) - LATE, moment_of(0))


def _drift(artifact: Artifact, products: list[str], buyers: Any) -> Drift | None:
    """Of the distribution of buyers over products; those that the champion does not know count too."""
    rows = artifact.products.rows(products)
    num_known = len(artifact.product_ids)
    strangers = buyers[rows < 0]
    before = np.concatenate([artifact.degrees.astype(np.int64), np.zeros(len(strangers), np.int64)])
    now = np.bincount(rows[rows >= 0], buyers[rows >= 0], minlength=num_known).astype(np.int64)
    return drift_between(before, np.concatenate([now, strangers]))


def _reasons(
    policy: RetrainingPolicy, release_id: str, *, num_new: int, share: float, drift: Drift | None
) -> list[str]:
    """Which bounds are passed, in words with numbers."""
    reasons = []
    if policy.min_new_share and share >= policy.min_new_share:
        reasons.append(
            f"{num_new:,} purchases ({share:.1%}) are newer than release {release_id}'s snapshot; "
            f"bound {policy.min_new_share:.1%}"
        )
    if policy.max_drift and drift is not None and drift.is_beyond_chance and drift.bits > policy.max_drift:
        reasons.append(
            f"what is bought has drifted by {drift.bits:.3f} bits from release {release_id}'s snapshot "
            f"({num_new:,} purchases since); bound {policy.max_drift:.3f}"
        )
    return reasons


def _waits_for(engine: Engine, policy: RetrainingPolicy, release_id: str) -> str:
    """Why nothing is asked for though a bound is passed; '' if nothing speaks against it."""
    newest = (
        select(Training)
        .where(Training.scope_key == scope_key(policy.request))
        .order_by(Training.created_at.desc())
        .limit(1)
    )
    with Session(engine) as session:
        run = session.scalar(newest)
        if run is None or (run.release_id == release_id and run.status == TrainingStatus.SUCCEEDED):
            return ""
        if run.finished_at is None:
            return f"training {run.id}, which is {run.status}"
        until = run.finished_at + REST
        if until > utc_now():
            return f"{until:%H:%M} UTC: training {run.id} has just ended {run.status}"
    return ""
