"""The platform's errors; each carries the data that its answer needs.

LsecError
├── InvalidInput            400  the request cannot be read at all
│   ├── BodyTooLarge        413
│   └── UnsupportedMediaType 415  a content type or encoding that is not read
├── NothingAccepted         422  every event of a request is bad
├── Unauthenticated         401
├── Forbidden               403
├── NotFound                404
├── NotAcceptable           406  the answer is not to be had as what is asked for
├── Conflict                409
├── RateLimited             429  a key's requests are used up; carries retry_after_s
├── Overloaded              503  back-pressure; carries retry_after_s
├── Unavailable             503  a service cannot be reached
├── LogMismatch                  the graph and the event log do not belong together
├── StackError                   the embedded stack cannot start; carries a remedy
├── ArtifactError                an artifact is missing, damaged or of another version
└── Untrainable                  a training's job or snapshot cannot be trained on
"""

from typing import Any


class LsecError(Exception):
    """An error of the platform with a title, a detail and, where there is one, a remedy."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str, *, remedy: str = "", **extra: Any) -> None:
        super().__init__(f"{detail} {remedy}".strip())
        self.detail = detail
        self.remedy = remedy
        self.extra = extra


class InvalidInput(LsecError):
    """The request cannot be read; `extra` may hold `field` and `index`."""

    status = 400
    title = "Invalid request"


class BodyTooLarge(InvalidInput):
    """The body is past the limit."""

    status = 413
    title = "Body too large"


class UnsupportedMediaType(InvalidInput):
    """The body is of a type, or in an encoding, that is not read; `accept_encoding` names those that are."""

    status = 415
    title = "Unsupported media type"

    def __init__(self, detail: str, *, remedy: str, accept_encoding: str = "") -> None:
        super().__init__(detail, remedy=remedy)
        self.accept_encoding = accept_encoding


class NothingAccepted(LsecError):
    """No event of the request is valid; `extra["rejected"]` lists why."""

    status = 422
    title = "No event was accepted"


class Unauthenticated(LsecError):
    """No key, or one that is unknown or revoked."""

    status = 401
    title = "Authentication required"


class Forbidden(LsecError):
    """The key's scope does not allow this."""

    status = 403
    title = "Not allowed"


class NotFound(LsecError):
    """There is no such thing."""

    status = 404
    title = "Not found"


class NotAcceptable(LsecError):
    """The answer is not to be had in any type that the caller accepts."""

    status = 406
    title = "Not acceptable"


class Conflict(LsecError):
    """The thing is in a state that does not allow this."""

    status = 409
    title = "Conflict"


class RateLimited(LsecError):
    """The key may come back after `retry_after_s` seconds."""

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: int, **extra: Any) -> None:
        super().__init__(detail, remedy=f"Retry after {retry_after_s} s.", **extra)
        self.retry_after_s = retry_after_s


class Overloaded(LsecError):
    """Back-pressure: try again after `retry_after_s` seconds."""

    status = 503
    title = "Overloaded"

    def __init__(self, detail: str, *, retry_after_s: int, **extra: Any) -> None:
        super().__init__(detail, remedy=f"Retry after {retry_after_s} s.", **extra)
        self.retry_after_s = retry_after_s


class Unavailable(LsecError):
    """A service that this needs cannot be reached."""

    status = 503
    title = "Service unavailable"
    retry_after_s = 5


class LogMismatch(LsecError):
    """The graph's ingest position does not belong to this event log."""


class StackError(LsecError):
    """The embedded stack cannot start or stop."""


class ArtifactError(LsecError):
    """An artifact is missing, damaged or of another version."""


class Untrainable(LsecError):
    """A training's job or snapshot cannot be trained on."""
