"""How a training is asked for: on which queue, on what it trains, and how asks for the same are merged."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from lsec.core.jobs import GPU_QUEUE, TRAIN_QUEUE, new_id
from lsec.core.ledger import Training, TrainingStatus

BY_HAND = "asked for by hand"
SCOPE = ("since", "until", "categories", "streamers", "min_purchases", "snapshot")
"""What of a request selects the subgraph."""
MAX_REASONS = 20
"""Of one run; more that were merged into it are in the audit log."""
ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext(:scope))")


def scope_key(request: Mapping[str, Any]) -> str:
    """Names the subgraph that a request selects, in whichever order its categories and streamers stand."""
    chosen = {name: request.get(name) for name in SCOPE}
    for name in ("categories", "streamers"):
        chosen[name] = sorted(chosen[name] or ()) or None
    chosen["min_purchases"] = request.get("min_purchases", 1)
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def queue_of(request: Mapping[str, Any], *, device: str) -> str:
    """The queue of a request's job; `device` is the setting, for requests that leave it open."""
    asked = request.get("device", "auto")
    return GPU_QUEUE if (device if asked == "auto" else asked) == "cuda" else TRAIN_QUEUE


def ask_for_training(
    session: Session, request: dict[str, Any], *, reason: str, key_id: str, device: str
) -> tuple[Training, bool]:
    """The run that answers the ask, and whether it is new: a queued one with the same request takes it in.

    The session must be one that writes: on SQLite it holds the lock already, on Postgres asks for one scope
    follow each other by a lock until the commit.
    """
    key = scope_key(request)
    if session.get_bind().dialect.name == "postgresql":
        session.execute(ONE_AT_A_TIME, {"scope": key})
    queued = (
        select(Training)
        .where(Training.scope_key == key, Training.status == TrainingStatus.QUEUED)
        .order_by(Training.created_at, Training.id)
        .with_for_update()
    )
    for training in session.scalars(queued):
        if training.request == request:
            _add_reason(training, reason)
            return training, False
    training = Training(
        id=new_id("trn"),
        status=TrainingStatus.QUEUED,
        request=request,
        requested_by=key_id,
        reason=reason,
        scope_key=key,
        queue=queue_of(request, device=device),
    )
    session.add(training)
    session.flush()
    return training, True


def _add_reason(training: Training, reason: str) -> None:
    """A reason that is there already says nothing new."""
    reasons = training.reason.split("\n")
    if reason not in reasons and len(reasons) < MAX_REASONS:
        training.reason = "\n".join((*reasons, reason))
        training.version += 1
