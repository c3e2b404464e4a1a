"""The parent of the API's processes: it replaces those that end, and leaves none behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from uvicorn.config import STARTUP_FAILURE

from lsec.api.server import FAILED_TO_START, MAX_ENDS, run
from lsec.core.errors import InvalidInput
from lsec.core.settings import Settings
from lsec.local.sockets import free_port

PARENT = """
import os, sys, time
from pathlib import Path
from lsec.api.server import Processes

def serve():
    {serve}

sys.exit(Processes(2, serve, counters=Path(sys.argv[1])).run())
"""
ENDLESS = "time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
FAILING = "return 7"


@contextmanager
def parent(serve: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A parent of two processes that do as `serve` says."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PARENT.format(serve=serve), str(folder)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def children_of(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_process_that_is_killed_is_replaced_and_the_other_stays(tmp_path: Path) -> None:
    with parent(ENDLESS, tmp_path) as process:
        wait_until(lambda: len(children_of(process)) == 2)
        killed, other = children_of(process)
        killed.kill()
        wait_until(lambda: not killed.is_running() and len(children_of(process)) == 2)
        assert other in children_of(process)
        assert killed not in children_of(process)


def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with parent(ENDLESS, tmp_path) as process:
        wait_until(lambda: len(children_of(process)) == 2)
        children = children_of(process)
        process.kill()
        _, left = psutil.wait_procs(children, timeout=10)
        assert not left


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_ends_all(tmp_path: Path, number: signal.Signals) -> None:
    with parent(ENDLESS, tmp_path) as process:
        wait_until(lambda: len(children_of(process)) == 2)
        children = children_of(process)
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
        assert not [child for child in children if child.is_running()]


@pytest.mark.slow
def test_a_process_that_does_not_end_when_it_is_told_to_is_killed(tmp_path: Path) -> None:
    with parent(STUBBORN, tmp_path) as process:
        wait_until(lambda: len(children_of(process)) == 2)
        # Until its handler is there the signal would end it.
        wait_until(lambda: all(child.num_threads() > 1 for child in children_of(process)))
        time.sleep(0.5)
        children = children_of(process)
        process.terminate()
        assert process.wait(timeout=60) == 0
        assert not [child for child in children if child.is_running()]


@pytest.mark.slow
def test_processes_that_always_end_are_given_up_with_their_status(tmp_path: Path) -> None:
    started = time.monotonic()
    with parent(FAILING, tmp_path) as process:
        assert process.wait(timeout=60) == 7
    # Between two starts there is a pause, so that a fault does not take a core.
    assert time.monotonic() - started > 0.5 * (MAX_ENDS - 1) * 0.9


def test_what_a_process_holds_is_forgotten_and_what_it_counted_is_not(tmp_path: Path) -> None:
    files = [f"{kind}_{{pid}}.db" for kind in ("gauge_livesum", "counter")]
    serve = f"[open(Path(sys.argv[1]) / n.format(pid=os.getpid()), 'w') for n in {files}]; {ENDLESS}"
    with parent(serve, tmp_path) as process:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 4)
        killed, other = children_of(process)
        killed.kill()
        wait_until(lambda: len(list(tmp_path.glob("counter_*"))) == 3)
        names = {path.name for path in tmp_path.iterdir()}
        assert f"counter_{killed.pid}.db" in names
        assert f"gauge_livesum_{killed.pid}.db" not in names
        assert f"gauge_livesum_{other.pid}.db" in names


def test_a_port_that_another_server_has_is_not_shared_with_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, api_port=free_port())
    code = (
        "import socket,sys,time; s=socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)"
    )
    code += (
        "; s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); print('listens', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(settings.api_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        try:
            with pytest.raises(InvalidInput, match=str(settings.api_port)):
                run(settings, lambda *_: pytest.fail("nothing is to be served"))
        finally:
            other.kill()


def test_the_status_of_a_failed_start_is_uvicorns() -> None:

    assert FAILED_TO_START == STARTUP_FAILURE
