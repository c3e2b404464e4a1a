"""The `lsec` command: its groups of commands, and how errors end it."""

from typing import Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from lsec.cli import demo, evaluation, events, influence, keys, releases, serving, stack, training
from lsec.cli.output import err
from lsec.core.errors import LsecError

EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage. Commands that ask the API take its address from LSEC_URL "
    "and the key from LSEC_API_KEY. Start with: lsec demo"
)


class _Commands(TyperGroup):
    """Turns the platform's errors into a sentence on the error stream and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LsecError as error:
            title = "" if error.title == LsecError.title else f"{error.title}: "
            err.print(Text.assemble(("Error ", "bold red"), f"{title}{error.detail}"), soft_wrap=True)
            if error.remedy:
                err.print(Text.assemble(("Try   ", "bold"), error.remedy), soft_wrap=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    name="lsec",
    help="Recommendations for live-stream e-commerce on a live graph of users, streamers and products.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, stack, events, training, serving, evaluation):
    module.register(app)
for name, module_app in (("influence", influence.app), ("releases", releases.app), ("keys", keys.app)):
    app.add_typer(module_app, name=name)
