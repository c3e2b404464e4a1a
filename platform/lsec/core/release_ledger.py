"""SQL models of the ledger around releases: snapshots, experiments, when to retrain, inspections."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    Float,
    Index,
    Integer,
    String,
    Text,
    or_,
    text,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from lsec.core.ledger import FINAL, Base, Training, utc_now


class SnapshotState(StrEnum):
    """States of a snapshot; only one that is `ready` can be read."""

    EXPORTING = "exporting"
    READY = "ready"
    FAILED = "failed"


class SnapshotRecord(Base):
    """An exported subgraph on disk: what it holds, and whether retention may delete it."""

    __tablename__ = "snapshots"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    training_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """The run that exported it; others may use it, too. NULL for one that was asked for by itself."""
    state: Mapped[str] = mapped_column(String(16), default=SnapshotState.EXPORTING)
    percent: Mapped[float] = mapped_column(Float, default=0.0)
    error: Mapped[str | None] = mapped_column(Text)
    scope: Mapped[dict[str, Any]]
    positions: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    sha256: Mapped[str] = mapped_column(String(64), default="")
    num_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    heartbeat_at: Mapped[datetime | None]
    """The last sign of life of the worker that exports it for itself; a run has its own."""
    num_claims: Mapped[int] = mapped_column(Integer, default=0)
    is_kept: Mapped[bool] = mapped_column(Boolean, default=False)
    """Kept until someone deletes it; of the others the newest stay, and those that a run needs."""
    requested_by: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


def is_used(
    snapshot_id: str | InstrumentedAttribute[str],
    training_id: str | InstrumentedAttribute[str | None] | None,
) -> ColumnElement[bool]:
    """Of a Training: that it waits or is under way, and trains on the snapshot, or exports it, or will."""
    named = Training.request["snapshot"].as_string() == snapshot_id
    used = or_(Training.snapshot_id == snapshot_id, named, Training.id == training_id)
    return Training.status.not_in(FINAL) & used


class ExperimentStatus(StrEnum):
    """States of an experiment; all but the first are final."""

    RUNNING = "running"
    STOPPED = "stopped"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"


class Experiment(Base):
    """A share of the users sees the challenger instead of the champion, until one of them has won."""

    __tablename__ = "experiments"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    status: Mapped[str] = mapped_column(String(16), index=True)
    champion_id: Mapped[str] = mapped_column(String(32))
    challenger_id: Mapped[str] = mapped_column(String(32))
    share: Mapped[float] = mapped_column(Float)
    """Of the users, by a hash of their id and the experiment's, that see the challenger."""
    window_s: Mapped[int] = mapped_column(Integer)
    """So long after an impression a purchase counts as its conversion."""
    guards: Mapped[dict[str, Any]] = mapped_column(default=dict)
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The figures when they were last worked out, at `checked_at`."""
    outcome: Mapped[str] = mapped_column(Text, default="")
    started_by: Mapped[str] = mapped_column(String(32))
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    checked_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "ix_experiments_running",
            "status",
            unique=True,
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
    )


class RetrainingPolicy(Base):
    """When the platform trains by itself, and what; one row."""

    __tablename__ = "retraining_policy"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    is_enabled: Mapped[bool] = mapped_column(Boolean, default=False)
    cron: Mapped[str] = mapped_column(String(64), default="")
    """Five fields in UTC; '' for no fixed times."""
    min_new_share: Mapped[float] = mapped_column(Float)
    """Due when so many purchases, as a share of the champion's, are newer than its snapshot; 0 for never."""
    max_drift: Mapped[float] = mapped_column(Float)
    """Due when the drift of the input is past it; 0 for never."""
    request: Mapped[dict[str, Any]] = mapped_column(default=dict)
    updated_by: Mapped[str] = mapped_column(String(32), default="")
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)
    fired_at: Mapped[datetime | None]
    """When one of its fixed times was last acted on."""
    checked_at: Mapped[datetime | None]
    verdict: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What the last look found: the shares, whether a run is due and why."""


class Inspection(Base):
    """The last inspection of each part of the installation: what was found, and the remedy."""

    __tablename__ = "inspections"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    """`ok`, `warning` or `broken`."""
    detail: Mapped[str] = mapped_column(Text, default="")
    remedy: Mapped[str] = mapped_column(Text, default="")
    checked_at: Mapped[datetime]
    since: Mapped[datetime]
    """When it was first found in this state."""
