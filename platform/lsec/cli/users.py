"""Commands on people's data: erase it, show it, follow erasures."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Url, connect
from lsec.cli.output import err, out, print_json, print_table
from lsec.client.answers import Erasure

app = typer.Typer(help="People's data: erase it, or show all that is held.", no_args_is_help=True)

UserId = Annotated[str, typer.Argument(metavar="USER_ID", help="Id of a user.")]
STATES = {
    "accepted": "accepted, and hidden from now on",
    "in_graph": "gone from the graph",
    "done": "done",
}


@app.command(epilog="Example: lsec users erase user-1 --wait")
def erase(
    user_id: UserId,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until nothing holds the user any more.")] = False,
    timeout_s: Annotated[float, typer.Option(min=0, help="Wait so long at most.")] = 3600.0,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Erase all that a user did up to the end of this UTC day. It cannot be undone."""
    with connect(url, key) as client:
        if not yes:
            typer.confirm(f"Erase all data of {user_id}? It cannot be undone", abort=True, err=True)
        erasure = client.erase_user(user_id)
        if wait and not erasure.is_done:
            err.print(f"Erasure {erasure.id}; Ctrl-C leaves it going.", markup=False)
            erasure = client.wait_until_erased(erasure.id, timeout_s=timeout_s)
    show(erasure, as_json=as_json)
    if wait and not erasure.is_done:
        raise typer.Exit(1)


@app.command(epilog="Example: lsec users data user-1 --out user-1.json")
def data(
    user_id: UserId,
    *,
    file: Annotated[Path | None, typer.Option("--out", help="Write to a file.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show all that is held about a user, as JSON: graph, log, dead letters, erasures, artifacts."""
    with connect(url, key) as client:
        found = client.user_data(user_id)
    if file is None:
        print_json(found)
        return
    file.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    err.print(f"What is held about {user_id} is in {file}.", markup=False)


@app.command(epilog="Example: lsec users erasures --json")
def erasures(
    erasure_id: Annotated[
        str | None, typer.Argument(metavar="[ERASURE_ID]", help="Only this one.", show_default="all")
    ] = None,
    *,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List erasures, the newest first, and what they wait for."""
    with connect(url, key) as client:
        if erasure_id is not None:
            show(client.erasure(erasure_id), as_json=as_json)
            return
        found = client.erasures()
    if as_json:
        print_json(found)
        return
    print_table(
        "Erasures",
        ("erasure", "state", "user", "requested", "done", "waits for"),
        [
            (each.id, each.state, each.user_id, each.requested_at, each.done_at, "; ".join(each.waiting_for))
            for each in found.erasures
        ],
    )


def show(erasure: Erasure, *, as_json: bool) -> None:
    """Prints an erasure: its state, and what it waits for."""
    if as_json:
        print_json(erasure)
        return
    out.print(f"Erasure {erasure.id}: {STATES.get(erasure.state, erasure.state)}.", markup=False)
    for reason in erasure.waiting_for:
        out.print(f"Still waits for {reason}.", markup=False)
