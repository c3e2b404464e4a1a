"""Commands that send events: a simulated market, NDJSON files, a folder in the paper's layout."""

import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from graph_schema.events import Envelope
from lsec.cli.event_files import EventFiles, Place
from lsec.cli.options import DEFAULT_URL, TIME_FORMATS, Json, Key, Url, connect
from lsec.cli.output import counting, err, out, print_json
from lsec.client import Client, SendTotals
from lsec.client.answers import Rejected
from lsec.client.paper_layout import count_training_rows, read_training_part
from lsec.simulate import Market, simulate

FIRST_DAY = Market().start_at
MAX_SHOWN = 20
"""Rejections printed for people; `--json` has all."""

Batch = Annotated[int, typer.Option(min=1, max=10_000, help="Events in a request.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the graph holds the events.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    panel = "Events"
    app.command("simulate", rich_help_panel=panel, epilog="Example: lsec simulate --seed 7 | lsec ingest -")(
        simulate_command
    )
    app.command(
        "ingest", rich_help_panel=panel, epilog="Example: zcat events.ndjson.gz | lsec ingest - --json"
    )(ingest)
    app.command(
        "import-lsec", rich_help_panel=panel, epilog="Example: lsec import-lsec data/lastfm --batch 2000"
    )(import_lsec)


def simulate_command(
    *,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same events.")] = 7,
    users: Annotated[int, typer.Option(min=1)] = 400,
    streamers: Annotated[int, typer.Option(min=1)] = 30,
    products: Annotated[int, typer.Option(min=1)] = 600,
    days: Annotated[int, typer.Option(min=1)] = 14,
    start: Annotated[
        datetime, typer.Option(formats=TIME_FORMATS, metavar="TIME", help="First day of the market (UTC).")
    ] = FIRST_DAY,
    file: Annotated[Path | None, typer.Option("--out", help="Write to a file, `-` is the output.")] = None,
    send: Annotated[bool, typer.Option("--send", help="Send to the API instead of writing.")] = False,
    batch: Batch = 1000,
    wait: Wait = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Simulate a live-commerce market: NDJSON on the output, into a file, or sent to the API."""
    market = Market(
        seed=seed,
        num_users=users,
        num_streamers=streamers,
        num_products=products,
        num_days=days,
        start_at=start if start.tzinfo else start.replace(tzinfo=UTC),
    )
    if send:
        with connect(url, key) as client:
            report(send_all(client, simulate(market), "Simulating", batch=batch, wait=wait), as_json=as_json)
        return
    encode = msgspec.json.Encoder().encode
    to_file = file is not None and str(file) != "-"
    with file.open("wb") if file is not None and to_file else nullcontext(sys.stdout.buffer) as target:
        num_bytes = sum(target.write(encode(event) + b"\n") for event in simulate(market))
    if to_file:
        err.print(f"{num_bytes:,} bytes of events written to {file}.", markup=False)


def ingest(
    files: Annotated[
        list[Path], typer.Argument(help="Files of NDJSON or a JSON array, plain or .gz; `-` is the input.")
    ],
    *,
    batch: Batch = 1000,
    wait: Wait = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Send events from NDJSON; good ones go in, each bad one is named with its line. Safe to repeat."""
    events = EventFiles(files)
    with connect(url, key) as client:
        sent = send_all(client, events, "Sending", batch=batch, wait=wait, total=events.count())
    places = [events.place(bad.index) for bad in sent.totals.rejected]
    report(sent, places=places, as_json=as_json)


def import_lsec(
    folder: Annotated[Path, typer.Argument(help="Folder that has train/ in it, in the paper's layout.")],
    *,
    batch: Batch = 1000,
    wait: Wait = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Send the training part of a data set in the paper's layout. Importing again changes nothing."""
    total = count_training_rows(folder)
    with connect(url, key) as client:
        events = read_training_part(folder)
        sent = send_all(client, events, "Importing", batch=batch, wait=wait, total=total)
    report(sent, as_json=as_json)


class Sent(msgspec.Struct, frozen=True):
    """What became of a command's events, and how long sending and committing took."""

    totals: SendTotals
    seconds: float
    committed_seconds: float | None


def send_all(
    client: Client,
    events: Iterable[Envelope | bytes],
    label: str,
    *,
    batch: int = 1000,
    wait: bool = True,
    total: int | None = None,
) -> Sent:
    """Sends events with a progress bar, and waits with another until the graph holds them."""
    started = time.monotonic()
    totals = _send(client, events, label, batch=batch, total=total)
    seconds = time.monotonic() - started
    if not wait or not _num_taken(totals):
        return Sent(totals, seconds, None)
    try:
        _wait(client)
    except KeyboardInterrupt:
        err.print(f"All {totals.sent:,} events were sent; the graph takes them in without this command.")
        raise
    return Sent(totals, seconds, time.monotonic() - started)


def _send(
    client: Client, events: Iterable[Envelope | bytes], label: str, *, batch: int, total: int | None
) -> SendTotals:
    num_sent = 0

    def on_progress(so_far: SendTotals) -> None:
        nonlocal num_sent
        num_sent = so_far.sent
        show(num_sent)

    try:
        with counting(label, total) as show:
            return client.send_events(events, batch=batch, on_progress=on_progress)
    except KeyboardInterrupt:
        of_total = "" if total is None else f" of {total:,}"
        err.print(
            f"Stopped: {num_sent:,}{of_total} events were sent. The same command again goes on: "
            "what was sent is recognised for an hour.",
            soft_wrap=True,
        )
        raise


def _wait(client: Client) -> None:
    backlog = client.lag().backlog_events
    with counting("Into the graph", backlog) as show:
        client.wait_until_committed(on_progress=lambda lag: show(max(0, backlog - lag.backlog_events)))
        show(backlog)


def _num_taken(totals: SendTotals) -> int:
    return totals.accepted + totals.duplicates


def report(sent: Sent, *, places: list[Place] | None = None, as_json: bool) -> None:
    """Prints what became of the events; exit code 1 if some were rejected."""
    totals = sent.totals
    if as_json:
        print_json(_as_json(sent, places))
    elif not totals.sent:
        out.print("There were no events, so none were sent.")
    else:
        rate = totals.sent / sent.seconds if sent.seconds else 0.0
        out.print(
            f"{totals.sent:,} events sent in {sent.seconds:.1f} s ({rate:,.0f}/s): "
            f"{totals.accepted:,} accepted, {totals.duplicates:,} duplicates, "
            f"{len(totals.rejected):,} rejected."
        )
        if sent.committed_seconds is not None:
            out.print(f"The graph holds them, {sent.committed_seconds:.1f} s after the start.")
        for number, bad in enumerate(totals.rejected[:MAX_SHOWN]):
            place = places[number].words if places else f"event {bad.index}"
            err.print(f"  {place}: {_why(bad)}", markup=False, soft_wrap=True)
        if len(totals.rejected) > MAX_SHOWN:
            err.print(f"  … and {len(totals.rejected) - MAX_SHOWN:,} more; --json lists all.")
    if totals.rejected:
        raise typer.Exit(1)


def _as_json(sent: Sent, places: list[Place] | None) -> dict[str, object]:
    totals = sent.totals
    rejected = [
        msgspec.structs.asdict(bad)
        | ({"index": places[number].row, "place": places[number].words} if places else {})
        for number, bad in enumerate(totals.rejected)
    ]
    return {
        "sent": totals.sent,
        "accepted": totals.accepted,
        "duplicates": totals.duplicates,
        "retries": totals.retries,
        "rejected": rejected,
        "seconds": round(sent.seconds, 3),
        "committed_seconds": None if sent.committed_seconds is None else round(sent.committed_seconds, 3),
    }


def _why(bad: Rejected) -> str:
    return f"{bad.field}: {bad.reason}" if bad.field else bad.reason
