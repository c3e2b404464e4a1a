"""Commands that ask who influences whom."""

from typing import Annotated

import typer

from lsec.cli.options import DEFAULT_URL, Json, Key, Since, Until, Url, connect, in_utc
from lsec.cli.output import out, print_json, print_table
from lsec.client.answers import Table

app = typer.Typer(help="Influence: who drives purchases, by named queries.", no_args_is_help=True)

Limit = Annotated[int, typer.Option(min=1, max=1000, help="Most rows.")]


@app.command(epilog="Example: lsec influence leaderboard --category beauty --limit 5")
def leaderboard(
    *,
    since: Since = None,
    until: Until = None,
    category: Annotated[str | None, typer.Option(help="Only products of this category.")] = None,
    min_buyers: Annotated[int, typer.Option(min=1, help="Only streamers with so many buyers.")] = 1,
    limit: Limit = 20,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Rank streamers by buyers, purchases, amount, and the share of buyers who follow them."""
    with connect(url, key) as client:
        table = client.leaderboard(
            since=in_utc(since), until=in_utc(until), category=category, min_buyers=min_buyers, limit=limit
        )
    show(table, as_json=as_json)


@app.command("product-streamers", epilog="Example: lsec influence product-streamers product-12")
def product_streamers(
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show the streamers behind one product."""
    with connect(url, key) as client:
        table = client.product_streamers(product, since=in_utc(since), until=in_utc(until), limit=limit)
    show(table, as_json=as_json)


@app.command(epilog="Example: lsec influence paths user-1 product-12 --json")
def paths(
    user: Annotated[str, typer.Argument(help="Id of a user.")],
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    limit: Limit = 20,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show the ways in the graph from a user to a product."""
    with connect(url, key) as client:
        table = client.paths(user, product, limit=limit)
    show(table, as_json=as_json)


def show(table: Table, *, as_json: bool) -> None:
    """Prints the result of a named query."""
    if as_json:
        print_json(table)
    elif table.rows:
        print_table(table.query, table.columns, [[row[name] for name in table.columns] for row in table.rows])
    else:
        out.print(f"{table.query}: no rows.", markup=False)
