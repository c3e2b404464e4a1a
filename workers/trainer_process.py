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
from workers.run import LOG, Cancelled, Interrupted, LeaseLost, Run, Stalled
from workers.training.parent import LEASE_LOST_EXIT

GRACE_S = 1.5
WATCH_EVERY_S = 0.2


class TrainingFailed(LsecError):
    """The training subprocess could not finish; carries its own message."""


class TrainerKilled(Exception):
    """The training subprocess was ended by a signal: whoever takes up the run goes on from its checkpoint."""


def supervise(run: Run) -> None:
    """Run the training subprocess to its end, passing its progress on; stop it when the run must stop.

    Each heartbeat of the run is told to it: one that hears none for as long as a lease ends by itself, be
    this process frozen or the machine cut off, for another worker may have the run by then.
    """
    command = [sys.executable, "-m", "workers.training", "--leased", str(run.folder)]
    with (
        (run.folder / LOG).open("a") as trainer_log,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=trainer_log,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        watcher = threading.Thread(target=_watch, args=(run, process), daemon=True)
        watcher.start()
        last = _follow(run, process.stdout, trainer_log)
        code = process.wait()
        watcher.join()
    run.check()
    if code == LEASE_LOST_EXIT:
        raise LeaseLost
    if code < 0:
        raise TrainerKilled(f"the training process was ended by signal {-code}")
    if code != 0:
        reason = last.get("error") or f"the training process ended with code {code}"
        raise TrainingFailed(reason, remedy=f"Its log is {run.folder / LOG}.")


def _follow(run: Run, lines: Iterable[str], log_file: TextIO) -> dict[str, Any]:
    """Report each progress line and pass what else was printed to the log; the last progress."""
    last: dict[str, Any] = {}
    for line in lines:
        progress = _progress(line)
        if progress is None:
            log_file.write(line)
            continue
        last = progress
        # A stopped run's process is ended by the watcher; the rest of its lines is read and dropped.
        with contextlib.suppress(Cancelled, Interrupted, LeaseLost, Stalled):
            # One that goes on has no figures until it has read its checkpoint: the curve so far stays.
            known = {k: last[k] for k in ("eta_s", "message", "metrics") if last.get(k) != {} and k in last}
            run.report("train", last.get("percent", 0.0) / 100, **known)
    return last


def _progress(line: str) -> dict[str, Any] | None:
    """The JSON object of a line; None for what a library printed."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _watch(run: Run, process: subprocess.Popen[str]) -> None:
    """Pass heartbeats on, and end the training's process group soon after the run must stop."""
    assert process.stdin is not None
    beats = process.stdin.fileno()
    os.set_blocking(beats, False)
    told = 0.0
    while process.poll() is None:
        if run.renewed_at != told:
            told = run.renewed_at
            # A trainer that has ended or stands still hears nothing.
            with contextlib.suppress(OSError):
                os.write(beats, b".")
        time.sleep(WATCH_EVERY_S)
        if run.must_stop:
            _end(process)
            return


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
