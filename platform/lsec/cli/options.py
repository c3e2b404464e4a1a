"""Options and set-up that several commands share."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from lsec.client import Client
from lsec.core.errors import InvalidInput, LsecError
from lsec.core.settings import Settings

Url = Annotated[
    str, typer.Option("--url", envvar="LSEC_URL", help="Address of the API.", rich_help_panel="Connection")
]
Key = Annotated[
    str,
    typer.Option(
        "--key",
        envvar="LSEC_API_KEY",
        help="API key; `lsec keys create` makes one.",
        show_default=False,
        rich_help_panel="Connection",
    ),
]
ReleaseId = Annotated[str, typer.Argument(metavar="RELEASE", help="Id of a release.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit log.")]
WANTS_JSON = "lsec.wants_json"
"""In the context of the command line: whether --json was given, for errors that end a command."""


def _remember_json(context: typer.Context, wanted: bool) -> bool:
    context.meta[WANTS_JSON] = wanted
    return wanted


Json = Annotated[
    bool, typer.Option("--json", help="Print JSON for machines, also of errors.", callback=_remember_json)
]
TIME_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%z"]
Since = Annotated[
    datetime | None,
    typer.Option(formats=TIME_FORMATS, metavar="TIME", help="Only what happened from then on (UTC)."),
]
Until = Annotated[
    datetime | None,
    typer.Option(formats=TIME_FORMATS, metavar="TIME", help="Only what happened before (UTC)."),
]
Batch = Annotated[int, typer.Option(min=1, max=10_000, help="Events in a request.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the graph holds the events.")]
DEFAULT_URL = "http://127.0.0.1:8000"


def connect(url: str, key: str) -> Client:
    """A client of the API; InvalidInput without a key, before anything is asked."""
    if not key:
        raise InvalidInput(
            "There is no API key.",
            remedy="Set LSEC_API_KEY or give --key; `lsec keys create` on the server makes one.",
        )
    return Client(url, key)


def api_url(settings: Settings) -> str:
    """The address of the API of these settings, as a client on the same machine reaches it."""
    anywhere = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
    host = "127.0.0.1" if settings.api_host in anywhere else settings.api_host
    return f"http://{host}:{settings.api_port}"


def zoned(moment: datetime) -> datetime:
    """The moment with a zone: UTC where none was given."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def in_utc(moment: datetime | None) -> datetime | None:
    """As `zoned`, of a moment that may be left out."""
    return None if moment is None else zoned(moment)


@contextmanager
def extra(*names: str) -> Iterator[None]:
    """Inside, optional parts are imported; a missing one becomes a sentence that says what to install.

    A producer's machine has the client alone, so commands of the server import their parts when they run.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("lsec", "graph_schema"):
            raise
        raise LsecError(
            f"This command needs {error.name}, which is not installed.",
            remedy=f"Install lsec[{','.join(names)}].",
        ) from error
