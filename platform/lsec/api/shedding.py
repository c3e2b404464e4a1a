"""Refuses requests, at once and cheaply, while the process is further behind than they could wait."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from lsec.api.problems import platform_problem
from lsec.core.errors import Overloaded

TICK_S = 0.02
BEHIND_S = 0.15
"""The event loop may be so late: then those who wait in it have waited as long."""
RETRY_AFTER_S = 1
KEPT = frozenset({"/healthz", "/readyz", "/metrics"})
"""A process that is behind still says so."""


class Shedding:
    """Middleware that answers 503 while the event loop is late.

    A timer that is due in the loop tells how late it is: between its turns the loop goes through all that
    is ready, one request after the other, so each of them waits as long as all before it take.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless the loop is late."""
        if scope["type"] != "http" or scope["path"] in KEPT or self._late_s() < BEHIND_S:
            await self._app(scope, receive, send)
            return
        refused = platform_problem(
            Overloaded("More requests came than can be answered in time.", retry_after_s=RETRY_AFTER_S)
        )
        await refused(scope, receive, send)

    def _late_s(self) -> float:
        """How long the timer is overdue."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._tick()
        return loop.time() - self._due

    def _tick(self) -> None:
        assert self._loop is not None
        self._due = self._loop.time() + TICK_S
        self._loop.call_at(self._due, self._tick)
