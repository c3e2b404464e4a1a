"""Commands that ask who influences whom: counts of what the graph holds. The estimates are beside them."""

from typing import Annotated

import typer

from lsec.cli import influence_estimates
from lsec.cli.influence_output import Category, Cursor, Limit, ManyRows, MinBuyers, MinShared, Plot, show
from lsec.cli.options import DEFAULT_URL, Json, Key, Since, Until, Url, connect, in_utc

app = typer.Typer(help="Influence: who drives purchases, by named queries.", no_args_is_help=True)


@app.command(epilog="Example: lsec influence leaderboard --category beauty --limit 5 --plot board.svg")
def leaderboard(
    *,
    since: Since = None,
    until: Until = None,
    category: Category = None,
    min_buyers: Annotated[int, typer.Option(min=1, help="Only streamers with so many buyers.")] = 1,
    limit: Limit = 20,
    cursor: Cursor = None,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Rank streamers by buyers, with reach, rates from view to purchase, amount, refunds and followers."""
    with connect(url, key) as client:
        table = client.leaderboard(
            since=in_utc(since),
            until=in_utc(until),
            category=category,
            min_buyers=min_buyers,
            limit=limit,
            cursor=cursor,
        )
    show(table, as_json=as_json, plot_file=plot_file)


@app.command("product-streamers", epilog="Example: lsec influence product-streamers product-12")
def product_streamers(
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    since: Since = None,
    until: Until = None,
    min_buyers: MinBuyers = 0,
    limit: Limit = 20,
    cursor: Cursor = None,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show the streamers behind one product."""
    with connect(url, key) as client:
        table = client.product_streamers(
            product,
            since=in_utc(since),
            until=in_utc(until),
            min_buyers=min_buyers,
            limit=limit,
            cursor=cursor,
        )
    show(table, as_json=as_json, plot_file=plot_file)


@app.command(epilog="Example: lsec influence spread product-12 --plot spread.svg")
def spread(
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    since: Since = None,
    until: Until = None,
    min_buyers: MinBuyers = 0,
    limit: ManyRows = 1000,
    cursor: Cursor = None,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show how a product spreads over streamers and days."""
    with connect(url, key) as client:
        table = client.spread(
            product,
            since=in_utc(since),
            until=in_utc(until),
            min_buyers=min_buyers,
            limit=limit,
            cursor=cursor,
        )
    show(table, as_json=as_json, plot_file=plot_file)


@app.command(epilog="Example: lsec influence funnel stream-3 --plot funnel.svg")
def funnel(
    stream: Annotated[str, typer.Argument(help="Id of a stream.")],
    *,
    since: Since = None,
    until: Until = None,
    limit: ManyRows = 1440,
    cursor: Cursor = None,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show a stream minute by minute: who joined, views, carts, purchases."""
    with connect(url, key) as client:
        table = client.funnel(stream, since=in_utc(since), until=in_utc(until), limit=limit, cursor=cursor)
    show(table, as_json=as_json, plot_file=plot_file)


@app.command(epilog="Example: lsec influence influencers user-1")
def influencers(
    user: Annotated[str, typer.Argument(help="Id of a user.")],
    *,
    since: Since = None,
    until: Until = None,
    category: Category = None,
    min_purchases: Annotated[int, typer.Option(min=0, help="Only streamers of so many purchases.")] = 0,
    limit: Limit = 20,
    cursor: Cursor = None,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show the streamers behind a user's purchases."""
    with connect(url, key) as client:
        table = client.influencers(
            user,
            since=in_utc(since),
            until=in_utc(until),
            category=category,
            min_purchases=min_purchases,
            limit=limit,
            cursor=cursor,
        )
    show(table, as_json=as_json, plot_file=plot_file)


@app.command(epilog="Example: lsec influence paths user-1 product-12 --json")
def paths(
    user: Annotated[str, typer.Argument(help="Id of a user.")],
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    since: Since = None,
    until: Until = None,
    min_shared: MinShared = 1,
    limit: Limit = 20,
    cursor: Cursor = None,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show the ways in the graph from a user to a product."""
    with connect(url, key) as client:
        table = client.paths(
            user,
            product,
            since=in_utc(since),
            until=in_utc(until),
            min_shared=min_shared,
            limit=limit,
            cursor=cursor,
        )
    show(table, as_json=as_json, plot_file=plot_file)


influence_estimates.register(app)
