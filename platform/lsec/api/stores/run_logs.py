"""The log of a training run: a head from the ledger, and the end of the file in the run's folder."""

import asyncio
from pathlib import Path

from lsec.core.ledger import Training
from lsec.core.settings import Settings

LOG = "trainer.log"


async def run_log(settings: Settings, training: Training, *, last_bytes: int) -> str:
    """The log as text; its file is there from when a worker takes the run up until the folder is deleted."""
    path = settings.runs_path / training.id / LOG
    end = await asyncio.to_thread(_end_of, path, last_bytes)
    return _head(training) + (end if end is not None else "There is no file of this run.\n")


def _head(training: Training) -> str:
    lines = [f"{training.created_at:%Y-%m-%dT%H:%M:%SZ} asked for {training.id}: {training.reason}"]
    if training.finished_at is not None:
        outcome = training.error or training.message or training.release_id or ""
        lines.append(f"{training.finished_at:%Y-%m-%dT%H:%M:%SZ} {training.status} {outcome}".rstrip())
    return "".join(f"{line}\n" for line in (*lines, "---"))


def _end_of(path: Path, num_bytes: int) -> str | None:
    """The last bytes of a file from a line's begin on; None if there is no file."""
    try:
        with path.open("rb") as file:
            start = max(path.stat().st_size - num_bytes, 0)
            # One byte more tells whether a line begins there.
            file.seek(max(start - 1, 0))
            content = file.read(num_bytes + 1)
    except FileNotFoundError:
        return None
    if start:
        content = content.partition(b"\n")[2]
    return content.decode(errors="replace")
