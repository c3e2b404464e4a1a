"""What the API answers, as typed values; unknown fields are read over."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import polars


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """An event that did not go in: its index in what was sent, the field, and why."""

    index: int
    reason: str
    field: str | None = None


class EventsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request of events."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[Rejected] = []
    committed: bool = False
    positions: dict[str, str] = {}


class ShardLag(msgspec.Struct, frozen=True, kw_only=True):
    """How far one shard of the log is behind."""

    shard: int
    appended: int
    committed: int
    backlog_events: int
    position: str | None = None
    age_s: float | None = None


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far the graph is behind the log."""

    backlog_events: int
    shards: list[ShardLag]
    oldest_uncommitted_age_s: float | None = None
    dead_letters: int = 0


class EventStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event: `status` is accepted, committed or dead_lettered."""

    event_id: str
    status: str
    shard: int
    number: int | None = None
    dead_letter_id: str | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was set aside; its event, or the bytes that are none, where one letter was asked for."""

    id: str
    state: str
    event_id: str
    reason: str
    shard: int
    entry_id: str
    position: int
    created_at: datetime
    epoch: str = ""
    request_id: str = ""
    fixed_at: datetime | None = None
    replayed_at: datetime | None = None
    event: dict[str, Any] | None = None
    payload_base64: str | None = None


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters, the newest first; `next` is the cursor of those that follow."""

    dead_letters: list[DeadLetter]
    next: str | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter that could not be replayed."""

    id: str
    reason: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay of many dead letters did; `open` is what is left."""

    replayed: int
    refused: list[Refusal] = []
    open: int = 0


class Purge(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters are gone."""

    purged: int


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """A training run."""

    id: str
    status: str
    phase: str = ""
    percent: float = 0.0
    eta_s: float | None = None
    message: str = ""
    request: dict[str, Any] = {}
    reason: str = ""
    queue: str = ""
    worker: str = ""
    snapshot_id: str | None = None
    timings_s: dict[str, float] = {}
    metrics: dict[str, Any] = {}
    release_id: str | None = None
    error: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether the run never changes again."""
        return self.status not in ("queued", "running")


class Trainings(msgspec.Struct, frozen=True, kw_only=True):
    """Training runs, the newest first."""

    trainings: list[Training]


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A trained model that can be served."""

    id: str
    training_id: str
    model: str
    created_at: datetime
    published_at: datetime | None = None
    deleted_at: datetime | None = None
    active: bool = False
    aliases: list[str] = []
    state: str = ""
    percent: float = 0.0
    promotion_error: str | None = None
    is_kept: bool = False
    metrics: dict[str, Any] = {}
    counts: dict[str, Any] = {}
    gate: dict[str, Any] = {}
    snapshot_sha256: str = ""
    code_version: str = ""
    seed: int = 0
    hyperparameters: dict[str, Any] = {}
    scope: dict[str, Any] = {}
    num_bytes: int = 0
    requested_by: str = ""


class Releases(msgspec.Struct, frozen=True, kw_only=True):
    """Releases, newest first, which one is served, and which one an experiment compares with it."""

    releases: list[Release]
    active: str | None = None
    challenger: str | None = None


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of two releases; the difference is the other's less the first one's."""

    name: str
    value: float | None = None
    other: float | None = None
    difference: float | None = None


class Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """How alike the first k products of the same users are in two releases."""

    k: int
    num_common_users: int
    num_compared_users: int
    is_sampled: bool
    mean_jaccard: float | None = None
    same_first_share: float | None = None
    coverage: float | None = None
    other_coverage: float | None = None


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """A product's places in a user's two slates, counted from 1; None where it is not in it."""

    product_id: str
    place: int | None = None
    other_place: int | None = None
    score: float | None = None
    other_score: float | None = None


class UserMoves(msgspec.Struct, frozen=True, kw_only=True):
    """A user's two slates."""

    user_id: str
    products: list[Move]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two releases side by side."""

    release_id: str
    other_id: str
    metrics: list[Figure]
    overlap: Overlap
    user: UserMoves | None = None


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """A product with its score."""

    product_id: str
    score: float


class Slate(msgspec.Struct, frozen=True, kw_only=True):
    """A user's ranked products in a release."""

    user_id: str
    products: list[Scored]


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """A user's erasure: `state` is accepted, in_graph or done; `waiting_for` says what holds the user."""

    id: str
    state: str
    user_hash: str
    requested_at: datetime
    user_id: str | None = None
    waiting_for: list[str] = []
    checked_at: datetime | None = None
    committed_at: datetime | None = None
    done_at: datetime | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing holds the user any more."""
        return self.state == "done"


class Erasures(msgspec.Struct, frozen=True, kw_only=True):
    """Erasures, the newest first."""

    erasures: list[Erasure]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a named query; `next` is the cursor of the rows that follow, where it has pages.

    `details` are what an estimate tells beside its rows.
    """

    query: str
    columns: list[str]
    rows: list[dict[str, Any]]
    parameters: dict[str, Any] = {}
    next: str | None = None
    details: dict[str, Any] = {}

    def frame(self) -> "polars.DataFrame":
        """The rows as a polars frame, with times and days as the API wrote them.

        ModuleNotFoundError where polars is not installed: lsec[frames] has it.
        """
        # Only here: commands start faster without it, and producers need none.
        import polars

        columns = {name: [row[name] for row in self.rows] for name in self.columns}
        return polars.DataFrame(columns, strict=False)
