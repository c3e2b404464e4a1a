"""Long estimates, in one process beside the API's own: the event loop goes on answering meanwhile."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import ParamSpec, TypeVar

from lsec.core.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

NICENESS = 5
"""Serving comes first."""


class Estimates:
    """One process for estimates, which starts with the first; they run one after the other."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def run(self, estimate: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function of a module returns or raises, run in the other process.

        Unavailable if the process dies; the next estimate has a new one.
        """
        if self._pool is None:
            # The loop and its connections cannot be forked.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=_begin)
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, partial(estimate, *args, **kwargs))
        except BrokenProcessPool as error:
            if self._pool is pool:
                self._pool = None
            raise Unavailable(
                "The process that estimates has died.", remedy="Ask for a shorter window."
            ) from error

    async def close(self) -> None:
        """End the process, after the estimate that it is at."""
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


@contextlib.asynccontextmanager
async def open_estimates() -> AsyncIterator[Estimates]:
    """Estimates whose process ends with the block."""
    estimates = Estimates()
    try:
        yield estimates
    finally:
        await estimates.close()


def _begin() -> None:
    os.nice(NICENESS)
    # Ctrl-C reaches the whole group: the API ends this process in its own order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed closes nothing: without this its child would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
