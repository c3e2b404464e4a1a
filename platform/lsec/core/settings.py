"""The platform's settings: read from `LSEC_*` once in each entry point and passed down."""

import difflib
import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from lsec.core.errors import InvalidInput

MIB = 1024 * 1024

PREFIX = "LSEC_"
OTHER_VARIABLES = re.compile(r"LSEC_(URL|API_KEY|SQL_PASSWORD|TEST_.*)")
"""Variables that are no settings of the server: the client's, compose's, those of tests."""


class Settings(BaseSettings):
    """Frozen, typed and bounded; `load_settings` reads them from the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(Path(".lsec"), description="Folder of the embedded stack, runs and artifacts")
    artifacts_dir: Path | None = Field(None, description="Released artifacts; default DATA_DIR/artifacts")
    runs_dir: Path | None = Field(None, description="Snapshots and training runs; default DATA_DIR/runs")

    neo4j_url: str = Field("bolt://127.0.0.1:7687", description="Bolt address of Neo4j")
    neo4j_user: str = Field("neo4j", description="User of Neo4j")
    neo4j_password: SecretStr = Field(SecretStr(""), description="Password; empty: no authentication")
    log_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/0"), description="Valkey of the event log")
    broker_url: SecretStr = Field(SecretStr("redis://127.0.0.1:6379/1"), description="Valkey of Celery")
    sql_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the ledger; default SQLite in DATA_DIR"
    )

    api_host: str = Field("127.0.0.1", description="Address that the API listens on")
    api_port: int = Field(8000, ge=0, le=65535, description="Port of the API")
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
    shards: int = Field(1, ge=1, le=64, description="Shards of the log; one ingester each")
    ingest_batch_events: int = Field(5000, ge=1, le=100_000, description="Most events a transaction")
    dedup_window_s: int = Field(3600, ge=1, le=86_400, description="How long a retry is recognised")
    log_retention_s: int = Field(60, ge=0, le=604_800, description="Committed chunks are kept so long")
    max_backlog_events: int = Field(
        1_000_000, ge=1, description="Past this many uncommitted events the API answers 503"
    )
    max_log_memory_mb: int = Field(
        768, ge=16, description="Past this much memory of the log's server the API answers 503"
    )
    max_body_bytes: int = Field(8 * MIB, ge=1024, le=1024 * MIB, description="Largest request body")
    max_events_per_request: int = Field(10_000, ge=1, le=1_000_000, description="Most events a request")

    slate_length: int = Field(50, ge=1, le=1000, description="Products in a published slate")
    kept_releases: int = Field(3, ge=1, le=100, description="Releases whose slates stay in the graph")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train")
    train_threads: int = Field(0, ge=0, le=1024, description="CPU threads of a training; 0: all cores")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Log level")

    @property
    def artifacts_path(self) -> Path:
        """Where artifacts of releases lie, one folder each."""
        return self.artifacts_dir or self.data_dir / "artifacts"

    @property
    def runs_path(self) -> Path:
        """Where training runs lie, one folder each."""
        return self.runs_dir or self.data_dir / "runs"

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger, without a driver name: `sqlite:///…` or `postgresql://…`."""
        if self.sql_url is not None:
            return self.sql_url.get_secret_value()
        return f"sqlite:///{(self.data_dir / 'ledger.sqlite').absolute()}"


def load_settings() -> Settings:
    """The settings of the environment; InvalidInput that names each bad or unknown variable."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and not OTHER_VARIABLES.fullmatch(name):
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"Did you mean {close[0]}?" if close else "Unset it; the README lists all settings."
            raise InvalidInput(f"There is no setting {name}.", remedy=meant)
    try:
        return Settings()
    except ValidationError as error:
        bad = "; ".join(
            f"{PREFIX}{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()
        )
        raise InvalidInput(f"Bad settings: {bad}.", remedy="Change or unset these variables.") from error
