"""What an inspection reads from, opened so that a service that is away is a finding within seconds."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import neo4j
import redis
from alembic.util import CommandError
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from lsec.core.errors import LsecError
from lsec.core.inspections import Finding, broken, ok
from lsec.core.settings import Settings
from workers.graph import open_driver
from workers.ledger import open_ledger

TIMEOUT_S = 3.0
QUERY_TIMEOUT_S = 60.0
IMPATIENT: dict[str, Any] = {
    "connection_timeout": TIMEOUT_S,
    "connection_acquisition_timeout": TIMEOUT_S,
    "max_transaction_retry_time": 0,
}
SQLITE = "sqlite:///"
FAULTS = (
    LsecError,
    neo4j.exceptions.DriverError,
    neo4j.exceptions.Neo4jError,
    redis.RedisError,
    SQLAlchemyError,
    CommandError,
    OSError,
    ValueError,
)
"""What a look may end with when something that it needs is away or damaged."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The settings, and clients of the services that answer; of the others, None here, `findings` tell."""

    settings: Settings
    engine: Engine | None = None
    driver: neo4j.Driver | None = None
    client: redis.Redis | None = None
    findings: tuple[Finding, ...] = field(default=())


@contextmanager
def open_sources(settings: Settings) -> Iterator[Sources]:
    """Clients of ledger, graph and log, closed in the end; nothing is made that is not there."""
    with ExitStack() as stack:
        sources = Sources(settings)
        for name, opened, remedy in (
            ("ledger", _open_ledger, _ledger_remedy(settings)),
            ("neo4j", _open_graph, _remedy(settings, "Neo4j", f"LSEC_NEO4J_URL ({settings.neo4j_url})")),
            ("valkey", _open_log, _remedy(settings, "Valkey", "LSEC_LOG_URL")),
        ):
            try:
                sources = opened(sources, stack)
                found = ok(name, "It answers.")
            except FAULTS as error:
                found = broken(name, f"It does not answer: {first_line(error)}", remedy=remedy)
            sources = replace(sources, findings=(*sources.findings, found))
        yield sources


def first_line(error: BaseException) -> str:
    """What an error says, in one line: those of drivers go on with addresses and links."""
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return said if said.endswith(".") else f"{said}."


def _open_ledger(sources: Sources, stack: ExitStack) -> Sources:
    url = sources.settings.ledger_url
    if url.startswith(SQLITE):
        # Connecting would make it.
        path = Path(url.removeprefix(SQLITE))
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        settings = sources.settings
    else:
        patient = make_url(url).update_query_dict({"connect_timeout": str(int(TIMEOUT_S))})
        secret = SecretStr(patient.render_as_string(hide_password=False))
        settings = sources.settings.model_copy(update={"sql_url": secret})
    engine = open_ledger(settings)
    stack.callback(engine.dispose)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return replace(sources, engine=engine)


def _open_graph(sources: Sources, stack: ExitStack) -> Sources:
    driver = stack.enter_context(open_driver(sources.settings, **IMPATIENT))
    with driver.session() as session:
        session.run("RETURN 1 AS one").consume()
    return replace(sources, driver=driver)


def _open_log(sources: Sources, stack: ExitStack) -> Sources:
    client = open_valkey(sources.settings.log_url)
    stack.callback(client.close)
    client.ping()
    return replace(sources, client=client)


def open_valkey(url: SecretStr) -> redis.Redis:
    """A client that waits no longer than TIMEOUT_S, and asks once."""
    return redis.Redis.from_url(
        url.get_secret_value(),
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def _remedy(settings: Settings, service: str, setting: str) -> str:
    return (
        f"`lsec up` (with LSEC_DATA_DIR={settings.data_dir}) starts the embedded stack; with a {service} of "
        f"your own start it, and see that {setting} and its password are right."
    )


def _ledger_remedy(settings: Settings) -> str:
    if settings.ledger_url.startswith(SQLITE):
        return (
            f"See that LSEC_DATA_DIR ({settings.data_dir}) is the right folder; `lsec up` or `lsec migrate` "
            "makes a ledger where there is none, `lsec restore` brings back that of a backup."
        )
    return "Start Postgres, and see that LSEC_SQL_URL is right."
