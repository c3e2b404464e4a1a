"""Commands that ask who influences whom."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from lsec.cli.influence_plots import by_streamer, plot
from lsec.cli.options import (
    DEFAULT_URL,
    TIME_FORMATS,
    Json,
    Key,
    Since,
    Until,
    Url,
    connect,
    in_utc,
    zoned,
)
from lsec.cli.output import err, out, print_json, print_mapping, print_table
from lsec.client.answers import Table

app = typer.Typer(help="Influence: who drives purchases, by named queries.", no_args_is_help=True)

Limit = Annotated[int, typer.Option(min=1, max=1000, help="Most rows.")]
ManyRows = Annotated[int, typer.Option(min=1, max=10_000, help="Most rows.")]
Category = Annotated[str | None, typer.Option(help="Only products of this category.")]
Cursor = Annotated[str | None, typer.Option(help="Go on after the rows that ended with it.")]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE.svg", dir_okay=False, help="Draw the answer into this file too."),
]
LEADERBOARD_COLUMNS = (
    "streamer_id",
    "name",
    "reach",
    "click_rate",
    "view_to_cart",
    "buyers",
    "purchases",
    "amount",
    "average_order",
    "new_followers",
    "repeat_rate",
)
"""Those of which a terminal has room for; --json has all."""


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


@app.command(epilog="Example: lsec influence attribution --window 24h --model linear --model markov")
def attribution(
    *,
    since: Since = None,
    until: Until = None,
    window: Annotated[
        str, typer.Option(help="How far back a touch counts: in_stream, or a time such as 24h or 7d.")
    ] = "7d",
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="first_touch, last_touch, linear, time_decay, position_based or markov; may be given "
            "again. All by default."
        ),
    ] = None,
    half_life: Annotated[str, typer.Option(help="Of a touch under time decay, such as 12h.")] = "1d",
    category: Category = None,
    min_purchases: Annotated[
        float, typer.Option(min=0, help="Only streamers whom a model gives the credit for so many.")
    ] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most streamers.")] = 20,
    cursor: Cursor = None,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Share the credit for purchases over the streamers before them, by several models side by side."""
    with connect(url, key) as client:
        table = client.attribution(
            since=in_utc(since),
            until=in_utc(until),
            window=window,
            models=model or (),
            half_life=half_life,
            category=category,
            min_purchases=min_purchases,
            limit=limit,
            cursor=cursor,
        )
    _draw(table, plot_file)
    if as_json:
        print_json(table)
        return
    models = list(dict.fromkeys(row["model"] for row in table.rows))
    for column in ("purchases", "amount"):
        rows = [
            (row["streamer_id"] or "-", row["name"], *(of_model[name] for name in models))
            for row, of_model in by_streamer(table, column)
        ]
        print_table(f"{column} without refunds, by model", ("streamer_id", "name", *models), rows)
    _tell_next(table)


@app.command(
    epilog="Example: lsec influence lift streamer-3 --since 2025-06-11 --until 2025-06-14 --known 1w"
)
def lift(
    streamer: Annotated[str, typer.Argument(help="Id of a streamer.")],
    *,
    since: Annotated[datetime, typer.Option(formats=TIME_FORMATS, help="Who watched from then on (UTC)...")],
    until: Annotated[datetime, typer.Option(formats=TIME_FORMATS, help="...and before then is exposed.")],
    known: Annotated[str, typer.Option(help="Length of the time from which users are known.")] = "4w",
    placebo: Annotated[
        str | None, typer.Option(help="Length of the time before, where no effect can be; as the window's.")
    ] = None,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Estimate what watching a streamer added to purchases, against comparable users, with a placebo."""
    with connect(url, key) as client:
        table = client.lift(streamer, since=zoned(since), until=zoned(until), known=known, placebo=placebo)
    show(table, as_json=as_json, plot_file=plot_file)
    if not as_json:
        counts = {name: value for name, value in table.details.items() if isinstance(value, int | float)}
        print_mapping("compared", counts)
        for reason in table.details.get("reasons", []):
            out.print(f"Do not believe it: {reason}.", markup=False, soft_wrap=True)


@app.command("product-streamers", epilog="Example: lsec influence product-streamers product-12")
def product_streamers(
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show the streamers behind one product."""
    with connect(url, key) as client:
        table = client.product_streamers(product, since=in_utc(since), until=in_utc(until), limit=limit)
    show(table, as_json=as_json, plot_file=plot_file)


@app.command(epilog="Example: lsec influence spread product-12 --plot spread.svg")
def spread(
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    since: Since = None,
    until: Until = None,
    limit: ManyRows = 1000,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show how a product spreads over streamers and days."""
    with connect(url, key) as client:
        table = client.spread(product, since=in_utc(since), until=in_utc(until), limit=limit)
    show(table, as_json=as_json, plot_file=plot_file)


@app.command(epilog="Example: lsec influence funnel stream-3 --plot funnel.svg")
def funnel(
    stream: Annotated[str, typer.Argument(help="Id of a stream.")],
    *,
    since: Since = None,
    until: Until = None,
    limit: ManyRows = 1440,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show a stream minute by minute: who joined, views, carts, purchases."""
    with connect(url, key) as client:
        table = client.funnel(stream, since=in_utc(since), until=in_utc(until), limit=limit)
    show(table, as_json=as_json, plot_file=plot_file)


@app.command(epilog="Example: lsec influence influencers user-1")
def influencers(
    user: Annotated[str, typer.Argument(help="Id of a user.")],
    *,
    since: Since = None,
    until: Until = None,
    category: Category = None,
    limit: Limit = 20,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show the streamers behind a user's purchases."""
    with connect(url, key) as client:
        table = client.influencers(
            user, since=in_utc(since), until=in_utc(until), category=category, limit=limit
        )
    show(table, as_json=as_json, plot_file=plot_file)


@app.command(epilog="Example: lsec influence paths user-1 product-12 --json")
def paths(
    user: Annotated[str, typer.Argument(help="Id of a user.")],
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    limit: Limit = 20,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show the ways in the graph from a user to a product."""
    with connect(url, key) as client:
        table = client.paths(user, product, limit=limit)
    show(table, as_json=as_json, plot_file=plot_file)


def show(table: Table, *, as_json: bool, plot_file: Path | None = None) -> None:
    """Prints the result of a named query, and draws it if that is asked; JSON has all of its columns."""
    _draw(table, plot_file)
    names = LEADERBOARD_COLUMNS if table.query == "leaderboard" else tuple(table.columns)
    if as_json:
        print_json(table)
    elif table.rows:
        print_table(table.query, names, [[row[name] for name in names] for row in table.rows])
        _tell_next(table)
    else:
        out.print(f"{table.query}: no rows.", markup=False)


def _draw(table: Table, plot_file: Path | None) -> None:
    if plot_file is not None:
        plot_file.write_text(plot(table), encoding="utf-8")
        err.print(f"Drawn: {plot_file}", markup=False, soft_wrap=True)


def _tell_next(table: Table) -> None:
    if table.next is not None:
        err.print(f"There are more: --cursor {table.next}", markup=False, soft_wrap=True)
