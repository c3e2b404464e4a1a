"""Commands that change releases: promote, roll back, pin, delete."""

import time
from typing import Annotated

import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Reason, ReleaseId, Url, connect
from lsec.cli.output import out, percentage, print_json
from lsec.client import Client
from lsec.client.answers import Release
from lsec.core.errors import Conflict

app = typer.Typer()

POLL_S = 0.5
Expected = Annotated[str | None, typer.Option(help="Only if this release is active now.", metavar="RELEASE")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is active.")]


@app.command(epilog='Example: lsec releases promote rel_… --reason "the spring catalogue"')
def promote(
    release: ReleaseId,
    *,
    reason: Reason = "",
    override: Annotated[
        str | None, typer.Option(help="Why it may become active without having passed the gate.")
    ] = None,
    expected: Expected = None,
    wait: Wait = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Make a release active: at once, or as soon as its slates are in the graph."""
    with connect(url, key) as client:
        answer = client.promote_release(release, reason=reason, override=override, expected=expected)
        _print(_active(client, answer) if wait else answer, as_json=as_json)


@app.command(epilog='Example: lsec releases rollback --reason "conversions fell"')
def rollback(
    *,
    reason: Reason = "",
    expected: Expected = None,
    wait: Wait = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Make the release active that was before."""
    with connect(url, key) as client:
        answer = client.rollback_release(reason=reason, expected=expected)
        _print(_active(client, answer) if wait else answer, as_json=as_json)


def _active(client: Client, release: Release) -> Release:
    """The release once it is active; Conflict that says why it does not become so."""
    if release.state != "publishing":
        return release
    with percentage("publishing") as show:
        while release.state == "publishing":
            show(release.percent, label="publishing", message=release.id)
            time.sleep(POLL_S)
            release = client.release(release.id)
    if not release.active:
        raise Conflict(f"Release {release.id} is not active: {release.promotion_error or release.state}.")
    return release


@app.command(epilog="Example: lsec releases keep rel_… --reason audited")
def keep(
    release: ReleaseId,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Leave it to retention again.")] = False,
    reason: Reason = "",
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Pin a release: retention leaves its artifact alone."""
    with connect(url, key) as client:
        _print(client.keep_release(release, is_kept=not undo, reason=reason), as_json=as_json)


@app.command(epilog="Example: lsec releases delete rel_… --yes")
def delete(
    release: ReleaseId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Reason = "",
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Delete a release's slates, vectors and artifact; its record stays."""
    if not yes:
        typer.confirm(f"Delete release {release}? It cannot be undone", abort=True, err=True)
    with connect(url, key) as client:
        _print(client.delete_release(release, reason=reason), as_json=as_json)


def _print(release: Release, *, as_json: bool) -> None:
    if as_json:
        print_json(release)
    else:
        pinned = ", pinned" if release.is_kept else ""
        out.print(f"Release {release.id} is {release.state}{pinned}.", markup=False)
