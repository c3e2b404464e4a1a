"""Tasks that run beside the requests, and their end."""

import asyncio
import contextlib

CANCEL_AGAIN_S = 0.1


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; what it failed with is raised."""
    # One cancel may be lost: redis-py, and wait_for of Python 3.11, swallow it as a connection opens.
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_AGAIN_S)
    with contextlib.suppress(asyncio.CancelledError):
        await task
