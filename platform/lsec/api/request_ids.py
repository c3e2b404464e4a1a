"""The id of each request, the caller's or a new one: in its answer, its log line and the event log."""

import logging
import random
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lsec.api.metrics import Metrics
from lsec.core.logs import begin_request

HEADER = "X-Request-ID"
NO_ROUTE = "(none)"
PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Routes that monitors ask every few seconds: their lines are for debugging."""
_NAME = HEADER.lower().encode()
_VALID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger("lsec.api.requests")

# A logger would look for the place in the code at each line, which is always this one.
_LINES: dict[int, dict[str, object]] = {
    level: {"name": log.name, "levelno": level, "levelname": logging.getLevelName(level), "msg": "request"}
    for level in (logging.DEBUG, logging.INFO)
}


class RequestIds:
    """Middleware that names, logs and counts every request.

    Lines and metrics have a route's template in place of the path: paths hold ids of people.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, and say how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = began = time.perf_counter()
        request_id = _request_id(scope)
        notes = begin_request(request_id)
        status = 500

        async def send_named(message: Message) -> None:
            nonlocal status, began
            if message["type"] == "http.response.start":
                status, began = message["status"], time.perf_counter()
                message["headers"] = [*message.get("headers", ()), (_NAME, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            method, route = scope["method"], getattr(scope.get("route"), "path", NO_ROUTE)
            self._metrics.answered(method, route, status, began - started)
            self._metrics.took_events(notes)
            level = logging.DEBUG if route in PROBES else logging.INFO
            if log.isEnabledFor(level):
                duration_ms = round(1000 * (time.perf_counter() - started), 2)
                line = {"method": method, "path": route, "status": status, "duration_ms": duration_ms}
                log.handle(logging.makeLogRecord(_LINES[level] | line | notes))


def _request_id(scope: Scope) -> str:
    """The caller's id if it is one, else a new one."""
    for name, value in scope["headers"]:
        if name == _NAME and _VALID.fullmatch(value):
            return str(value, "ascii")
    # It names a request and protects nothing.
    return f"{random.getrandbits(96):024x}"
