"""Commands on experiments: start, list, show, stop, promote."""

from typing import Annotated

import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Reason, Url, connect
from lsec.cli.output import out, print_json, print_mapping, print_table
from lsec.client.experiment_routes import Experiment, Interval

app = typer.Typer(
    help="Experiments: a share of the users sees another release, until one has won.", no_args_is_help=True
)

ExperimentId = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Id of an experiment.")]


@app.command(
    epilog="Examples: lsec experiments start rel_… · lsec experiments start rel_… --share 0.5 "
    "--window-hours 48 --max-conversion-loss 0.1"
)
def start(
    challenger: Annotated[str, typer.Argument(metavar="RELEASE", help="Id of the release to try.")],
    *,
    share: Annotated[float, typer.Option(min=0.01, max=0.5, help="Of the users that see it.")] = 0.1,
    window_hours: Annotated[
        float, typer.Option(min=1 / 60, max=720, help="So long from the first impression a purchase counts.")
    ] = 24.0,
    max_conversion_loss: Annotated[
        float,
        typer.Option(min=0, max=0.99, help="Ends once the conversion rate is lower by more; 0: never."),
    ] = 0.2,
    guard_dismissals: Annotated[
        bool, typer.Option(help="Ends once for sure more users dismiss what they are shown.")
    ] = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show a release to a share of the users, chosen by a hash of their id."""
    with connect(url, key) as client:
        answer = client.start_experiment(
            challenger,
            share=share,
            window_s=round(window_hours * 3600),
            max_conversion_loss=max_conversion_loss or None,
            guard_dismissals=guard_dismissals,
        )
    _print(answer, as_json=as_json)


@app.command("list", epilog="Example: lsec experiments list --json")
def list_experiments(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many at most.")] = 20,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List the newest experiments."""
    with connect(url, key) as client:
        answer = client.experiments(limit=limit)
    if as_json:
        print_json(answer)
        return
    print_table(
        "Experiments",
        ("experiment", "status", "challenger", "champion", "share", "started", "outcome"),
        [
            (e.id, e.status, e.challenger_id, e.champion_id, e.share, e.started_at, e.outcome)
            for e in answer.experiments
        ],
    )


@app.command(epilog="Example: lsec experiments show exp_…")
def show(experiment: ExperimentId, *, as_json: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show an experiment's figures, and what they say; look as often as you like."""
    with connect(url, key) as client:
        answer = client.experiment(experiment)
    _print(answer, as_json=as_json)


@app.command(epilog='Example: lsec experiments stop exp_… --reason "the sale begins"')
def stop(
    experiment: ExperimentId,
    *,
    reason: Reason = "",
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """End an experiment: all users see the champion."""
    with connect(url, key) as client:
        answer = client.stop_experiment(experiment, reason=reason)
    _print(answer, as_json=as_json)


@app.command(epilog="Example: lsec experiments promote exp_…")
def promote(
    experiment: ExperimentId,
    *,
    reason: Reason = "",
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Make the challenger the active release, and end the experiment."""
    with connect(url, key) as client:
        answer = client.promote_challenger(experiment, reason=reason)
    _print(answer, as_json=as_json)


def _print(experiment: Experiment, *, as_json: bool) -> None:
    if as_json:
        print_json(experiment)
        return
    how = f": {experiment.outcome}" if experiment.outcome else ""
    out.print(f"Experiment {experiment.id} is {experiment.status}{how}.", markup=False)
    if experiment.status == "running" and not experiment.is_shown:
        out.print("Its challenger is shown once its slates are in the graph.", markup=False)
    about = {
        "champion": experiment.champion_id,
        "challenger": experiment.challenger_id,
        "share": experiment.share,
        "window": f"{experiment.window_s / 3600:g} h",
        "looked at": experiment.checked_at,
    }
    print_mapping("Experiment", about)
    if (result := experiment.result) is None:
        return
    champion, challenger = result.arms["champion"], result.arms["challenger"]
    print_table(
        "Arms",
        ("", "champion", "challenger"),
        [(name, getattr(champion, name), getattr(challenger, name)) for name in champion.__struct_fields__],
    )
    lifts = {
        "conversion rate": result.lift,
        "relative": result.relative_lift,
        "amount per user": result.amount_lift,
        "users who dismiss": result.dismissal_lift,
    }
    confidence = f"{result.method.confidence:.0%}, always valid"
    print_mapping(f"Lift ({confidence})", {name: _shown(interval) for name, interval in lifts.items()})
    out.print(result.recommendation, markup=False)
    out.print(f"{result.method.name}; {result.method.source}", markup=False)


def _shown(interval: Interval | None) -> str:
    if interval is None:
        return "too early"
    upper = "∞" if interval.upper is None else f"{interval.upper:+.4f}"
    return f"{interval.estimate:+.4f} ({interval.lower:+.4f} to {upper})"
