"""The training subprocess under a run: its progress passed on, stopped when the run must stop."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, TextIO

from lsec.core.errors import LsecError
from workers.run import Cancelled, Interrupted, Run

GRACE_S = 3.0


class TrainingFailed(LsecError):
    """The training subprocess could not finish; carries its own message."""


def supervise(run: Run) -> None:
    """Run the training subprocess to its end, passing its progress on; stop it when cancelled."""
    command = [sys.executable, "-m", "workers.training", str(run.folder)]
    with (
        (run.folder / "trainer.log").open("a") as trainer_log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=trainer_log,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        watcher = threading.Thread(target=_stop_when_lost, args=(run, process), daemon=True)
        watcher.start()
        last = _follow(run, process.stdout, trainer_log)
        code = process.wait()
        watcher.join()
    run.check()
    if code != 0:
        reason = last.get("error") or f"the training process ended with code {code}"
        raise TrainingFailed(reason, remedy=f"Its log is {run.folder / 'trainer.log'}.")


def _follow(run: Run, lines: Iterable[str], log_file: TextIO) -> dict[str, Any]:
    """Report each progress line and pass what else was printed to the log; the last progress."""
    last: dict[str, Any] = {}
    for line in lines:
        progress = _progress(line)
        if progress is None:
            log_file.write(line)
            continue
        last = progress
        # A cancelled run's process is stopped by the watcher; the rest of its lines is read and dropped.
        with contextlib.suppress(Cancelled, Interrupted):
            known = {k: last[k] for k in ("eta_s", "message", "metrics") if k in last}
            run.report("train", last.get("percent", 0.0) / 100, **known)
    return last


def _progress(line: str) -> dict[str, Any] | None:
    """The JSON object of a line; None for what a library printed."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _stop_when_lost(run: Run, process: subprocess.Popen[str]) -> None:
    """End the training's process group soon after the run was cancelled or its lease lost."""
    while process.poll() is None:
        time.sleep(0.2)
        if run.must_stop:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            return
