"""The command that trains: triggers a run, follows it, cancels it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from lsec.cli.hyperparameters import MODEL_PANEL, Set, parse_settings
from lsec.cli.options import DEFAULT_URL, Json, Key, Since, Until, Url, connect, in_utc
from lsec.cli.output import err, out, percentage, print_error, print_json, print_mapping, print_table, shown
from lsec.client import Client
from lsec.client.answers import Training
from lsec.core.errors import LsecError
from lsec.core.jobs import DEFAULT_MODEL, PAPER_MODELS

Categories = Annotated[
    list[str] | None, typer.Option(help="Only products of this category; may be repeated.")
]
Streamers = Annotated[
    list[str] | None, typer.Option(help="Only this streamer's part of the graph; may be repeated.")
]

PUBLISHING_PANEL, INSTEAD_PANEL = "Publishing", "Instead of a new training"
MODEL_HELP = (
    f"Which model. {DEFAULT_MODEL} is the platform's own. Those of the LSEC-GNN paper are there to compare "
    f"with: {', '.join(PAPER_MODELS)}. They score by a network of pairs, which serving cannot compute, so "
    "they need --no-publish; all but ncf can be published with --set predictor=inner_product."
)
Model = Annotated[
    str | None, typer.Option(help=MODEL_HELP, show_default=DEFAULT_MODEL, rich_help_panel=MODEL_PANEL)
]
Seed = Annotated[
    int, typer.Option(min=0, help="On a CPU the same seed gives the same model.", rich_help_panel=MODEL_PANEL)
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset", help="Hyperparameters that `lsec tune` kept on the server.", rich_help_panel=MODEL_PANEL
    ),
]
SnapshotToUse = Annotated[
    str | None,
    typer.Option("--snapshot", metavar="ID", help="Train on this snapshot instead of a new one."),
]
Publish = Annotated[
    bool, typer.Option(help="Serve the result when it is done.", rich_help_panel=PUBLISHING_PANEL)
]
OverrideGate = Annotated[
    str | None,
    typer.Option(
        metavar="REASON",
        help="Publish it even if the gate rejects it, and put on record why (3 to 500 signs).",
        rich_help_panel=PUBLISHING_PANEL,
    ),
]
WarmStart = Annotated[
    bool,
    typer.Option(
        "--warm-start",
        help="Start from the served vectors, in about half the steps.",
        rich_help_panel=MODEL_PANEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="auto|cpu|cuda", help="cuda: on a worker of the GPUs' queue.", rich_help_panel=MODEL_PANEL
    ),
]
CURVE = ("step", "loss", "ndcg@10", "recall@10", "auc", "step_ms", "peak_mb", "peak_gpu_mb", "seconds")
"""What is shown of each validation of a run."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        rich_help_panel="Models",
        epilog="Examples: lsec train --since 2026-01-01 --category beauty · lsec train --no-wait · "
        "lsec train --model het-gcn --no-publish · lsec train --preset spring --set temperature=0.3 · "
        "lsec train --follow trn_… · lsec train --cancel trn_… · lsec train --logs trn_…",
    )(train)


def _instead(help_text: str) -> Any:
    """An option that takes a training that is there."""
    return typer.Option(metavar="ID", help=help_text, rich_help_panel=INSTEAD_PANEL)


def train(
    *,
    since: Since = None,
    until: Until = None,
    category: Categories = None,
    streamer: Streamers = None,
    min_purchases: Annotated[int, typer.Option(min=1, help="Only users with so many purchases.")] = 1,
    snapshot: SnapshotToUse = None,
    model: Model = None,
    settings: Set = None,
    preset: PresetName = None,
    seed: Seed = 0,
    publish: Publish = True,
    override_gate: OverrideGate = None,
    warm_start: WarmStart = False,
    device: Device = None,
    reason: Annotated[str | None, typer.Option(help="Why; it stands on the run.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show the progress until the end.")] = True,
    follow: Annotated[str | None, _instead("Show a running training.")] = None,
    cancel: Annotated[str | None, _instead("Stop a running training.")] = None,
    logs: Annotated[str | None, _instead("Print a training's log.")] = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Train on the graph, or a chosen part of it, and publish the scores. Ctrl-C leaves the run going."""
    with connect(url, key) as client:
        if logs is not None:
            typer.echo(client.training_log(logs), nl=False)
            return
        if cancel is not None:
            show(client.cancel_training(cancel), as_json=as_json)
            return
        if follow is not None:
            run = client.training(follow)
        else:
            run = client.train(
                **_scope(since, until, category, streamer, min_purchases),
                snapshot=snapshot,
                model=model,
                seed=seed,
                publish=publish,
                override_gate=override_gate,
                warm_start=warm_start,
                device=device,
                reason=reason,
                hyperparameters=parse_settings(settings or ()),
                preset=preset,
            )
        if wait:
            run = watch(client, run)
    show(run, as_json=as_json)
    if wait:
        require_success(run, as_json=as_json)


def _scope(
    since: datetime | None,
    until: datetime | None,
    categories: list[str] | None,
    streamers: list[str] | None,
    min_purchases: int,
) -> dict[str, Any]:
    """Which part of the graph is asked for."""
    window = {"since": in_utc(since), "until": in_utc(until), "min_purchases": min_purchases}
    return window | {"categories": categories or (), "streamers": streamers or ()}


def watch(client: Client, run: Training) -> Training:
    """Shows the run's progress, with a line for each validation; its last state."""
    err.print(f"Training {run.id}; Ctrl-C leaves it going, `lsec train --cancel {run.id}` stops it.")
    last_step = 0
    with percentage(run.phase or run.status) as bar:
        for state in client.training_progress(run.id):
            new = [each for each in validations(state) if each.get("step", 0) > last_step]
            for each in new:
                err.print(validation_line(each), markup=False)
                last_step = each.get("step", 0)
            left = f"{state.eta_s:.0f} s left " if state.eta_s and not state.is_final else ""
            bar(state.percent, label=state.phase or state.status, message=f"{left}{state.message}")
            run = state
    return run


def validations(run: Training) -> list[dict[str, Any]]:
    """The run's curve so far, oldest first."""
    found = run.metrics.get("validations")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def validation_line(validation: dict[str, Any]) -> str:
    """The figures of one validation in a line."""
    return "  ".join(f"{name} {shown(validation[name])}" for name in CURVE if name in validation)


def require_success(run: Training, *, as_json: bool) -> None:
    """LsecError with the reason if a run did not succeed; as JSON the run itself, already shown, has it."""
    if run.status == "succeeded":
        return
    if run.status == "rejected":
        error = LsecError(
            f"Training {run.id} was rejected, and nothing is published: {run.error}",
            remedy=f"Publish it all the same with `lsec releases promote {run.release_id}` and --override "
            "REASON, or train again with --override-gate REASON.",
        )
    else:
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
    if run.reason:
        out.print(f"Why: {'; '.join(run.reason.splitlines())}", markup=False)
    told_apart = ("validations", "gate")
    print_mapping("Metrics", {name: value for name, value in run.metrics.items() if name not in told_apart})
    if curve := validations(run):
        names = [name for name in CURVE if any(name in each for each in curve)]
        print_table("Validations", names, [[each.get(name) for name in names] for each in curve])
    print_mapping("Seconds", run.timings_s)
    if gate := run.metrics.get("gate"):
        show_gate(gate)


def show_gate(gate: Mapping[str, Any]) -> None:
    """Prints the gate's verdict: each check with what it found."""
    rows = [
        (check["name"], "passed" if check["is_passed"] else "failed", check["value"], check["detail"])
        for check in gate["checks"]
    ]
    print_table(f"Gate: {gate_outcome(gate)}", ("check", "", "value", "found"), rows)


def gate_outcome(gate: Mapping[str, Any]) -> str:
    """The verdict in words."""
    if gate["is_passed"]:
        return "passed"
    override = gate.get("override")
    return f"overridden ({override['reason']})" if override else "not passed"
