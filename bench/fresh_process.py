"""A benchmark's part in a process of its own, so that its time and its memory are its alone."""

import errno
import json
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from lsec.core.errors import LsecError

ROOT = Path(__file__).parents[1]
MIB = 1024 * 1024
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PartFailed(LsecError):
    """A part's process ended without figures; it has told why on stderr.

    It is out of memory when the system killed it, or it ended with ENOMEM as its status.
    """

    title = "A part of the benchmark failed"

    def __init__(self, module: str, status: int) -> None:
        self.is_out_of_memory = status in (-signal.SIGKILL, errno.ENOMEM)
        reason = "out of memory" if self.is_out_of_memory else f"exit status {status}"
        super().__init__(f"{module}: {reason}.")


def run_fresh(module: str, *options: object) -> dict[str, Any]:
    """The JSON object that `python -m module` prints on stdout; its stderr is shown as it comes."""
    command = [sys.executable, "-m", module, *map(str, options)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise PartFailed(module, done.returncode)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def give(figures: dict[str, Any]) -> None:
    """Hand the figures to the process that waits in `run_fresh`."""
    print(json.dumps(figures), flush=True)


def tell(message: str) -> None:
    """Print the progress on stderr."""
    print(message, file=sys.stderr, flush=True)


def peak_mb() -> float:
    """The most memory that this process has held, in MiB, since its start or `forget_peak`.

    Linux' VmHWM is this program's own: what `getrusage` says begins with the peak of the process that started
    it.
    """
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def forget_peak() -> None:
    """From now on the peak counts anew, where the system can do that."""
    with suppress(OSError):
        CLEAR_REFS.write_text("5")


def memory_mb() -> float:
    """What this process holds now, in MiB."""
    return float(psutil.Process().memory_info().rss) / MIB
