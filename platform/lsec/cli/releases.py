"""Commands on releases: list them, show one, fetch its slates."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Url, connect
from lsec.cli.output import err, out, print_json, print_mapping, print_table

app = typer.Typer(help="Releases: trained models that can be served.", no_args_is_help=True)

ReleaseId = Annotated[str, typer.Argument(metavar="RELEASE", help="Id of a release.")]


@app.command("list", epilog="Example: lsec releases list")
def list_releases(*, as_json: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """List all releases; the active one is served."""
    with connect(url, key) as client:
        answer = client.releases()
    if as_json:
        print_json(answer)
        return
    print_table(
        "Releases",
        ("release", "active", "model", "created", "published"),
        [(each.id, each.active, each.model, each.created_at, each.published_at) for each in answer.releases],
    )


@app.command(epilog="Example: lsec releases show rel_… --json")
def show(release: ReleaseId, *, as_json: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show a release with what it measured."""
    with connect(url, key) as client:
        answer = client.release(release)
    if as_json:
        print_json(answer)
        return
    active = "active" if answer.active else "not active"
    out.print(
        f"Release {answer.id} ({answer.model}, {active}) of training {answer.training_id}.", markup=False
    )
    print_mapping("Metrics", answer.metrics)
    print_mapping("Counts", answer.counts)


@app.command(epilog="Example: lsec releases slates rel_… --out slates.ndjson")
def slates(
    release: ReleaseId,
    *,
    file: Annotated[Path | None, typer.Option("--out", help="Write to a file.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Write every user's slate as NDJSON, for mail and push."""
    encode = msgspec.json.Encoder().encode
    output = nullcontext(typer.get_binary_stream("stdout"))
    with connect(url, key) as client, file.open("wb") if file else output as target:
        num_bytes = sum(target.write(encode(slate) + b"\n") for slate in client.slates(release))
    if file:
        err.print(f"{num_bytes:,} bytes of slates written to {file}.", markup=False)
