"""Commands on releases: list and show them, compare two, fetch what they hold."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, ReleaseId, Url, connect
from lsec.cli.output import err, out, print_json, print_mapping, print_table
from lsec.cli.release_changes import app as changes
from lsec.client.answers import Comparison, Release

app = typer.Typer(help="Releases: trained models that can be served.", no_args_is_help=True)

GATE = {True: "passed", False: "not passed", None: "not judged"}


@app.command("list", epilog="Example: lsec releases list --state kept")
def list_releases(
    *,
    state: Annotated[
        str | None, typer.Option(help="Only active, published, publishing, kept or deleted ones.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only those of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 100,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """List releases, the newest first; the champion is served."""
    with connect(url, key) as client:
        answer = client.releases(state=state, model=model, limit=limit)
    if as_json:
        print_json(answer)
        return
    print_table(
        "Releases",
        ("release", "state", "alias", "model", "gate", "NDCG@10", "pinned", "created", "published"),
        [
            (
                each.id,
                _state(each),
                ", ".join(each.aliases),
                each.model,
                _gate(each),
                _ndcg(each),
                each.is_kept,
                each.created_at,
                each.published_at,
            )
            for each in answer.releases
        ],
    )


def _state(release: Release) -> str:
    return f"publishing {release.percent:.0f} %" if release.state == "publishing" else release.state


def _gate(release: Release) -> str:
    verdict = GATE[release.gate.get("is_passed")]
    return f"{verdict}, overridden" if release.gate.get("override") else verdict


def _ndcg(release: Release) -> float | None:
    value = release.metrics.get("ndcg@10")
    return float(value) if isinstance(value, int | float) else None


@app.command(epilog="Example: lsec releases show rel_… --json")
def show(release: ReleaseId, *, as_json: Json = False, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Show a release: what it is, what it was made of, what it measured, what the gate said."""
    with connect(url, key) as client:
        answer = client.release(release)
    if as_json:
        print_json(answer)
        return
    out.print(
        f"Release {answer.id} ({answer.model}, {_state(answer)}) of training {answer.training_id}.",
        markup=False,
    )
    if answer.promotion_error:
        out.print(f"Its last promotion came to nothing: {answer.promotion_error}", markup=False)
    made = ("created_at", "published_at", "deleted_at", "requested_by", "num_bytes", "is_kept", "aliases")
    origin = ("snapshot_sha256", "code_version", "seed")
    print_mapping("Release", {name: getattr(answer, name) for name in (*made, *origin)})
    print_mapping("Metrics", answer.metrics)
    print_mapping("Counts", answer.counts)
    print_mapping("Hyperparameters", answer.hyperparameters)
    _print_gate(answer)


def _print_gate(release: Release) -> None:
    columns = ("name", "value", "bound", "is_passed", "detail")
    checks = [tuple(check.get(name) for name in columns) for check in release.gate.get("checks", [])]
    print_table(f"Gate: {_gate(release)}", ("check", "value", "bound", "passed", ""), checks)


@app.command(epilog="Example: lsec releases compare rel_… rel_… --user u1")
def compare(
    release: ReleaseId,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Id of another release.")],
    *,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="The first so many of each slate.")] = 10,
    user: Annotated[str | None, typer.Option(help="Also show this user's two slates.")] = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Compare two releases: their metrics, their slates, and one user's."""
    with connect(url, key) as client:
        answer = client.compare_releases(release, other, k=k, user_id=user)
    if as_json:
        print_json(answer)
        return
    _print_comparison(answer)


def _print_comparison(answer: Comparison) -> None:
    columns = ("metric", answer.release_id, answer.other_id, "difference")
    print_table("Metrics", columns, [(m.name, m.value, m.other, m.difference) for m in answer.metrics])
    slates = answer.overlap
    whose = "a sample of the users" if slates.is_sampled else "the users"
    print_mapping(
        f"The first {slates.k} products of {whose} that both know",
        {
            "users known to both": slates.num_common_users,
            "users compared": slates.num_compared_users,
            "mean Jaccard index": slates.mean_jaccard,
            "share with the same first product": slates.same_first_share,
            f"coverage of {answer.release_id}": slates.coverage,
            f"coverage of {answer.other_id}": slates.other_coverage,
        },
    )
    if answer.user is not None:
        print_table(
            f"Slates of {answer.user.user_id}",
            ("product", "place", "other place", "score", "other score"),
            [(m.product_id, m.place, m.other_place, m.score, m.other_score) for m in answer.user.products],
        )


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


@app.command(epilog="Example: lsec releases card rel_… --out card.md")
def card(
    release: ReleaseId,
    *,
    file: Annotated[Path | None, typer.Option("--out", help="Write to a file.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Print the model card, in Markdown."""
    with connect(url, key) as client:
        text = client.release_card(release)
    if file:
        file.write_text(text)
    else:
        typer.echo(text)


@app.command(epilog="Example: lsec releases download rel_… --out rel.tar && tar -xf rel.tar")
def download(
    release: ReleaseId,
    *,
    file: Annotated[Path | None, typer.Option("--out", help="Where to; by default RELEASE.tar.")] = None,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Fetch the artifact as a tar archive, with SHA256SUMS in it; it holds data about people."""
    target = file or Path(f"{release}.tar")
    partial = target.with_name(f"{target.name}.partial")
    with connect(url, key) as client:
        num_bytes = _write(client.release_artifact(release), partial)
    partial.replace(target)
    err.print(f"{num_bytes:,} bytes written to {target}.", markup=False)


def _write(chunks: Iterator[bytes], path: Path) -> int:
    try:
        with path.open("wb") as target:
            return sum(target.write(chunk) for chunk in chunks)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


app.registered_commands += changes.registered_commands
