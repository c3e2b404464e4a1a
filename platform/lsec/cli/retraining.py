"""Commands on retraining: when the platform trains by itself."""

import json
from typing import Annotated, Any

import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Url, connect
from lsec.cli.output import out, print_json, print_mapping
from lsec.client.retraining_answers import Retraining
from lsec.core.errors import InvalidInput

app = typer.Typer(help="Retraining: when the platform trains by itself.", no_args_is_help=True)


@app.command("show", epilog="Example: lsec retraining show")
def show_policy(*, as_json: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show the policy, and what the last look at the data found."""
    with connect(url, key) as client:
        show(client.retraining(), as_json=as_json)


@app.command("check", epilog="Example: lsec retraining check --json")
def check(*, as_json: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Look at the data now and say whether a training is due; none is asked for by that."""
    with connect(url, key) as client:
        show(client.check_retraining(), as_json=as_json)


@app.command(
    "set",
    epilog="Examples: lsec retraining set --enable --cron '0 3 * * *' · lsec retraining set --enable "
    "--min-new-share 0.1 --max-drift 0.05 · lsec retraining set --request '{\"min_purchases\": 2}' · "
    "lsec retraining set --disable",
)
def set_policy(
    *,
    enable: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it trains.")] = None,
    cron: Annotated[
        str | None, typer.Option(help="Minute, hour, day, month and weekday, in UTC; '' for no fixed times.")
    ] = None,
    min_new_share: Annotated[
        float | None, typer.Option(min=0, help="Due when so many purchases are new, as a share; 0: never.")
    ] = None,
    max_drift: Annotated[
        float | None, typer.Option(min=0, max=1, help="Due when the drift is past so many bits; 0: never.")
    ] = None,
    request: Annotated[
        str | None, typer.Option(metavar="JSON", help="What to train, as POST /v1/trainings takes it.")
    ] = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Change the policy; what is not given stays as it is."""
    given = {"is_enabled": enable, "cron": cron, "min_new_share": min_new_share, "max_drift": max_drift}
    wanted: dict[str, Any] = given | {"request": None if request is None else parse_request(request)}
    with connect(url, key) as client:
        policy = client.retraining()
        for name, value in wanted.items():
            if value is None:
                wanted[name] = getattr(policy, name)
        show(client.set_retraining(**wanted), as_json=as_json)


def parse_request(text: str) -> dict[str, Any]:
    """The object of a JSON text; InvalidInput if it is none."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"--request is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise InvalidInput("--request must be a JSON object.", remedy="Such as '{\"min_purchases\": 2}'.")
    return found


def show(policy: Retraining, *, as_json: bool) -> None:
    """Prints the policy and its verdict."""
    if as_json:
        print_json(policy)
        return
    state = "on" if policy.is_enabled else "off"
    times = f"at {policy.cron!r} (UTC)" if policy.cron else "at no fixed times"
    out.print(f"Retraining is {state}, {times}.", markup=False)
    bounds = {"new purchases, as a share": policy.min_new_share, "drift in bits": policy.max_drift}
    print_mapping("Due past (0: never)", bounds)
    if policy.request:
        print_mapping("What it trains", {name: value for name, value in policy.request.items() if value})
    if (verdict := policy.verdict) is None:
        return
    waits = f", but it waits for {verdict.waits_for}" if verdict.waits_for else ""
    due = "A training is due" if verdict.is_due else "No training is due"
    out.print(f"{due}: {verdict.reason}{waits}.", markup=False)
    figures = {
        "looked at": policy.checked_at,
        "release": verdict.release_id,
        "new purchases": verdict.num_new,
        "its purchases": verdict.num_known,
        "share": verdict.new_share,
        "drift beyond chance": verdict.drift,
        "drift by chance": verdict.drift_by_chance,
    }
    print_mapping("Last look", figures)
