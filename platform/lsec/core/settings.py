"""The platform's settings: read from `LSEC_*` once in each entry point and passed down."""

import difflib
import math
import os
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lsec.core.errors import InvalidInput
from lsec.core.log_positions import MAX_SHARDS

MIB = 1024 * 1024

MAX_LOG_SHARE = 0.75
"""Of Valkey's memory: past that it refuses writes, the ingester's too, so the API must stop before."""
PREFIX = "LSEC_"
NEO4J_PASSWORD_FILE = "neo4j-password"  # noqa: S105 - a file name
"""In the data folder: the password of the embedded stack's Neo4j, which the stack makes."""
LOOPBACK_BOLT = "bolt://127.0.0.1:"
OTHER_VARIABLES = re.compile(r"LSEC_(URL|API_KEY|SQL_PASSWORD|TEST_.*)")
"""Variables that are no settings of the server: the client's, compose's, those of tests."""
_RATE = r"^([1-9][0-9]*/(second|minute|hour)|)$"
"""As the `limits` library writes a rate; '' is no limit."""


class Settings(BaseSettings):
    """Frozen, typed and bounded; `load_settings` reads them from the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(Path(".lsec"), description="Folder of the embedded stack, runs and artifacts")
    artifacts_dir: Path | None = Field(None, description="Released artifacts; default DATA_DIR/artifacts")
    runs_dir: Path | None = Field(None, description="Training runs; default DATA_DIR/runs")
    snapshots_dir: Path | None = Field(None, description="Exported subgraphs; default DATA_DIR/snapshots")

    neo4j_url: str = Field("bolt://127.0.0.1:7687", description="Bolt address of Neo4j")
    neo4j_user: str = Field("neo4j", description="User of Neo4j")
    neo4j_password: SecretStr = Field(
        SecretStr(""), description="Password; by default the embedded stack's own"
    )
    log_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Valkey of the event log")
    broker_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/1"), description="Valkey of Celery")
    sql_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the ledger; default SQLite in DATA_DIR"
    )

    api_host: str = Field("127.0.0.1", description="Address that the API listens on")
    api_port: int = Field(8000, ge=0, le=65535, description="Port of the API")
    api_processes: int = Field(2, ge=1, le=64, description="Processes of the API, about one a core")
    bolt_port: int = Field(7687, ge=0, le=65535, description="Embedded stack: port of Neo4j")
    valkey_port: int = Field(6379, ge=0, le=65535, description="Embedded stack: port of Valkey")
    neo4j_heap_mb: int = Field(1024, ge=256, le=262_144, description="Embedded stack: heap of Neo4j")
    neo4j_page_cache_mb: int = Field(
        512, ge=64, le=1_048_576, description="Embedded stack: page cache of Neo4j"
    )
    valkey_max_memory_mb: int = Field(
        1024, ge=64, le=1_048_576, description="Embedded stack: maxmemory of Valkey"
    )
    maven_url: str | None = Field(
        None, description="Embedded stack: a mirror of Maven Central to fetch Neo4j from"
    )

    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="The one currency of this deployment")
    shards: int = Field(1, ge=1, le=MAX_SHARDS, description="Shards of the log; one ingester each")
    ingest_batch_events: int = Field(10_000, ge=1, le=100_000, description="Most events a transaction")
    dedup_window_s: int = Field(3600, ge=1, le=86_400, description="How long a retry is recognised")
    log_retention_s: int = Field(60, ge=0, le=604_800, description="Committed chunks are kept so long")
    max_backlog_events: int = Field(
        1_000_000, ge=1, description="Past this many uncommitted events the API answers 503"
    )
    max_log_memory_mb: int = Field(
        768, ge=16, description="Past this much memory of the log's server the API answers 503"
    )
    max_body_bytes: int = Field(16 * MIB, ge=1024, le=1024 * MIB, description="Largest request body")
    max_events_per_request: int = Field(10_000, ge=1, le=1_000_000, description="Most events a request")

    rate_limit_ingest: str = Field("5000/second", pattern=_RATE, description="Requests of an ingest key")
    rate_limit_read: str = Field("10000/second", pattern=_RATE, description="Requests of a read key")
    rate_limit_analyst: str = Field("100/second", pattern=_RATE, description="Requests of an analyst key")
    rate_limit_admin: str = Field("1000/second", pattern=_RATE, description="Requests of an admin key")
    cypher_timeout_s: float = Field(5.0, ge=0.1, le=60, description="Longest time of an ad-hoc statement")
    cypher_max_rows: int = Field(10_000, ge=1, le=1_000_000, description="Most rows of an ad-hoc statement")
    cypher_max_mb: int = Field(16, ge=1, le=256, description="Largest answer to an ad-hoc statement")
    retention_days: int = Field(
        0, ge=0, le=36_500, description="What users did is pruned after so many days; 0 keeps it"
    )

    slate_length: int = Field(50, ge=1, le=1000, description="Products in a published slate")
    kept_releases: int = Field(3, ge=1, le=100, description="Releases whose slates stay in the graph")
    kept_artifacts: int = Field(
        10, ge=1, le=10_000, description="Newest releases whose artifacts stay though nobody pinned them"
    )
    kept_snapshots: int = Field(
        5, ge=0, le=1000, description="Newest snapshots that stay though nobody asked to keep them"
    )
    gate_min_users: int = Field(
        50, ge=2, le=1_000_000, description="Fewest users with held-out purchases to judge a model by"
    )
    gate_popularity_margin: float = Field(
        0.05, ge=0, le=10, description="Share by which a model's NDCG@10 must beat popularity's"
    )
    gate_min_coverage: float = Field(
        0.05, ge=0, le=1, description="Least share of the products that the lists could show"
    )
    gate_max_segment_drop: float = Field(
        0.1, ge=0, le=1, description="Largest drop of a segment against the champion, as a share"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train")
    train_threads: int = Field(0, ge=0, le=1024, description="CPU threads of a training; 0: all cores")
    checkpoint_s: float = Field(30, ge=0, le=86_400, description="A training's state is saved so often")
    training_stall_s: int = Field(
        1800, ge=1, le=604_800, description="A run without progress for so long is stopped and tried again"
    )
    run_retention_days: int = Field(
        7, ge=0, le=36_500, description="Folders of ended runs are deleted after so many days; 0 keeps them"
    )
    broker_visibility_s: int = Field(
        86_400, ge=1, le=2_592_000, description="A job whose worker was lost is delivered again after so long"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Log level")
    log_format: Literal["json", "text"] = Field("json", description="Log lines as JSON objects or as text")

    @model_validator(mode="after")
    def _leave_room_in_valkey(self) -> Self:
        most_mb = int(self.valkey_max_memory_mb * MAX_LOG_SHARE)
        if self.max_log_memory_mb > most_mb:
            enough_mb = math.ceil(self.max_log_memory_mb / MAX_LOG_SHARE)
            raise InvalidInput(
                f"{PREFIX}MAX_LOG_MEMORY_MB is {self.max_log_memory_mb}, more than {MAX_LOG_SHARE:.0%} of "
                f"{PREFIX}VALKEY_MAX_MEMORY_MB, {self.valkey_max_memory_mb}: Valkey would be full before "
                "the API holds producers back.",
                remedy=f"Set {PREFIX}MAX_LOG_MEMORY_MB to {most_mb} or less, or "
                f"{PREFIX}VALKEY_MAX_MEMORY_MB to {enough_mb} or more; with a Valkey of your own the "
                "latter states its maxmemory.",
            )
        return self

    @property
    def artifacts_path(self) -> Path:
        """Where artifacts of releases lie, one folder each."""
        return self.artifacts_dir or self.data_dir / "artifacts"

    @property
    def runs_path(self) -> Path:
        """Where training runs lie, one folder each."""
        return self.runs_dir or self.data_dir / "runs"

    @property
    def snapshots_path(self) -> Path:
        """Where snapshots of the graph lie, one folder each."""
        return self.snapshots_dir or self.data_dir / "snapshots"

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger, without a driver name: `sqlite:///…` or `postgresql://…`."""
        if self.sql_url is not None:
            return self.sql_url.get_secret_value()
        return f"sqlite:///{(self.data_dir / 'ledger.sqlite').absolute()}"


def load_settings(*, data_dir: Path | None = None) -> Settings:
    """The settings of the environment; InvalidInput that names each bad or unknown variable.

    A data folder that is given goes before that of the environment. Where no password of Neo4j is set,
    that of the data folder's embedded Neo4j is used.
    """
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and not OTHER_VARIABLES.fullmatch(name):
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"Did you mean {close[0]}?" if close else "Unset it; the README lists all settings."
            raise InvalidInput(f"There is no setting {name}.", remedy=meant)
    try:
        settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    except ValidationError as error:
        bad = "; ".join(
            f"{PREFIX}{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()
        )
        raise InvalidInput(f"Bad settings: {bad}.", remedy="Change or unset these variables.") from error
    password = embedded_neo4j_password(settings)
    return settings if password is None else settings.model_copy(update={"neo4j_password": password})


def embedded_neo4j_password(settings: Settings) -> SecretStr | None:
    """The password of the data folder's embedded Neo4j, if the settings mean that one and give no other.

    None for another machine's Neo4j: it has no business with this password.
    """
    if "neo4j_password" in settings.model_fields_set or not settings.neo4j_url.startswith(LOOPBACK_BOLT):
        return None
    path = settings.data_dir / NEO4J_PASSWORD_FILE
    try:
        return SecretStr(path.read_text())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(
            f"The password of Neo4j cannot be read: {error}.",
            remedy="Run this as the user who started the stack, or set LSEC_NEO4J_PASSWORD.",
        ) from error
