"""Runs the API: `python -m lsec.api.server`, `LSEC_API_PROCESSES` processes on one address.

The application is imported once and its processes are forked from that: several start as fast as one, one
that ends is replaced in a fraction of a second, and they share the memory of the code. (`uvicorn --workers`
starts each from nothing, and leaves them running when their parent is killed.) Each listens by a socket of
its own on the same port, so the kernel gives new connections only to those that are up.
"""

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import uvicorn
from starlette.types import ASGIApp

from lsec.core.cores import take_short_turns
from lsec.core.errors import InvalidInput, LsecError
from lsec.core.log_writer import background_lines
from lsec.core.logs import configure_logging
from lsec.core.settings import Settings, load_settings

GRACE_S = 5
"""Open streams may hold up the end so long."""
KILL_AFTER_S = GRACE_S + 5
BIND_WITHIN_S = 2.0
"""Processes whose parent was killed leave its port within less."""
PAUSE_S = 0.5
"""Between an end and a new start, of a process that lived less than SHORT_LIFE_S."""
SHORT_LIFE_S = 5.0
MAX_ENDS = 10
ENDS_WINDOW_S = 60.0
FAILED_TO_START = 3
"""The exit status of a process that did not come to listen: uvicorn's own."""
COUNTERS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Where processes count together: prometheus_client reads it when it is imported."""
_STOPS = (signal.SIGTERM, signal.SIGINT)
_WAITED = {signal.SIGCHLD, *_STOPS}

log = logging.getLogger(__name__)


class Processes:
    """The children of this process, each replaced when it ends; they run `serve` and end with its status."""

    def __init__(self, num: int, serve: Callable[[], int], *, counters: Path) -> None:
        self._num = num
        self._serve = serve
        self._counters = counters
        self._started_at: dict[int, float] = {}
        self._ends: deque[float] = deque(maxlen=MAX_ENDS * num)
        # Closed by the kernel however this process ends, which is how its children learn of it.
        self._life, self._hold = os.pipe()

    def run(self) -> int:
        """Run until a signal to stop, 0, or until too many have ended, the status of the last."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
        for _ in range(self._num):
            self._start()
        while True:
            if signal.sigwait(_WAITED) != signal.SIGCHLD:
                self._stop()
                return 0
            for pid, status in self._ended():
                if self._goes_on_after(pid, status):
                    self._start()
                else:
                    self._stop()
                    return status or FAILED_TO_START

    def _start(self) -> None:
        with warnings.catch_warnings():
            # The only other threads are of allocators and of BLAS, which are made for it.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            self._be_child()
        self._started_at[pid] = time.monotonic()
        log.info("process %d of the API starts", pid)

    def _be_child(self) -> NoReturn:
        status = FAILED_TO_START
        try:
            os.close(self._hold)
            threading.Thread(target=self._end_with_parent, name="end with parent", daemon=True).start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED)
            status = self._serve()
        except BaseException:
            log.exception("a process of the API has failed")
        finally:
            # Without the parent's way out, which would remove what is still in use.
            os._exit(status)

    def _end_with_parent(self) -> None:
        os.read(self._life, 1)
        os._exit(FAILED_TO_START)

    def _ended(self) -> list[tuple[int, int]]:
        """The processes that have ended since it was last asked, with their exit status."""
        ended = []
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                # As a container's first process this one is given children that it did not start.
                if found[0] in self._started_at:
                    ended.append((found[0], os.waitstatus_to_exitcode(found[1])))
        return ended

    def _goes_on_after(self, pid: int, status: int) -> bool:
        """Note an end; False if there were too many in a short time for another start."""
        lived_s = time.monotonic() - self._started_at.pop(pid)
        # As late as the application, and for the same reason.
        from prometheus_client import multiprocess

        # What it counted stays; what it held, such as open feeds, does not.
        multiprocess.mark_process_dead(pid, str(self._counters))  # type: ignore[no-untyped-call]  # it has no annotations
        self._ends.append(time.monotonic())
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        log.error("process %d of the API ended with %s after %.1f s", pid, how, lived_s)
        if len(self._ends) == self._ends.maxlen and self._ends[-1] - self._ends[0] < ENDS_WINDOW_S:
            log.critical("%d processes have ended within %.0f s", len(self._ends), ENDS_WINDOW_S)
            return False
        if lived_s < SHORT_LIFE_S:
            time.sleep(PAUSE_S)
        return True

    def _stop(self) -> None:
        """Ask the children to end, kill those that do not, and return when all are gone."""
        for number, within_s in ((signal.SIGTERM, KILL_AFTER_S), (signal.SIGKILL, KILL_AFTER_S)):
            for pid in self._started_at:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            until = time.monotonic() + within_s
            while self._started_at and time.monotonic() < until:
                for pid, _ in self._ended():
                    self._started_at.pop(pid, None)
                time.sleep(0.02)


def main() -> int:
    """Serve the API of the environment's settings; the exit status."""
    settings = load_settings()
    configure_logging(settings, process="api")
    return run(settings, _api)


def run(settings: Settings, make_app: Callable[[Settings, Path | None], ASGIApp]) -> int:
    """Serve an application in several processes until a signal says stop; the exit status.

    It is made once, with the folder where its processes are to count together if there are several.
    """
    with _reserved(settings) as reserved, tempfile.TemporaryDirectory(prefix="lsec-api-") as folder:
        address = reserved.getsockname()[:2]
        log.info("serving on %s, port %d, in %d processes", *address, settings.api_processes)
        if settings.api_processes == 1:
            return _serve(make_app(settings, None), address)
        os.environ[COUNTERS_VARIABLE] = folder
        app = make_app(settings, Path(folder))
        # What the processes share shall stay shared: a collection would write into all of it.
        gc.collect()
        gc.freeze()
        processes = Processes(settings.api_processes, lambda: _serve(app, address), counters=Path(folder))
        return processes.run()


def _api(settings: Settings, counters: Path | None) -> ASGIApp:
    # Only now: its counters ask where to count as they are imported.
    from lsec.api.app import create_app

    return create_app(settings, counters=counters)


def _serve(app: ASGIApp, address: tuple[str, int]) -> int:
    """Answer requests until a signal says stop; the exit status."""
    # While threads reckon, requests must not wait long for their turn.
    take_short_turns()
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S)
    server = uvicorn.Server(config)
    # uvicorn sends itself again what had stopped it: the last lines shall be written all the same.
    for number in _STOPS:
        signal.signal(number, lambda *_: sys.exit(0))
    with _bind(address) as listener, background_lines(), contextlib.suppress(SystemExit):
        server.run(sockets=[listener])
    return 0 if server.started else FAILED_TO_START


def _reserved(settings: Settings) -> socket.socket:
    """A socket that holds the address of the settings, and does not listen; InvalidInput if it is taken.

    Sockets of several processes may share an address. So it is first asked for without sharing: another
    server of this user would otherwise get half of the requests.
    """
    address = (settings.api_host, settings.api_port)
    until = time.monotonic() + BIND_WITHIN_S
    while True:
        try:
            with _bind(address, shared=False) as alone:
                found = alone.getsockname()[:2]
            return _bind(found)
        except OSError as error:
            if time.monotonic() > until:
                raise InvalidInput(
                    f"The API cannot listen on {address[0]}, port {address[1]}: {error.strerror}.",
                    remedy="Set LSEC_API_HOST to an address of this machine, LSEC_API_PORT to a free port.",
                ) from error
            time.sleep(0.05)


def _bind(address: tuple[str, int], *, shared: bool = True) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LsecError as error:
        sys.exit(f"{error.title}: {error}")
