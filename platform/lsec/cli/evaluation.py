"""The command that scores held-out candidate lists from a release's artifact."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lsec.cli.options import Json
from lsec.cli.output import out, print_json, print_table
from lsec.client.paper_layout import read_candidates
from lsec.core.artifact import open_artifact
from lsec.core.errors import InvalidInput
from lsec.core.list_evaluation import evaluate_lists
from lsec.core.settings import load_settings

NAMES = {
    "auc": "AUC",
    "mrr": "MRR",
    "ndcg@10": "NDCG@10",
    "ndcg@50": "NDCG@50",
    "recall@10": "Recall@10",
    "recall@50": "Recall@50",
}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        rich_help_panel="Models",
        epilog="Example: lsec evaluate --release rel_… --lists data/lastfm/test/user-item-buy.tsv.gz",
    )(evaluate)


def evaluate(
    *,
    release: Annotated[str, typer.Option(help="Id of a release; `lsec releases list` shows them.")],
    lists: Annotated[
        list[Path], typer.Option(help="TSV of user, item, value (0 or 1), plain or .gz; may be repeated.")
    ],
    as_json: Json = False,
) -> None:
    """Score held-out candidate lists from a release's artifact, which lies on the server."""
    if Path(release).name != release:
        raise InvalidInput(f"{release!r} is no id of a release.")
    started = time.monotonic()
    artifact = open_artifact(load_settings().artifacts_path / release)
    results = []
    for path in lists:
        rows = list(read_candidates(path))
        result = evaluate_lists(
            artifact,
            [row.user_id for row in rows],
            [row.product_id for row in rows],
            [row.is_positive for row in rows],
        )
        if not result.num_lists:
            raise InvalidInput(f"{path} has no user with both a bought and another product.")
        results.append((path, result))
    seconds = round(time.monotonic() - started, 2)
    if as_json:
        each = [{"lists": str(path), **asdict(result)} for path, result in results]
        print_json({"release_id": release, "seconds": seconds, "results": each})
        return
    rows_shown = [(path, *(result.metrics[name] for name in NAMES)) for path, result in results]
    print_table(f"Release {release}", ("lists", *NAMES.values()), rows_shown)
    for path, result in results:
        out.print(
            f"{path}: {result.num_lists:,} lists, "
            f"{result.num_users_by_popularity:,} of them ranked by popularity, "
            f"{result.num_unknown_products:,} products unknown to the release.",
            markup=False,
        )
    out.print(f"{seconds} s")
