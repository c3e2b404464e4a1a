"""Commands that send events: a simulated market, NDJSON files, a folder in the paper's layout."""

import gzip
import io
import sys
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from graph_schema.events import Envelope
from lsec.cli.options import DEFAULT_URL, TIME_FORMATS, Json, Key, Url, connect
from lsec.cli.output import counting, err, out, print_json
from lsec.client import Client, SendTotals
from lsec.client.answers import Rejected
from lsec.client.paper_layout import count_training_rows, read_training_part
from lsec.core.errors import InvalidInput
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
    files: Annotated[list[Path], typer.Argument(help="NDJSON files, plain or .gz; `-` is the input.")],
    *,
    batch: Batch = 1000,
    wait: Wait = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Send events from NDJSON; good ones go in, each bad one is named with its line. Safe to repeat."""
    lines = _Lines(files)
    with connect(url, key) as client:
        sent = send_all(client, lines, "Sending", batch=batch, wait=wait)
    places = [lines.place(bad.index) for bad in sent.totals.rejected]
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
    with counting(label, total) as show:
        totals = client.send_events(events, batch=batch, on_progress=lambda so_far: show(so_far.sent))
    seconds = time.monotonic() - started
    if not wait:
        return Sent(totals, seconds, None)
    backlog = client.lag().backlog_events
    with counting("Into the graph", backlog) as show:
        client.wait_until_committed(on_progress=lambda lag: show(max(0, backlog - lag.backlog_events)))
        show(backlog)
    return Sent(totals, seconds, time.monotonic() - started)


def report(sent: Sent, *, places: list[str] | None = None, as_json: bool) -> None:
    """Prints what became of the events; exit code 1 if some were rejected."""
    totals = sent.totals
    if as_json:
        print_json(_as_json(sent, places))
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
            place = places[number] if places else f"event {bad.index}"
            err.print(f"  {place}: {_why(bad)}", markup=False, soft_wrap=True)
        if len(totals.rejected) > MAX_SHOWN:
            err.print(f"  … and {len(totals.rejected) - MAX_SHOWN:,} more; --json lists all.")
    if totals.rejected:
        raise typer.Exit(1)


def _as_json(sent: Sent, places: list[str] | None) -> dict[str, object]:
    totals = sent.totals
    rejected = [
        msgspec.structs.asdict(bad) | ({"place": places[number]} if places else {})
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


class _Lines:
    """The lines of files that are not blank; remembers where each stood."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._firsts: list[int] = []
        self._numbers = array("Q")
        for file in files:
            if str(file) != "-" and not file.is_file():
                raise InvalidInput(
                    f"There is no file {file}.", remedy="Give NDJSON files, or `-` for the input."
                )

    def __iter__(self) -> Iterator[bytes]:
        for file in self._files:
            self._firsts.append(len(self._numbers))
            with _open(file) as lines:
                for number, line in enumerate(lines, start=1):
                    stripped = line.strip()
                    if stripped:
                        self._numbers.append(number)
                        yield stripped

    def place(self, index: int) -> str:
        """File and line of an event by its index in the order of sending."""
        which = max(place for place, first in enumerate(self._firsts) if first <= index)
        return f"{self._files[which]}, line {self._numbers[index]}"


def _open(file: Path) -> BinaryIO | io.BufferedReader | gzip.GzipFile | nullcontext[BinaryIO]:
    if str(file) == "-":
        return nullcontext(sys.stdin.buffer)
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")
