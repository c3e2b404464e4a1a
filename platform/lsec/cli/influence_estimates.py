"""Commands of the estimates of influence: who deserves credit, what was added, whose audience is whose."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from lsec.cli.influence_output import Category, Cursor, Limit, MinShared, Plot, draw, show, tell_next
from lsec.cli.influence_plots import by_streamer
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
from lsec.cli.output import out, print_json, print_mapping, print_table
from lsec.cli.paper_data import paper_of_folder
from lsec.client.answers import Table
from lsec.core.errors import InvalidInput

EXAMPLES = {
    "attribution": "--window 24h --model linear --model markov",
    "lift": "streamer-3 --since 2025-06-11 --until 2025-06-14 --known 1w",
    "audience": "streamer-3 --with streamer-7",
    "seeds": "product-12 -k 3 --budget 500 --default-cost 100 --cost streamer-3=250",
    "paper": "--since 2025-06-11 --until 2025-06-14 --plot paper.svg",
}


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (attribution, lift, audience, seeds, paper):
        name = command.__name__
        app.command(name, epilog=f"Example: lsec influence {name} {EXAMPLES[name]}")(command)


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
    draw(table, plot_file)
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
    tell_next(table)


def lift(
    streamer: Annotated[str, typer.Argument(help="Id of a streamer.")],
    *,
    since: Annotated[datetime, typer.Option(formats=TIME_FORMATS, help="Who watched from then on (UTC)...")],
    until: Annotated[datetime, typer.Option(formats=TIME_FORMATS, help="...and before then is exposed.")],
    known: Annotated[str, typer.Option(help="Length of the time from which users are known.")] = "4w",
    placebo: Annotated[
        str | None, typer.Option(help="Length of the time before, where no effect can be; as the window's.")
    ] = None,
    category: Category = None,
    min_buyers: Annotated[
        int, typer.Option(min=1, help="Buyers that each group needs to be believed, and as many others.")
    ] = 10,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Estimate what watching a streamer added to purchases, against comparable users, with a placebo."""
    with connect(url, key) as client:
        table = client.lift(
            streamer,
            since=zoned(since),
            until=zoned(until),
            known=known,
            placebo=placebo,
            category=category,
            min_buyers=min_buyers,
        )
    _show_with_details(
        table, "compared", before_reasons="Do not believe it", as_json=as_json, plot_file=plot_file
    )


def audience(
    streamer: Annotated[str, typer.Argument(help="Id of a streamer.")],
    *,
    other: Annotated[str | None, typer.Option("--with", help="Id of another streamer.")] = None,
    view: Annotated[
        str | None,
        typer.Option(help="nearest, overlap or buyers (of two), or at_risk: overlap --with, else nearest."),
    ] = None,
    since: Since = None,
    until: Until = None,
    category: Category = None,
    of: Annotated[
        str, typer.Option("--of", help="Near by their followers, watchers or buyers.")
    ] = "watchers",
    by: Annotated[str, typer.Option(help="Near by jaccard, cosine or embedding.")] = "jaccard",
    min_shared: MinShared = 1,
    before: Annotated[
        str | None, typer.Option(help="At risk by the watching in this time before; as the window's.")
    ] = None,
    min_seconds: Annotated[
        int, typer.Option(min=0, help="At risk of those who watched so long before.")
    ] = 600,
    max_share: Annotated[
        float, typer.Option(min=0, max=1, help="At risk with no more of the watching that is expected.")
    ] = 0.5,
    limit: Limit = 20,
    cursor: Cursor = None,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show whose audience is like a streamer's, what two share, and which followers slip away."""
    with connect(url, key) as client:
        table = client.audience(
            streamer,
            other_id=other,
            view=view,
            since=in_utc(since),
            until=in_utc(until),
            category=category,
            audience=of,
            by=by,
            min_shared=min_shared,
            before=before,
            min_seconds=min_seconds,
            max_share=max_share,
            limit=limit,
            cursor=cursor,
        )
    _show_with_details(table, "the audience", before_reasons="Note", as_json=as_json, plot_file=plot_file)


def seeds(
    product: Annotated[str, typer.Argument(help="Id of a product.")],
    *,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Most streamers.")] = 5,
    budget: Annotated[float | None, typer.Option(help="The streamers together cost no more.")] = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=COST", help="What a streamer costs; may be given again."),
    ] = None,
    default_cost: Annotated[float, typer.Option(help="What every other streamer costs.")] = 1,
    among: Annotated[str, typer.Option(help="all, or those who sell it already: sellers.")] = "all",
    since: Since = None,
    until: Until = None,
    category: Annotated[
        str | None, typer.Option(help="Reach those who opened, carted or bought something of it.")
    ] = None,
    min_audience: Annotated[
        int, typer.Option(min=1, help="Only streamers with so many followers and viewers to reach.")
    ] = 1,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Choose the streamers who reach the most users for a product, and say how good the set is."""
    with connect(url, key) as client:
        table = client.seeds(
            product,
            k=k,
            budget=budget,
            costs=dict(_cost(text) for text in cost or ()),
            default_cost=default_cost,
            among=among,
            since=in_utc(since),
            until=in_utc(until),
            category=category,
            min_audience=min_audience,
        )
    _show_with_details(table, "the set", before_reasons="Note", as_json=as_json, plot_file=plot_file)


def _cost(text: str) -> tuple[str, float]:
    """The streamer and the cost of ID=COST; InvalidInput for anything else."""
    streamer, _, amount = text.rpartition("=")
    try:
        return streamer, float(amount)
    except ValueError:
        raise InvalidInput(f"{text!r} is no ID=COST.", remedy="For example --cost streamer-3=250.") from None


def paper(
    *,
    since: Annotated[
        datetime | None,
        typer.Option(formats=TIME_FORMATS, metavar="TIME", help="Purchases from then on (UTC)..."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=TIME_FORMATS, metavar="TIME", help="...and before then are explained by what was before."
        ),
    ] = None,
    category: Category = None,
    neighbours: Annotated[
        int | None,
        typer.Option(
            min=1, max=100, help="Controls on either side by rank; all others of its rank if left out."
        ),
    ] = None,
    max_followed_sellers: Annotated[
        int, typer.Option(min=1, max=20, help="From so many followed sellers on, pairs share a row.")
    ] = 4,
    min_purchases: Annotated[int, typer.Option(min=0, help="Only rows of so many purchases.")] = 0,
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Ask no API: explain test/ of a folder in the paper's layout by its train/.",
        ),
    ] = None,
    plot_file: Plot = None,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show how purchase probability depends on following and on the streamer selling, beside controls."""
    how: dict[str, Any] = {
        "neighbours": neighbours,
        "max_followed_sellers": max_followed_sellers,
        "min_purchases": min_purchases,
    }
    if data is not None:
        if since or until or category:
            raise InvalidInput("A folder has no times and no categories.", remedy="Leave them out.")
        table = paper_of_folder(data, **how)
    elif since is None or until is None:
        raise InvalidInput("There is no window.", remedy="Give --since and --until, or --data.")
    else:
        with connect(url, key) as client:
            table = client.paper(since=zoned(since), until=zoned(until), category=category, **how)
    show(table, as_json=as_json, plot_file=plot_file)


def _show_with_details(
    table: Table, title: str, *, before_reasons: str, as_json: bool, plot_file: Path | None
) -> None:
    """Shows an estimate, with the numbers and names beside it, and what speaks against it or is missing."""
    show(table, as_json=as_json, plot_file=plot_file)
    if as_json:
        return
    shown = {name: value for name, value in table.details.items() if not isinstance(value, list)}
    print_mapping(title, shown)
    for reason in table.details.get("reasons", []):
        out.print(f"{before_reasons}: {reason}.", markup=False, soft_wrap=True)
