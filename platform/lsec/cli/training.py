"""The command that trains: triggers a run, follows it, cancels it."""

from typing import Annotated

import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Since, Until, Url, connect, in_utc
from lsec.cli.output import err, out, percentage, print_error, print_json, print_mapping
from lsec.client import Client
from lsec.client.answers import Training
from lsec.core.errors import LsecError

Categories = Annotated[
    list[str] | None, typer.Option(help="Only products of this category; may be repeated.")
]
Streamers = Annotated[
    list[str] | None, typer.Option(help="Only this streamer's part of the graph; may be repeated.")
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        rich_help_panel="Models",
        epilog="Examples: lsec train --since 2026-01-01 --category beauty · lsec train --no-wait · "
        "lsec train --follow trn_… · lsec train --cancel trn_…",
    )(train)


def train(
    *,
    since: Since = None,
    until: Until = None,
    category: Categories = None,
    streamer: Streamers = None,
    min_purchases: Annotated[int, typer.Option(min=1, help="Only users with so many purchases.")] = 1,
    model: Annotated[str | None, typer.Option(help="Which model.", show_default="the platform's")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    publish: Annotated[bool, typer.Option(help="Serve the result when it is done.")] = True,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show the progress until the end.")] = True,
    follow: Annotated[str | None, typer.Option(metavar="ID", help="Show a running training instead.")] = None,
    cancel: Annotated[str | None, typer.Option(metavar="ID", help="Stop a running training instead.")] = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Train on the graph, or a chosen part of it, and publish the scores. Ctrl-C leaves the run going."""
    with connect(url, key) as client:
        if cancel is not None:
            show(client.cancel_training(cancel), as_json=as_json)
            return
        if follow is not None:
            run = client.training(follow)
        else:
            run = client.train(
                since=in_utc(since),
                until=in_utc(until),
                categories=category or (),
                streamers=streamer or (),
                min_purchases=min_purchases,
                model=model,
                seed=seed,
                publish=publish,
            )
        if wait:
            run = watch(client, run)
    show(run, as_json=as_json)
    if wait:
        require_success(run, as_json=as_json)


def watch(client: Client, run: Training) -> Training:
    """Shows the run's progress; its last state."""
    err.print(f"Training {run.id}; Ctrl-C leaves it going, `lsec train --cancel {run.id}` stops it.")
    with percentage(run.phase or run.status) as bar:
        for state in client.training_progress(run.id):
            left = f"{state.eta_s:.0f} s left " if state.eta_s and not state.is_final else ""
            bar(state.percent, label=state.phase or state.status, message=f"{left}{state.message}")
            run = state
    return run


def require_success(run: Training, *, as_json: bool) -> None:
    """LsecError with the reason if a run did not succeed; as JSON the run itself, already shown, has it."""
    if run.status == "succeeded":
        return
    reason = f": {run.error}" if run.error else "."
    error = LsecError(f"Training {run.id} {run.status}{reason}")
    if as_json:
        print_error(error)
        raise typer.Exit(1)
    raise error


def show(run: Training, *, as_json: bool) -> None:
    """Prints a run: its state, and what it measured."""
    if as_json:
        print_json(run)
        return
    release = f", release {run.release_id}" if run.release_id else ""
    out.print(f"Training {run.id}: {run.status}{release}.", markup=False)
    print_mapping("Metrics", run.metrics)
    print_mapping("Seconds", run.timings_s)
