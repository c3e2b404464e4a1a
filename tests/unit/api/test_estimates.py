"""Estimates run beside the event loop, in a process that is replaced when it dies."""

import asyncio
import os
import signal
import time

import pytest

from lsec.api.estimates import Estimates, open_estimates
from lsec.core.errors import InvalidInput, Unavailable

TICK_S = 0.01


def work(seconds: float) -> int:
    """Holds the interpreter for so long, as a loop in Python does; the process that ran it."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        pass
    return os.getpid()


def refuse() -> None:
    raise InvalidInput("There is no user.", remedy="Widen it.", field="since")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def test_the_loop_answers_while_an_estimate_is_made() -> None:
    async with open_estimates() as estimates:
        process = await estimates.run(work, 0)
        running = asyncio.create_task(estimates.run(work, 1.0))
        ticks = 0
        while not running.done():
            await asyncio.sleep(TICK_S)
            ticks += 1
        assert await running == process != os.getpid()
        # In a thread of this process every tick would wait for its turn with the interpreter.
        assert ticks > 20


async def test_an_estimates_error_comes_back_with_all_it_carries() -> None:
    async with open_estimates() as estimates:
        with pytest.raises(InvalidInput) as caught:
            await estimates.run(refuse)
        error = caught.value
        assert (error.detail, error.remedy, error.extra) == (
            "There is no user.",
            "Widen it.",
            {"field": "since"},
        )


async def test_a_process_that_dies_is_replaced() -> None:
    async with open_estimates() as estimates:
        before = await estimates.run(work, 0)
        with pytest.raises(Unavailable):
            await estimates.run(die)
        assert await estimates.run(work, 0) != before


async def test_without_an_estimate_there_is_no_process_to_end() -> None:
    await Estimates().close()
