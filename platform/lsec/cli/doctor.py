"""`lsec doctor`: looks at the whole installation from the server's side, whatever of it is down."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.text import Text

from lsec.cli.options import Json, Key, api_url, extra
from lsec.cli.output import err, out, print_json, print_table
from lsec.core.errors import InvalidInput
from lsec.core.inspections import Finding, FindingState, broken, is_broken, ok
from lsec.core.settings import LOOPBACK_BOLT, Settings, load_settings

API_TIMEOUT_S = 3.0
TITLES = {
    FindingState.BROKEN: "Broken",
    FindingState.WARNING: "Warnings",
    FindingState.OK: "All is well with",
}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        rich_help_panel="Server",
        epilog="Exit codes: 0 nothing is broken (there may be warnings), 1 something is. "
        "Examples: lsec doctor · lsec doctor --data-dir .lsec/demo · lsec doctor --deep --json",
    )(doctor)


def doctor(
    *,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the data.", show_default="LSEC_DATA_DIR or .lsec"),
    ] = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Read every file of the served releases anew, though none seems to have changed."
        ),
    ] = False,
    url: Annotated[
        str,
        typer.Option(
            "--url",
            envvar="LSEC_URL",
            help="Address of the API.",
            show_default="that of LSEC_API_HOST and LSEC_API_PORT",
            rich_help_panel="Connection",
        ),
    ] = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Look at the installation, say what is broken and what to do about it.

    It runs on the server, with its settings (LSEC_…), and needs no service to be up: one that is not reached
    is itself a finding. It looks at versions, ports, memory, disk, folders, clocks and keys; at Neo4j,
    Valkey, the ledger, the API, workers and beat; at ingestion, trainings, promotions, erasures and dead
    letters; and at what must always hold: one active release, whole and of one version, and a ledger, a graph
    and a disk that agree. Nothing is changed by it.
    """
    with extra("api", "workers"):
        from workers.inspection.inspect import inspect
    try:
        settings = load_settings(data_dir=data_dir)
    except InvalidInput as error:
        findings = [broken("settings", error.detail, remedy=error.remedy)]
    else:
        settings, embedded = _embedded_stack(settings)
        with err.status("Looking …"):
            findings = [
                *embedded,
                api_finding(url or api_url(settings)),
                *inspect(settings, secret=key, is_deep=deep),
            ]
        if not embedded and _wants_embedded(settings, findings):
            findings = [*_installation(settings), *findings]
    show(findings, as_json=as_json)
    if is_broken(findings):
        raise typer.Exit(1)


def _embedded_stack(settings: Settings) -> tuple[Settings, list[Finding]]:
    """The settings as the stack of the data folder runs, and findings on it; none where there is no stack."""
    try:
        from lsec.local.installation import as_running, is_embedded
    except ModuleNotFoundError:
        return settings, []
    if not is_embedded(settings):
        return settings, []
    settings = as_running(settings)
    return settings, list(_installation(settings))


def _wants_embedded(settings: Settings, findings: Sequence[Finding]) -> bool:
    """Whether an embedded stack is what is missing: Neo4j does not answer, and should be on this machine."""
    states = {finding.name: finding.state for finding in findings}
    return settings.neo4j_url.startswith(LOOPBACK_BOLT) and states.get("neo4j") == FindingState.BROKEN


def _installation(settings: Settings) -> Iterator[Finding]:
    try:
        from lsec.local.installation import installation
    except ModuleNotFoundError as error:
        remedy = "`uv sync --extra local`, or set LSEC_NEO4J_URL, LSEC_LOG_URL and LSEC_SQL_URL to your own."
        yield broken("stack", f"{error.name} is not installed, which `lsec up` needs.", remedy=remedy)
        return
    yield from installation(settings)


def api_finding(url: str) -> Finding:
    """Whether the API at the address says that it is well."""
    remedy = "`lsec up` starts it; if it is elsewhere, set LSEC_URL."
    try:
        status = httpx2.get(f"{url}/healthz", timeout=API_TIMEOUT_S, trust_env=False).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return broken("api", f"The API at {url} does not answer: {error}.", remedy=remedy)
    if status != httpx2.codes.OK:
        return broken("api", f"What is at {url} answers /healthz with status {status}.", remedy=remedy)
    return ok("api", f"It answers at {url}.")


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Prints the findings by their states, the worst first, and the remedies below."""
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    for state, title in TITLES.items():
        rows = [(each.name, each.detail) for each in findings if each.state == state]
        if rows:
            print_table(title, ("what", "finding"), rows)
    wrong = [each for each in findings if each.state != FindingState.OK]
    if not wrong:
        out.print("Nothing is broken.")
        return
    out.print(Text("What to do", style="bold"))
    for each in wrong:
        out.print(Text.assemble((each.name, "bold"), f": {each.remedy}"), soft_wrap=True)
