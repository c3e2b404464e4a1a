"""Commands that tell how far events are on their way into the graph: all of them, and one."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lsec.cli.options import DEFAULT_URL, Json, Key, Url, connect
from lsec.cli.output import out, print_json, print_line, shown
from lsec.client import Client
from lsec.client.answers import EventStatus, Lag

SAID = {
    "accepted": "is in the log and not yet in the graph",
    "committed": "is in the graph",
    "dead_lettered": "could not go into the graph and is set aside",
}


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    panel = "Events"
    app.command(rich_help_panel=panel, epilog="Examples: lsec lag --watch · lsec lag --json")(lag)
    app.command(rich_help_panel=panel, epilog="Example: lsec event-status order-1001")(event_status)


def lag(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh until Ctrl-C; a line each with --json.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often with --watch.")] = 1.0,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Show how far the graph is behind: what waits and for how long, shard by shard, and the dead letters."""
    with connect(url, key) as client:
        if not watch:
            now = client.lag()
            print_json(now) if as_json else out.print(_report(now))
            return
        with suppress(KeyboardInterrupt):
            _watch(client, every, as_json=as_json)


def _watch(client: Client, every_s: float, *, as_json: bool) -> None:
    """Show it in place on a terminal, one after the other elsewhere."""
    if as_json or not out.is_terminal:
        for now in _each(client, every_s):
            print_line(now) if as_json else out.print(_report(now))
    else:
        with Live(console=out, auto_refresh=False) as live:
            for now in _each(client, every_s):
                live.update(_report(now), refresh=True)


def _each(client: Client, every_s: float) -> Iterator[Lag]:
    while True:
        yield client.lag()
        time.sleep(every_s)


def _report(lag: Lag) -> Group:
    """A sentence on all, and a table of the shards."""
    behind = f"{lag.backlog_events:,} events wait"
    if lag.backlog_events:
        behind += f", the oldest for {lag.oldest_uncommitted_age_s or 0.0:.1f} s"
    set_aside = f"{lag.dead_letters:,} dead letters" + (
        ": lsec dead-letters list" if lag.dead_letters else ""
    )
    table = Table(header_style="bold")
    for column in ("shard", "appended", "committed", "waiting", "oldest"):
        table.add_column(column, justify="right")
    for each in lag.shards:
        age = f"{each.age_s or 0.0:.1f} s" if each.backlog_events else "-"
        row = (each.shard, each.appended, each.committed, each.backlog_events)
        table.add_row(*(shown(value) for value in row), age)
    return Group(Text(f"{behind}; {set_aside}.", style="bold"), table)


def event_status(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="Id of an event that was sent.")],
    *,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Tell what became of an event: accepted, committed or dead-lettered."""
    with connect(url, key) as client:
        status = client.event_status(event_id)
    if as_json:
        print_json(status)
        return
    out.print(_sentence(status), markup=False, soft_wrap=True)


def _sentence(status: EventStatus) -> str:
    number = "" if status.number is None else f", number {status.number:,}"
    sentence = f"Event {status.event_id} {SAID[status.status]} (shard {status.shard}{number})."
    if status.dead_letter_id is not None:
        sentence += f" See: lsec dead-letters show {status.dead_letter_id}"
    return sentence
