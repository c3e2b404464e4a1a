"""The command that prunes the graph, directly on the database: it runs on the server."""

from typing import Annotated

import typer

from lsec.cli.options import Json, extra
from lsec.cli.output import err, out, print_json, print_table
from lsec.cli.stack import DataDir
from lsec.core.errors import InvalidInput, Unavailable
from lsec.core.settings import load_settings

NAMES = {
    "acts": "what users did: watching, engaging, views, carts, impressions, purchases, unfollows",
    "refunds": "refunds without a purchase",
    "minutes": "minutes of streams",
    "streams": "streams that ended",
    "idle_users": "users of whom nothing is left",
    "idle_streamers": "streamers of whom nothing is left",
    "idle_products": "products of which nothing is left",
}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        rich_help_panel="Server", epilog="Examples: lsec prune --dry-run · lsec prune --days 400 --yes"
    )(prune)


def prune(
    *,
    days: Annotated[
        int | None,
        typer.Option(min=1, help="Keep so many days.", show_default="LSEC_RETENTION_DAYS"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Delete from the graph what is older than the retention. With LSEC_RETENTION_DAYS it happens by itself.

    Follows, dismissals and what streamers sell are states and stay. It may be stopped at any time.
    """
    settings = load_settings(data_dir=data_dir)
    kept_days = days or settings.retention_days
    if not kept_days:
        raise InvalidInput(
            "Nothing says how long data are kept.",
            remedy="Give --days, or set LSEC_RETENTION_DAYS to have it done every day.",
        )
    with extra("workers", "api"):
        from neo4j.exceptions import DriverError, Neo4jError

        from workers.graph import open_driver
        from workers.upkeep import retention
    horizon = retention.horizon_of(kept_days)
    if not (dry_run or yes):
        typer.confirm(f"Delete what is of before {horizon}? It cannot be undone", abort=True, err=True)
    try:
        with open_driver(settings) as driver:
            run = retention.count if dry_run else retention.prune_all
            numbers = run(driver, horizon=horizon)
    except (DriverError, Neo4jError) as error:
        raise Unavailable(
            f"The graph cannot be used: {error}.", remedy="Is it running, and is LSEC_NEO4J_URL right?"
        ) from error
    if as_json:
        print_json({"horizon": horizon, "dry_run": dry_run, **numbers})
        return
    print_table(
        f"{'Would be deleted' if dry_run else 'Deleted'}, of before {horizon}",
        ("what", "number"),
        [(NAMES[step], number) for step, number in numbers.items()],
    )
    if dry_run:
        err.print("Nodes that only what would be deleted keeps are not counted.")
    else:
        out.print("What is younger is untouched.")
