"""Neo4j's errors of an ad-hoc statement, as the platform's, in words for who sent it."""

from neo4j.exceptions import Neo4jError

from lsec.core.errors import Conflict, InvalidInput, LsecError, Unavailable

MAX_SHOWN = 2000


class TimedOut(LsecError):
    """The statement took longer than it may."""

    status = 504
    title = "Timed out"


class TooLarge(LsecError):
    """The statement needs more memory, or a larger row, than it may."""

    status = 422
    title = "Too large"


def platform_error(error: Exception, *, timeout_s: float) -> LsecError:
    """What an error of the driver means."""
    if isinstance(error, TimeoutError):
        return _timed_out(timeout_s)
    code = (error.code or "") if isinstance(error, Neo4jError) else ""
    message = (error.message or "")[:MAX_SHOWN] if isinstance(error, Neo4jError) else ""
    if "TransactionTimedOut" in code:
        return _timed_out(timeout_s)
    if "OutOfMemory" in code:
        return TooLarge(
            "The statement needs more memory than one may use.", remedy="Aggregate or sort fewer rows."
        )
    if "Terminated" in code:
        return Conflict("The statement was cancelled.")
    if code.startswith("Neo.ClientError") or code.startswith("Neo.DatabaseError.Statement"):
        return InvalidInput(message, field="statement")
    return Unavailable("Neo4j cannot be reached.", remedy="Try again; GET /readyz tells what is down.")


def _timed_out(timeout_s: float) -> TimedOut:
    return TimedOut(
        f"The statement was stopped after {timeout_s:g} s.", remedy="Narrow it: GET a plan with mode explain."
    )
