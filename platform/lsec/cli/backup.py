"""Commands that keep the embedded stack's data in one file, and put them back."""

from pathlib import Path
from typing import Annotated

import typer

from lsec.cli.options import Json, extra
from lsec.cli.output import err, out, print_json
from lsec.cli.stack import DataDir
from lsec.core.settings import MIB, load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    panel = "Server"
    app.command(rich_help_panel=panel, epilog="Example: lsec backup /backups/monday.lsec --stop")(backup)
    app.command(
        rich_help_panel=panel, epilog="Example: lsec restore /backups/monday.lsec --data-dir .lsec-monday"
    )(restore)


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it is there whole or not at all.")],
    *,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the stack first; it stays down, `lsec up` starts it.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Back up the embedded stack while it is down: graph, event log, ledger, artifacts, in one file.

    They are of one moment, so events that were accepted but are not yet in the graph are in it too. Keys
    and passwords are in it: keep it like them. Left out are logs and the folders of training runs.
    """
    with extra("local"):
        from lsec.local import ConsoleReporter, stop_recorded
        from lsec.local.backup import back_up, check_embedded, check_target
    settings = load_settings(data_dir=data_dir)
    with ConsoleReporter(err) as reporter:
        if stop:
            # Whatever else is in the way shall be known before the stack is stopped for it.
            check_embedded(settings)
            check_target(file.absolute(), settings.data_dir, force=force)
            stop_recorded(settings.data_dir, on_event=reporter)
        manifest = back_up(settings, file, force=force, on_event=reporter)
    num_bytes = file.stat().st_size
    if as_json:
        print_json(
            {
                "file": str(file.absolute()),
                "bytes": num_bytes,
                "created_at": manifest.created_at,
                "num_files": len(manifest.files),
                "data_bytes": manifest.num_bytes,
            }
        )
        return
    out.print(
        f"{settings.data_dir} is backed up: {len(manifest.files):,} files of {_mb(manifest.num_bytes)} in "
        f"{file} of {_mb(num_bytes)}. The stack is down; `lsec up` starts it.",
        markup=False,
        soft_wrap=True,
    )


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `lsec backup` wrote.")],
    *,
    force: Annotated[
        bool,
        typer.Option("--force", help="Of a folder that is not empty: move it aside, to a name beside it."),
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Put a backup into an empty or new data folder; `lsec up` starts the stack on it.

    All of it is unpacked and compared with its checksums first: a damaged file changes nothing. What was
    accepted after the backup is not in it; producers send that again.
    """
    with extra("local"):
        from lsec.local import ConsoleReporter
        from lsec.local.backup import restore as run
    settings = load_settings(data_dir=data_dir)
    with ConsoleReporter(err) as reporter:
        manifest, before = run(file, settings.data_dir, force=force, on_event=reporter)
    if as_json:
        print_json(
            {
                "data_dir": str(settings.data_dir.absolute()),
                "created_at": manifest.created_at,
                "num_files": len(manifest.files),
                "data_bytes": manifest.num_bytes,
                "before": None if before is None else str(before),
            }
        )
        return
    lines = [
        f"The backup of {manifest.created_at:%Y-%m-%d %H:%M:%S} UTC is in {settings.data_dir}; "
        f"`lsec up` with LSEC_DATA_DIR={settings.data_dir} starts the stack on it."
    ]
    if before is not None:
        lines.append(f"What was there before is in {before}; delete it when it is not needed any more.")
    if settings.artifacts_dir is not None:
        lines.append(f"LSEC_ARTIFACTS_DIR is set: move {settings.data_dir / 'artifacts'} there, or unset it.")
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / MIB:,.1f} MB"
