"""The command that fetches recommendations."""

from typing import Annotated

import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Url, connect
from lsec.cli.output import print_line, print_table
from lsec.client.answers import Recommendations


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(rich_help_panel="Models", epilog="Example: lsec recommend user-1 user-2 -k 5 --json")(
        recommend
    )


def recommend(
    users: Annotated[list[str], typer.Argument(help="Ids of users.")],
    *,
    k: Annotated[int, typer.Option("-k", min=1, help="How many products.")] = 10,
    include_bought: Annotated[
        bool, typer.Option("--include-bought", help="Also what the user has bought already.")
    ] = False,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """What users should see, with the reason for each product. `--json` prints one line a user."""
    with connect(url, key) as client:
        for user in users:
            answer = client.recommendations(user, k=k, include_bought=include_bought)
            if as_json:
                print_line(answer)
            else:
                show(answer)


def show(answer: Recommendations) -> None:
    """Prints one user's recommendations."""
    source = f"release {answer.release_id}" if answer.release_id else "no release yet"
    print_table(
        f"{answer.user_id} · {answer.source} · {source}",
        ("product", "score", "because"),
        [(each.product_id, each.score, each.reason.text if each.reason else "") for each in answer.products],
    )
