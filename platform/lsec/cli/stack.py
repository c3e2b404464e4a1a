"""Commands of the embedded stack: start it, stop it, tell what runs, migrate."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lsec.cli.options import Json, api_url, extra
from lsec.cli.output import err, out, print_json, print_table
from lsec.core.errors import InvalidInput, Unavailable
from lsec.core.settings import NEO4J_PASSWORD_FILE, Settings, load_settings

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of the data.", show_default="LSEC_DATA_DIR or .lsec"),
]

ORPHANED = "`lsec up` was killed; `lsec down` stops the rest."
APPLIED = "applied "
"""How the migrations report each that was applied, before its name."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    panel = "Server"
    app.command(rich_help_panel=panel, epilog="Example: LSEC_API_PORT=9000 lsec up --service api")(up)
    app.command(rich_help_panel=panel, epilog="Example: lsec down --data-dir .lsec/demo")(down)
    app.command(rich_help_panel=panel, epilog="Example: lsec status --json")(status)
    app.command(rich_help_panel=panel, epilog="Example: LSEC_NEO4J_URL=bolt://graph:7687 lsec migrate")(
        migrate
    )


def up(
    *,
    service: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this service (valkey, neo4j, api, ingester, worker, upkeep, beat); may be repeated.",
            show_default="all",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Start the embedded stack and keep it until Ctrl-C: Neo4j, Valkey, API, ingester, workers, beat."""
    with extra("local", "api", "workers"):
        from lsec.local import ALL_SERVICES, ConsoleReporter, running_stack
    services = tuple(service or ALL_SERVICES)
    if unknown := [name for name in services if name not in ALL_SERVICES]:
        raise InvalidInput(
            f"There is no service {unknown[0]}.", remedy=f"There are {', '.join(ALL_SERVICES)}."
        )
    try:
        with (
            ConsoleReporter(err) as reporter,
            running_stack(_settings(data_dir), services=services, on_event=reporter) as stack,
        ):
            url = api_url(stack.settings)
            out.print(f"The API is at {url}, its documentation at {url}/docs.", markup=False)
            if "neo4j" in services:
                out.print(neo4j_line(stack.settings), markup=False, soft_wrap=True)
            out.print(
                f"A key: LSEC_DATA_DIR={stack.settings.data_dir} lsec keys create --scope admin --name me",
                markup=False,
                soft_wrap=True,
            )
            out.print("Ctrl-C stops everything.")
            stack.wait()
    except KeyboardInterrupt:
        err.print("All is stopped.")


def down(*, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Stop the embedded stack of a data folder, also what a killed `lsec up` left behind."""
    with extra("local"):
        from lsec.local import ConsoleReporter, stop_recorded
    settings = _settings(data_dir)
    with ConsoleReporter(err) as reporter:
        stopped = stop_recorded(settings.data_dir, on_event=reporter)
    if as_json:
        print_json({"stopped": stopped})
    elif stopped:
        out.print(f"Stopped: {', '.join(stopped)}.", markup=False)
    else:
        out.print(f"Nothing runs on {settings.data_dir}.", markup=False)


def status(*, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show what runs of the embedded stack; exit code 1 when nothing does, or not all of it."""
    with extra("local"):
        from lsec.local import stack_status
    settings = _settings(data_dir)
    services = stack_status(settings.data_dir)
    states = {each.name: each.state for each in services}
    remedy = ORPHANED if states.get("supervisor") == "gone" and "running" in states.values() else ""
    if as_json:
        each_as_json = [asdict(each) for each in services]
        print_json({"data_dir": str(settings.data_dir), "services": each_as_json, "remedy": remedy})
    elif services:
        columns = ("name", "state", "pid", "port", "uptime_s", "memory_mb", "log")
        print_table(
            f"Stack of {settings.data_dir}",
            columns,
            [
                (
                    each.name,
                    each.state,
                    str(each.pid),
                    str(each.port or ""),
                    each.uptime_s,
                    each.memory_mb,
                    each.log,
                )
                for each in services
            ],
        )
    else:
        out.print(f"Nothing runs on {settings.data_dir}; `lsec up` starts the stack.", markup=False)
    if remedy and not as_json:
        out.print(remedy, markup=False)
    if any(state != "running" for state in states.values()) or not services:
        raise typer.Exit(1)


def migrate(*, as_json: Json = False) -> None:
    """Bring the ledger and the graph to this version; again changes nothing. `lsec up` does it itself."""
    with extra("workers", "api"):
        from neo4j.exceptions import DriverError, Neo4jError

        from workers.migrate import migrate as run
    applied: list[str] = []

    def report(line: str) -> None:
        err.print(line, markup=False)
        if line.startswith(APPLIED):
            applied.append(line.removeprefix(APPLIED))

    try:
        run(load_settings(), report=report)
    except (DriverError, Neo4jError) as error:
        raise Unavailable(
            f"The graph cannot be used: {error}.", remedy="Is it running, and is LSEC_NEO4J_URL right?"
        ) from error
    if as_json:
        print_json({"applied": applied})
        return
    out.print("The ledger and the graph are at this version.")


def neo4j_line(settings: Settings) -> str:
    """Where Neo4j is and how to log in; the password itself belongs in no terminal's history."""
    file = settings.data_dir / NEO4J_PASSWORD_FILE
    return f"Neo4j is at {settings.neo4j_url}, user {settings.neo4j_user}, password in {file}."


def _settings(data_dir: Path | None) -> Settings:
    return load_settings(data_dir=data_dir)
