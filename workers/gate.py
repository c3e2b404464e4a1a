"""The gate's verdict on a release: made once, kept in the ledger, overridden on the record."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from lsec.core.gate import Bounds, failed_checks, judge, overridden
from lsec.core.ledger import AuditRecord, ReleaseRecord, Training, utc_now
from lsec.core.settings import Settings

OVERRIDE_ACTION = "gate.override"


class Rejected(Exception):
    """The gate does not let the run's release be published; the release stays, and may be published later."""

    def __init__(self, reason: str, *, release_id: str, metrics: dict[str, Any]) -> None:
        super().__init__(reason)
        self.release_id = release_id
        self.metrics = metrics


def bounds_of(settings: Settings) -> Bounds:
    """The gate's bounds by the settings."""
    return Bounds(
        min_users=settings.gate_min_users,
        popularity_margin=settings.gate_popularity_margin,
        min_coverage=settings.gate_min_coverage,
        max_segment_drop=settings.gate_max_segment_drop,
    )


def judge_release(
    engine: Engine,
    training: Training,
    *,
    release_id: str,
    metrics: Mapping[str, Any],
    bounds: Bounds,
    champion: str | None,
) -> dict[str, Any]:
    """The verdict as the release's row keeps it; `champion` is the release that is served now.

    A release that was published, or is served, keeps the verdict that let it. Where the run asked for it, a
    verdict that is no pass is overridden: with an audit record of its own, in the transaction that keeps it.
    """
    with Session(engine) as session, session.begin():
        release = session.get_one(ReleaseRecord, release_id)
        before = dict(release.gate)
        if before and (release.published_at is not None or champion == release_id):
            return before
        verdict = judge(metrics, bounds, champion=champion)
        gate = verdict.to_dict()
        if "override" in before:
            gate["override"] = before["override"]
        elif not verdict.is_passed and (reason := _override_reason(training)):
            gate = overridden(gate, by=training.requested_by, reason=reason, at=utc_now())
            session.add(_audit(training, release_id, gate))
        release.gate = gate
        return gate


def _override_reason(training: Training) -> str | None:
    """Why the run is to be published whatever the gate says; None where it is not."""
    request = training.request
    return request.get("override_gate") if request.get("publish", True) else None


def _audit(training: Training, release_id: str, gate: Mapping[str, Any]) -> AuditRecord:
    failed = [check["name"] for check in failed_checks(gate)]
    detail = {"training_id": training.id, "reason": gate["override"]["reason"], "failed": failed}
    return AuditRecord(key_id=training.requested_by, action=OVERRIDE_ACTION, target=release_id, detail=detail)


def reason_of(gate: Mapping[str, Any]) -> str:
    """The checks that failed, with their numbers, in one line."""
    failed = [f"{check['name']}: {check['detail']}" for check in failed_checks(gate)]
    return " ".join(["The gate did not let it pass.", *failed])
