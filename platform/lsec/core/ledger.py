"""SQL models of the ledger: keys, trainings, releases, dead letters, erasures, audit.

Those around releases (snapshots, experiments, retraining, inspections) are in `lsec.core.release_ledger`.
"""

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def sync_url(ledger_url: str) -> str:
    """The ledger's URL with the driver that the workers use."""
    return ledger_url.replace("postgresql://", "postgresql+psycopg://", 1)


def async_url(ledger_url: str) -> str:
    """The ledger's URL with the driver that the API uses."""
    return sync_url(ledger_url).replace("sqlite://", "sqlite+aiosqlite://", 1)


# The signatures below are SQLAlchemy's: `dialect` is not ours to drop.
class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time on every database: SQLite drops the zone, this puts it back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of the ledger's tables."""

    type_annotation_map = {datetime: UtcDateTime(), dict[str, Any]: JSON()}  # noqa: RUF012 - SQLAlchemy reads it from the class


class Scope(StrEnum):
    """What a key may do: admin ⊃ analyst ⊃ read; ingest alone and in admin."""

    ADMIN = "admin"
    ANALYST = "analyst"
    READ = "read"
    INGEST = "ingest"


GRANTS: dict[Scope, frozenset[Scope]] = {
    Scope.ADMIN: frozenset(Scope),
    Scope.ANALYST: frozenset({Scope.ANALYST, Scope.READ}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.INGEST: frozenset({Scope.INGEST}),
}


class ApiKey(Base):
    """A key: only the SHA-256 of its secret is kept."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    scope: Mapped[str] = mapped_column(String(16))
    secret_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    revoked_at: Mapped[datetime | None]


class TrainingStatus(StrEnum):
    """States of a training run; all but the first two are final; `rejected` by the gate of releases."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether a run in this state never changes again."""
        return self not in (TrainingStatus.QUEUED, TrainingStatus.RUNNING)


FINAL = tuple(status for status in TrainingStatus if status.is_final)
"""The states of a run that is over."""


class Training(Base):
    """One training run, from request to release."""

    __tablename__ = "trainings"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    status: Mapped[str] = mapped_column(String(16), index=True)
    request: Mapped[dict[str, Any]]
    requested_by: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(Text, default="")
    """Why it was asked for; each request that was merged into it adds its own."""
    scope_key: Mapped[str] = mapped_column(String(64), default="", index=True)
    """Of the subgraph that it trains on: one run at a time for each."""
    queue: Mapped[str] = mapped_column(String(32), default="")
    """The Celery queue that its job was sent to."""
    worker: Mapped[str] = mapped_column(String(200), default="")
    """The worker that runs it, or ran it last."""
    snapshot_id: Mapped[str | None] = mapped_column(String(32))
    phase: Mapped[str] = mapped_column(String(32), default="queued")
    percent: Mapped[float] = mapped_column(Float, default=0.0)
    eta_s: Mapped[float | None] = mapped_column(Float)
    message: Mapped[str] = mapped_column(Text, default="")
    timings_s: Mapped[dict[str, Any]] = mapped_column(default=dict)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    release_id: Mapped[str | None] = mapped_column(String(32))
    error: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer, default=0)
    """Grows with every change: the progress stream sends what is newer than it sent."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    lease: Mapped[str | None] = mapped_column(String(32))
    """The claim that holds the run: what an earlier claim still writes is refused."""
    num_claims: Mapped[int] = mapped_column(Integer, default=0)
    """Claims since the last orderly hand-over: a run that kills its worker is given up."""
    cancel_requested_at: Mapped[datetime | None]
    __table_args__ = (
        # Whoever claims a run is refused while another one of its scope is running.
        Index(
            "ix_trainings_running_scope",
            "scope_key",
            unique=True,
            sqlite_where=text("status = 'running' AND scope_key <> ''"),
            postgresql_where=text("status = 'running' AND scope_key <> ''"),
        ),
    )


class ReleaseRecord(Base):
    """A trained model with its artifact; which one is active stands in the graph alone."""

    __tablename__ = "releases"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    training_id: Mapped[str] = mapped_column(String(32), unique=True)
    model: Mapped[str] = mapped_column(String(64))
    metrics: Mapped[dict[str, Any]]
    counts: Mapped[dict[str, Any]]
    snapshot_sha256: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int] = mapped_column(Integer, default=0)
    hyperparameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    scope: Mapped[dict[str, Any]] = mapped_column(default=dict)
    code_version: Mapped[str] = mapped_column(String(64), default="")
    num_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    gate: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The verdict with its checks, and who overrode it; {} for a release that no gate has judged."""
    requested_by: Mapped[str] = mapped_column(String(32), default="")
    is_kept: Mapped[bool] = mapped_column(Boolean, default=False)
    """Retention leaves it alone."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    published_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    """When its artifact was deleted; the record stays."""
    promotion_asked_at: Mapped[datetime | None]
    """Set while it is to be written into the graph and to become active."""
    promotion_replaces: Mapped[str] = mapped_column(String(32), default="")
    """The release that was active when it was asked for, '' for none: another that comes between stays."""
    promotion_is_rollback: Mapped[bool] = mapped_column(Boolean, default=False)
    promotion_error: Mapped[str | None] = mapped_column(Text)
    """Why the last promotion came to nothing."""


def dead_letter_id(*, epoch: str, shard: int, entry_id: str, position: int) -> str:
    """The id of the dead letter of a place in the log: the same however often it is isolated."""
    place = f"{epoch}/{shard}/{entry_id}/{position}"
    return "dl_" + hashlib.sha256(place.encode()).hexdigest()[:24]


class DeadLetter(Base):
    """An event that the ingester could not apply; a second isolation finds the same row."""

    __tablename__ = "dead_letters"
    id: Mapped[str] = mapped_column(String(32), unique=True, index=True)
    """`dead_letter_id` of the four columns below, as one word for people and URLs."""
    epoch: Mapped[str] = mapped_column(String(32), primary_key=True)
    shard: Mapped[int] = mapped_column(Integer, primary_key=True)
    entry_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    """Index of the event in its chunk; -1 for a chunk that cannot be decoded."""
    event_id: Mapped[str] = mapped_column(String(128), index=True)
    """'' where it cannot be read."""
    request_id: Mapped[str] = mapped_column(String(64), default="")
    """The request that brought it, '' where that is unknown."""
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    """The event in msgpack: as it came or, once `fixed_at` is set, as it was corrected."""
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    fixed_at: Mapped[datetime | None]
    replayed_at: Mapped[datetime | None]
    """When its event went into the log again; until then the letter is open."""
    __table_args__ = (Index("ix_dead_letters_replayed_at", "replayed_at", "created_at"),)


class Erasure(Base):
    """A person's wish to be forgotten; the id itself is forgotten once it is fulfilled."""

    __tablename__ = "erasures"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str | None] = mapped_column(String(128), unique=True)
    """Unique, so that a user has one open erasure; NULL once it is done."""
    user_hash: Mapped[str] = mapped_column(String(64), index=True)
    requested_at: Mapped[datetime]
    requested_by: Mapped[str] = mapped_column(String(32))
    event_id: Mapped[str] = mapped_column(String(128))
    """The event that erases; its `at` is `requested_at`."""
    shard: Mapped[int] = mapped_column(Integer)
    number: Mapped[int | None] = mapped_column(BigInteger)
    """The event's running number in its shard; NULL until it is in the log."""
    waiting_for: Mapped[list[str]] = mapped_column(JSON, default=list)
    """In words, what still holds the user."""
    checked_at: Mapped[datetime | None]
    committed_at: Mapped[datetime | None]
    """When it was seen that the graph no longer holds the user."""
    done_at: Mapped[datetime | None]

    @property
    def state(self) -> str:
        """`accepted`, then `in_graph` once the graph has forgotten the user, then `done`."""
        if self.done_at is not None:
            return "done"
        return "accepted" if self.committed_at is None else "in_graph"


class AuditRecord(Base):
    """An admin action: who did what to which thing."""

    __tablename__ = "audit_log"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(default=utc_now)
    key_id: Mapped[str] = mapped_column(String(32))
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(200), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = (Index("ix_audit_log_at", "at"),)
