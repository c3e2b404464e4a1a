"""What the influence commands share: their options, and how they tell and draw an answer."""

from pathlib import Path
from typing import Annotated

import typer

from lsec.cli.influence_plots import plot
from lsec.cli.output import err, out, print_json, print_table
from lsec.client.answers import Table

Limit = Annotated[int, typer.Option(min=1, max=1000, help="Most rows.")]
ManyRows = Annotated[int, typer.Option(min=1, max=10_000, help="Most rows.")]
Category = Annotated[str | None, typer.Option(help="Only products of this category.")]
Cursor = Annotated[str | None, typer.Option(help="Go on after the rows that ended with it.")]
MinBuyers = Annotated[int, typer.Option(min=0, help="Only rows with so many buyers.")]
MinShared = Annotated[int, typer.Option(min=1, help="Only those who share so many with the one asked about.")]
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


def show(table: Table, *, as_json: bool, plot_file: Path | None = None) -> None:
    """Prints the result of a named query, and draws it if that is asked; JSON has all of its columns."""
    draw(table, plot_file)
    names = LEADERBOARD_COLUMNS if table.query == "leaderboard" else tuple(table.columns)
    if as_json:
        print_json(table)
    elif table.rows:
        print_table(table.query, names, [[row[name] for name in names] for row in table.rows])
        tell_next(table)
    else:
        out.print(f"{table.query}: no rows.", markup=False)


def draw(table: Table, plot_file: Path | None) -> None:
    """Draws the answer into the file, if there is one."""
    if plot_file is not None:
        plot_file.write_text(plot(table), encoding="utf-8")
        err.print(f"Drawn: {plot_file}", markup=False, soft_wrap=True)


def tell_next(table: Table) -> None:
    """Says how to go on, where there are more rows."""
    if table.next is not None:
        err.print(f"There are more: --cursor {table.next}", markup=False, soft_wrap=True)
