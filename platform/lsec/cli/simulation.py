"""The command that simulates a market: its events written or sent, at any rate, and its truth beside them."""

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer

from graph_schema.events import Event
from lsec.cli.options import DEFAULT_URL, TIME_FORMATS, Batch, Json, Key, Url, Wait, connect
from lsec.cli.output import err
from lsec.cli.sending import How, deliver, of_events
from lsec.core.errors import InvalidInput
from lsec.simulate import Market, live, simulate, true_influence
from lsec.simulate.market import MOST, RANGES

DEFAULT = Market()
LIVE_RATE = 5.0
LEAST_PAUSE_S = 0.01
MOST_MADE_UP_S = 1.0
"""A delay of the receiver, or a day that takes long to draw, is made up for by no more than this."""
OPTION_OF = {"start_at": "--start"}
"""Values of the market that the command line cannot check by itself."""

SIZE = "Size of the market"
PLANTED = "What is planted in it"
OUTPUT = "What comes out"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(
        "simulate",
        rich_help_panel="Events",
        epilog="Examples: lsec simulate --seed 7 | lsec ingest - · "
        "lsec simulate --users 2000 --truth truth.json --out market.ndjson · "
        "lsec simulate --live --rate 200 --send",
    )(simulate_command)


def _size(name: str, help_text: str | None = None) -> Any:
    return typer.Option(min=1, max=MOST[name], help=help_text, rich_help_panel=SIZE)


def _planted(name: str, help_text: str) -> Any:
    low, high = RANGES[name]
    return typer.Option(min=low, max=high, help=help_text, rich_help_panel=PLANTED)


def simulate_command(
    *,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed gives the same events.", rich_help_panel=SIZE)
    ] = DEFAULT.seed,
    users: Annotated[int, _size("num_users")] = DEFAULT.num_users,
    streamers: Annotated[int, _size("num_streamers")] = DEFAULT.num_streamers,
    products: Annotated[int, _size("num_products")] = DEFAULT.num_products,
    days: Annotated[int, _size("num_days", "A user has 20 events a day, about.")] = DEFAULT.num_days,
    start: Annotated[
        datetime,
        typer.Option(
            formats=TIME_FORMATS, metavar="TIME", help="First day of the market (UTC).", rich_help_panel=SIZE
        ),
    ] = DEFAULT.start_at,
    influence: Annotated[
        float,
        _planted(
            "influence",
            "Factor on what each streamer adds to the log odds of buying; 0: nobody has any influence.",
        ),
    ] = DEFAULT.influence,
    confounding: Annotated[
        float,
        _planted(
            "confounding",
            "How much taste, activity and season decide who watches; 0: watching is by lot, "
            "so a plain comparison is right.",
        ),
    ] = DEFAULT.confounding,
    bots: Annotated[
        float,
        _planted("bots", "Share of users who watch and open a lot, and never buy or have all refunded."),
    ] = DEFAULT.bots,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write as JSON what each streamer really caused, and who is a bot (docs/market.md).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    is_live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Go on after the market's last day, each event at the present time, until Ctrl-C.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="At most so many events a second.",
            show_default=f"{LIVE_RATE:g} with --live, else as fast as it goes",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write to a file, `-` is the output.", rich_help_panel=OUTPUT
        ),
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Send to the API instead of writing.", rich_help_panel=OUTPUT)
    ] = False,
    batch: Batch = 1000,
    wait: Wait = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Simulate a live-commerce market: NDJSON on the output, into a file, or sent to the API.

    The same options give the same events, byte for byte. Each streamer has a planted influence on those
    who watch, and who watches depends on taste, activity and season, as in life: so what an analysis finds
    can be held against what is true, which --truth writes.
    """
    if is_live and truth is not None:
        raise typer.BadParameter("What --live brings has no end, so no truth.", param_hint="--truth")
    if truth is not None and file is not None and truth.resolve() == file.resolve():
        raise typer.BadParameter(f"{truth} takes the events, by --out.", param_hint="--truth")
    if send and file is not None:
        raise typer.BadParameter("With --send nothing is written.", param_hint="--out")
    market = _market(
        seed=seed,
        num_users=users,
        num_streamers=streamers,
        num_products=products,
        num_days=days,
        start_at=start if start.tzinfo else start.replace(tzinfo=UTC),
        confounding=confounding,
        influence=influence,
        bots=bots,
    )
    if is_live and rate is None:
        rate = LIVE_RATE
    if truth is not None:
        write_truth(market, truth)
    events = live(market) if is_live else simulate(market)
    if not send:
        _write(events, file, rate)
        return
    with connect(url, key) as client:
        if rate is not None:
            batch = min(batch, math.ceil(rate))  # a request a second at least
            events = paced(events, rate)
        deliver(client, of_events(events, batch=batch), "Simulating", How(wait=wait), as_json=as_json)


def write_truth(market: Market, file: Path) -> None:
    """Writes the market's values, each streamer's true influence and the bots; InvalidInput if it cannot."""
    with _opened(file) as target:
        record = {"market": dataclasses.asdict(market), **true_influence(market).as_json()}
        target.write(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    err.print(f"The truth about {market.num_streamers:,} streamers is in {file}.", markup=False)


def paced(
    events: Iterable[Event],
    rate: float,
    *,
    before_pause: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """The events, `rate` a second from the first on; after a long delay at most a second's more at once."""
    due = clock()
    for event in events:
        ahead = due - clock()
        if ahead >= LEAST_PAUSE_S:
            before_pause()
            sleep(ahead)
        due = max(due, clock() - MOST_MADE_UP_S) + 1.0 / rate
        yield event


def _market(**values: object) -> Market:
    """The market; wrong usage that names the option if it cannot be."""
    try:
        return Market(**values)  # type: ignore[arg-type] # the command's options have the types
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        raise typer.BadParameter(rest, param_hint=OPTION_OF.get(name, f"--{name}")) from error


def _write(events: Iterable[Event], file: Path | None, rate: float | None) -> None:
    encode = msgspec.json.Encoder().encode
    with ExitStack() as stack:
        to_file = file is not None and str(file) != "-"
        target = stack.enter_context(_opened(file)) if file is not None and to_file else sys.stdout.buffer
        if rate is not None:
            events = paced(events, rate, before_pause=target.flush)
        num_bytes = sum(target.write(encode(event) + b"\n") for event in events)
    if to_file:
        err.print(f"{num_bytes:,} bytes of events written to {file}.", markup=False)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("wb")
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {error.strerror}.") from error
