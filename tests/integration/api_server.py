"""Runs the real API under uvicorn on a free port, in a thread of the test process."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from lsec.api.app import create_app
from lsec.core.settings import Settings
from tests.in_thread import running

# Why a loop of the API has ended, wherever pytest may keep what is logged between two tests.
logging.getLogger("lsec.api.app").addHandler(logging.StreamHandler(sys.__stderr__))


@contextlib.contextmanager
def run_api(settings: Settings) -> Iterator[str]:
    """The address of an API on `settings`, which stops with the block.

    One of its loops that ends stops it too, and fails what uses it.
    """
    ends: list[int] = []

    def end(code: int) -> None:
        ends.append(code)
        server.should_exit = True

    app = create_app(settings, end=end)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=5))
    with running(server) as url:
        yield url
    assert not ends, "a loop of the API has ended, and the API with it: its log says why"


def announced_address(log: Path) -> str:
    """The address that a process of the API wrote into its log when it began to listen."""
    return log.read_text().partition("running on ")[2].split()[0]


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Poll `condition` until it is true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
