"""Commands that watch: events as they come in, and the API's metrics."""

from typing import Annotated, Any

import typer
from rich.text import Text

from lsec.cli.options import DEFAULT_URL, Json, Key, Url, connect
from lsec.cli.output import err, out, print_line
from lsec.client.live_routes import LiveMessage

STYLES = {"user.bought": "green", "user.refunded": "red", "user.erased": "red", "user.carted": "yellow"}
"""Types that stand out."""
NAMES = {"user_id": "user", "streamer_id": "streamer", "product_id": "product", "stream_id": "stream"}
WIDTH = max(len("product.showcased"), len("streamer.upserted"))


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    panel = "Events"
    app.command(
        "live",
        rich_help_panel=panel,
        epilog="Examples: lsec live --type user.bought --streamer s1 · lsec live --json | jq .product_id",
    )(live)
    app.command("metrics", rich_help_panel=panel, epilog="Example: lsec metrics | grep lsec_log_lag_seconds")(
        metrics
    )


def live(
    *,
    streamer: Annotated[list[str] | None, typer.Option(help="Only of this one; may be repeated.")] = None,
    product: Annotated[list[str] | None, typer.Option(help="Only of this one; may be repeated.")] = None,
    user: Annotated[list[str] | None, typer.Option(help="Only of this one; may be repeated.")] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only of this type, such as user.bought; may be repeated."),
    ] = None,
    resume: Annotated[
        str, typer.Option(metavar="ID", help="Go on after this place, which Ctrl-C prints.")
    ] = "",
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show events as they are accepted, until Ctrl-C; what a lost connection missed follows.

    With --json each line is an event as it was sent. Gaps are told on the error stream.
    """
    token = resume
    with connect(url, key) as client:
        try:
            for message in client.live_events(
                streamers=streamer or (),
                products=product or (),
                users=user or (),
                types=types or (),
                resume_after=resume,
            ):
                token = message.token
                show(message, as_json=as_json)
        except KeyboardInterrupt:
            if token:
                err.print(f"To go on from here: lsec live --resume {token}", markup=False, soft_wrap=True)


def show(message: LiveMessage, *, as_json: bool) -> None:
    """Prints a message of the feed."""
    if message.is_gap:
        num_events = message.data.get("num_events")
        missing = f"{num_events:,} events are missing here" if num_events else "Events are missing here"
        err.print(f"{missing}: {message.data.get('reason')}", markup=False, style="yellow", soft_wrap=True)
    elif as_json:
        print_line(message.data)
    else:
        out.print(_line(message.data), soft_wrap=True)


def _line(event: dict[str, Any]) -> Text:
    """Time, type and ids, and what else the event says."""
    kind, at = str(event.get("type")), str(event.get("at"))
    words = [f"{name} {event[field]}" for field, name in NAMES.items() if event.get(field)]
    rest = [
        f"{name}={value}"
        for name, value in event.items()
        if name not in NAMES and name not in ("type", "at", "event_id")
    ]
    return Text.assemble(
        (at, "dim"), "  ", (kind.ljust(WIDTH), STYLES.get(kind, "")), "  ", "  ".join([*words, *rest])
    )


def metrics(*, url: Url = DEFAULT_URL, key: Key = "") -> None:
    """Print the API's metrics in Prometheus's text format; Prometheus itself reads /metrics."""
    with connect(url, key) as client:
        typer.echo(client.metrics(), nl=False)
