"""Commands that send events: NDJSON files, a folder in the paper's layout."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer

from lsec.cli.event_files import EventFiles, is_regular
from lsec.cli.options import DEFAULT_URL, Batch, Json, Key, Url, Wait, connect
from lsec.cli.resume import Resume
from lsec.cli.sending import BACKFILL_MAX_LAG_S, MAX_SHOWN, How, deliver, of_events, of_files
from lsec.client.paper_layout import count_training_rows, read_training_part
from lsec.core.errors import InvalidInput

CONNECTIONS = 4


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    panel = "Events"
    app.command(
        "ingest",
        rich_help_panel=panel,
        epilog="Example: lsec ingest day-*.ndjson.zst --backfill --rejects bad.ndjson",
    )(ingest)
    app.command(
        "import-lsec", rich_help_panel=panel, epilog="Example: lsec import-lsec data/lastfm --batch 2000"
    )(import_lsec)


def ingest(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files of NDJSON or a JSON array, plain, .gz or .zst; `-` is the input."),
    ],
    *,
    connections: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Requests at once.", show_default=f"{CONNECTIONS}; 1 with --backfill"
        ),
    ] = None,
    batch: Batch = 1000,
    backfill: Annotated[
        bool,
        typer.Option("--backfill", help="Old events: pause while the graph is 5 s behind the live ones."),
    ] = False,
    compress: Annotated[
        bool, typer.Option("--compress", help="Pack requests by zstd: for an API over a network.")
    ] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Send all, also what was sent before a break.")
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(help="Write each rejected event with the reason, as NDJSON; mend it and ingest it."),
    ] = None,
    wait: Wait = True,
    as_json: Json = False,
    url: Url = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Send events from NDJSON; good ones go in, each bad one is named with its line.

    After a break (Ctrl-C, a crash, a lost network) the same command goes on where it was: FILE.lsec-resume
    keeps the place until all of an unchanged FILE is sent. What was under way is sent again, and the API
    recognises it for an hour. From `-` nothing is kept: sent again, it is recognised for an hour only, and
    counts twice after that.
    """
    events = EventFiles(files)
    if rejects is not None and any(each.resolve() == rejects.resolve() for each in files):
        raise InvalidInput(f"{rejects} is read itself.", remedy="Name another file for --rejects.")
    with connect(url, key) as client, ExitStack() as stack:
        kept = any(is_regular(file) for file in files)
        log_events = sum(shard.appended for shard in client.lag().shards) if kept else 0
        resume = Resume(files, url, log_events=log_events, from_start=from_start)
        how = How(
            connections=connections or (1 if backfill else CONNECTIONS),
            max_lag_s=BACKFILL_MAX_LAG_S if backfill else None,
            compress=compress,
            wait=wait,
            keep_rejected=None if as_json else MAX_SHOWN,
            rejects=None if rejects is None else stack.enter_context(_opened(rejects, resume)),
        )
        source = of_files(events, batch=batch, resume=resume)
        deliver(client, source, "Sending", how, as_json=as_json)


def _opened(rejects: Path, resume: Resume) -> BinaryIO:
    """The file of rejected events, unbuffered; after a break those of the part before it stay."""
    try:
        file = rejects.open("ab" if resume.starts else "wb", buffering=0)
    except OSError as error:
        raise InvalidInput(f"{rejects} cannot be written: {error.strerror}.") from error
    return cast(BinaryIO, file)


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
        source = of_events(read_training_part(folder), batch=batch, total=total)
        deliver(client, source, "Importing", How(wait=wait), as_json=as_json)
