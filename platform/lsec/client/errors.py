"""What can go wrong between a client and the API.

LsecError
├── ApiError      the API refused; carries status, title, detail and the whole problem
├── Unreachable   no answer came, also after retries
└── NotCommitted  the graph did not hold the events in time
"""

from typing import Any

from lsec.core.errors import LsecError


class ApiError(LsecError):
    """The API answered with a problem (RFC 9457); `problem` is the whole of it."""

    def __init__(self, status: int, title: str, detail: str, problem: dict[str, Any]) -> None:
        super().__init__(detail or title, remedy=str(problem.get("remedy") or ""))
        self.status = status
        self.title = title
        self.problem = problem


class Unreachable(LsecError):
    """The API cannot be reached, or broke off and did not come back."""

    status = 503
    title = "No connection to the API"


class NotCommitted(LsecError):
    """Events that the API accepted are not in the graph yet."""

    status = 504
    title = "Not committed in time"
