"""The `lsec` command: its groups of commands, and how errors end it."""

import importlib.metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lsec.cli import (
    backup,
    cypher,
    dead_letters,
    demo,
    doctor,
    evaluation,
    event_state,
    events,
    experiments,
    influence,
    keys,
    live,
    prune,
    releases,
    retraining,
    serving,
    simulation,
    snapshots,
    stack,
    training,
    tune,
    users,
)
from lsec.cli.options import WANTS_JSON
from lsec.cli.output import print_error, print_line
from lsec.client import ApiError
from lsec.core.errors import LsecError

EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage. Commands that ask the API take its address from LSEC_URL "
    "and the key from LSEC_API_KEY. Start with: lsec demo"
)


class _Commands(TyperGroup):
    """Turns the platform's errors into sentences, with --json an object too, and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LsecError as error:
            print_error(error)
            if ctx.meta.get(WANTS_JSON):
                print_line({"error": _as_json(error)})
            raise typer.Exit(1) from error


def _as_json(error: LsecError) -> dict[str, object]:
    title = "Error" if error.title == LsecError.title else error.title
    status = {"status": error.status} if isinstance(error, ApiError) else {}
    return {"title": title, "detail": error.detail, "remedy": error.remedy, **status}


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lsec {importlib.metadata.version('lsec')}")
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    name="lsec",
    help="Recommendations for live-stream e-commerce on a live graph of users, streamers and products.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


for module in (
    demo,
    stack,
    doctor,
    backup,
    simulation,
    events,
    event_state,
    live,
    cypher,
    training,
    tune,
    serving,
    evaluation,
    prune,
):
    module.register(app)
for name, module_app in (
    ("influence", influence.app),
    ("releases", releases.app),
    ("experiments", experiments.app),
    ("retraining", retraining.app),
    ("snapshots", snapshots.app),
    ("keys", keys.app),
    ("dead-letters", dead_letters.app),
    ("users", users.app),
):
    app.add_typer(module_app, name=name)
