"""Commands on snapshots of the graph: list, show, create, keep, delete."""

from typing import Annotated

import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Since, Until, Url, connect, in_utc
from lsec.cli.output import err, out, percentage, print_error, print_json, print_mapping, print_table
from lsec.cli.training import Categories, Streamers
from lsec.client import Client
from lsec.client.snapshot_routes import Snapshot
from lsec.core.errors import LsecError

app = typer.Typer(help="Snapshots: exported parts of the graph, which trainings read.", no_args_is_help=True)

SnapshotId = Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Id of a snapshot.")]
STEP_S = 1.0


@app.command("list", epilog="Example: lsec snapshots list")
def list_snapshots(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="So many at most.")] = 100,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List the newest snapshots."""
    with connect(url, key) as client:
        answer = client.snapshots(limit=limit)
    if as_json:
        print_json(answer)
        return
    print_table(
        "Snapshots",
        ("snapshot", "state", "kept", "purchases", "bytes", "training", "created"),
        [
            (s.id, s.state, s.is_kept, s.counts.get("buys"), s.num_bytes, s.training_id, s.created_at)
            for s in answer.snapshots
        ],
    )


@app.command(epilog="Example: lsec snapshots show snp_… --json")
def show(snapshot: SnapshotId, *, as_json: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show a snapshot: its scope, up to which batch it goes, and what it holds."""
    with connect(url, key) as client:
        answer = client.snapshot(snapshot)
    _show(answer, as_json=as_json)


@app.command(
    epilog="Examples: lsec snapshots create --since 2026-01-01 · lsec snapshots create --category beauty "
    "--min-purchases 3 · then: lsec train --snapshot snp_…"
)
def create(
    *,
    since: Since = None,
    until: Until = None,
    category: Categories = None,
    streamer: Streamers = None,
    min_purchases: Annotated[int, typer.Option(min=1, help="Only users with so many purchases.")] = 1,
    keep: Annotated[bool, typer.Option(help="Keep it until it is deleted by hand.")] = True,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show the progress until the end.")] = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Export the graph, or a chosen part of it, for trainings to use. Ctrl-C leaves the export going."""
    with connect(url, key) as client:
        snapshot = client.create_snapshot(
            since=in_utc(since),
            until=in_utc(until),
            categories=category or (),
            streamers=streamer or (),
            min_purchases=min_purchases,
            keep=keep,
        )
        if wait:
            snapshot = _watch(client, snapshot)
    _show(snapshot, as_json=as_json)
    if snapshot.state == "failed":
        error = LsecError(f"Snapshot {snapshot.id} failed: {snapshot.error}")
        if not as_json:
            raise error
        print_error(error)
        raise typer.Exit(1)


@app.command(epilog="Example: lsec snapshots keep snp_…")
def keep(snapshot: SnapshotId, *, as_json: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Keep a snapshot that retention would delete, until it is deleted by hand."""
    with connect(url, key) as client:
        answer = client.keep_snapshot(snapshot)
    _show(answer, as_json=as_json)


@app.command(epilog="Example: lsec snapshots delete snp_…")
def delete(snapshot: SnapshotId, *, as_json: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Delete a snapshot, kept or not. One that a training uses stays."""
    with connect(url, key) as client:
        answer = client.delete_snapshot(snapshot)
    if as_json:
        print_json(answer)
    else:
        out.print(f"Snapshot {answer.id} is deleted.", markup=False)


def _watch(client: Client, snapshot: Snapshot) -> Snapshot:
    err.print(f"Snapshot {snapshot.id}; Ctrl-C leaves its export going.")
    with percentage("export") as bar:
        while snapshot.state == "exporting":
            snapshot = client.wait_until_exported(snapshot.id, timeout_s=STEP_S)
            bar(snapshot.percent, label=snapshot.state, message="")
    return snapshot


def _show(snapshot: Snapshot, *, as_json: bool) -> None:
    if as_json:
        print_json(snapshot)
        return
    kept = ", kept" if snapshot.is_kept else ""
    of_run = f" of training {snapshot.training_id}" if snapshot.training_id else ""
    out.print(f"Snapshot {snapshot.id}{of_run}: {snapshot.state}{kept}.", markup=False)
    print_mapping("Scope", {name: value for name, value in snapshot.scope.items() if value})
    print_mapping("Counts", snapshot.counts)
    print_mapping("Last batch", {f"shard {each['shard']}": each["seq"] for each in snapshot.positions})
    if snapshot.sha256:
        print_mapping("Files", {"bytes": snapshot.num_bytes, "sha256": snapshot.sha256})
