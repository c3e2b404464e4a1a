"""Every error as problem+json (RFC 9457)."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from neo4j.exceptions import ClientError, DriverError, Neo4jError, TransientError
from redis.exceptions import ConnectionError as LogConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as LogTimeoutError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lsec.api.dependencies import ID_PATTERN, LEDGER_ID_PATTERN
from lsec.api.openapi import MEDIA_TYPE
from lsec.api.request_ids import HEADER
from lsec.core.errors import (
    LsecError,
    Overloaded,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from lsec.core.logs import REQUEST_ID

RETRY_AFTER_FULL_S = 10
CLIENT_GONE = 499
"""What nginx calls a request whose client went before it was answered; only lines and metrics show it."""
_PLACES = ("query", "path", "body", "header")
"""Where a field may stand, with which its location begins."""
LOST_SERVICE_ERRORS: dict[str, tuple[type[Exception], ...]] = {
    "The event log": (LogConnectionError, LogTimeoutError),
    "The ledger": (OperationalError, InterfaceError, PoolTimeoutError),
    "Neo4j": (DriverError, TransientError),
}
_TIMED_OUT = "Neo.ClientError.Transaction.TransactionTimedOut"
"""How the codes begin of a timeout of the server's own and of one that the driver asked for."""
_PATTERN_REASONS = {
    ID_PATTERN: "an id has at least one character, and neither white space nor control characters",
    LEDGER_ID_PATTERN: "an id has at most 32 characters: letters, digits, - and _",
}
_SPACED_OFFSET = re.compile(r"\d \d\d:?\d\d$")
"""The end of a time whose + a query made a space."""
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")

log = logging.getLogger(__name__)


def add_problem_handlers(app: FastAPI) -> None:
    """Make the app answer every error with a problem."""
    app.add_exception_handler(LsecError, _on_platform_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_gone_client)
    app.add_exception_handler(OutOfMemoryError, _on_full_log)
    for service, errors in LOST_SERVICE_ERRORS.items():
        for lost in errors:
            app.add_exception_handler(lost, _unavailable(service))
    app.add_exception_handler(ClientError, _on_graph_error)
    app.add_exception_handler(Exception, _on_unexpected_error)


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    kind: str,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem document with the request's id; `members` that are empty are left out."""
    members.setdefault("request_id", REQUEST_ID.get())
    body = {"type": f"urn:lsec:problem:{kind}", "title": title, "status": status, "detail": detail}
    body.update({name: value for name, value in members.items() if value not in (None, "")})
    return Response(orjson.dumps(body), status, headers, media_type=MEDIA_TYPE)


def platform_problem(error: LsecError) -> Response:
    """The problem document of one of the platform's errors."""
    headers = {}
    if isinstance(error, Overloaded | Unavailable | RateLimited):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, UnsupportedMediaType) and error.accept_encoding:
        headers["Accept-Encoding"] = error.accept_encoding
    return problem(
        error.status,
        error.title,
        error.detail,
        kind=_WORD.sub("-", type(error).__name__).lower(),
        headers=headers,
        remedy=error.remedy,
        **error.extra,
    )


async def _on_platform_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LsecError)
    if error.status >= 500 and not isinstance(error, Overloaded | Unavailable):
        log.error("a request failed", exc_info=error)
    return platform_problem(error)


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"field": _field(fault), "reason": _reason(fault)} for fault in error.errors()]
    field, reason = errors[0]["field"], errors[0]["reason"]
    return problem(
        422,
        "Invalid request",
        f"{field}: {reason}" if field else reason,
        kind="invalid-request",
        field=field,
        errors=errors,
    )


def _field(fault: Mapping[str, Any]) -> str:
    path = fault["loc"]
    return ".".join(str(part) for part in (path[1:] if path[:1] and path[0] in _PLACES else path))


def _reason(fault: Mapping[str, Any]) -> str:
    """What is wrong, in words for who sent it."""
    if fault["type"] == "string_pattern_mismatch":
        return _PATTERN_REASONS.get(fault["ctx"]["pattern"], str(fault["msg"]))
    is_time = "query" in fault["loc"] and fault["type"].startswith("datetime")
    if is_time and _SPACED_OFFSET.search(str(fault.get("input"))):
        return "a + in a query means a space: write + as %2B, or use Z"
    return str(fault["msg"]).removeprefix("Value error, ")


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http-error")
    return problem(
        error.status_code,
        str(error.detail),
        "There is no such route; see /docs." if error.status_code == 404 else str(error.detail),
        kind=kind,
        headers=error.headers,
    )


async def _on_gone_client(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


async def _on_full_log(_: Request, __: Exception) -> Response:
    return platform_problem(Overloaded("The event log is full.", retry_after_s=RETRY_AFTER_FULL_S))


def _unavailable(what: str) -> Any:
    async def answer(_: Request, error: Exception) -> Response:
        log.warning("%s cannot be reached: %s", what, error)
        return platform_problem(
            Unavailable(f"{what} cannot be reached.", remedy="Try again; GET /readyz tells what is down.")
        )

    return answer


async def _on_graph_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, Neo4jError)
    if not (error.code or "").startswith(_TIMED_OUT):
        return await _on_unexpected_error(request, error)
    return platform_problem(
        Unavailable("The query took too long and was stopped.", remedy="Ask for a shorter window.")
    )


async def _on_unexpected_error(_: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return problem(
        500,
        "Internal error",
        "The server failed; its log tells why.",
        kind="internal-error",
        # Starlette sends this answer from outside of the middleware that gives all others the header.
        headers={HEADER: REQUEST_ID.get()},
    )
