"""Conversations with the API as generators that do no I/O: they yield steps and are sent what came of them.

Written once, they are run by the blocking client and by the asynchronous one alike. `Flow[T]` returns a T;
`Feed[T]` yields, among its steps, `Emit` values for the caller.
"""

import email.utils
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec

from lsec.client.errors import ApiError, Unreachable

T = TypeVar("T")

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
TIMEOUT_S = 30.0
READ_PATIENCE_S = 10.0
"""Reads are tried again so long when the API is away for a moment."""
Parameter: TypeAlias = str | int | float | bool | tuple[str, ...] | None


def path_of(*parts: str) -> str:
    """The parts as one path; all but the first are quoted, whatever an id holds."""
    return "/".join((parts[0], *(quote(part, safe="") for part in parts[1:])))


@dataclass(frozen=True, slots=True)
class Call:
    """Step: send a request, be sent its `Reply` or `Dropped`."""

    method: str
    path: str
    params: Mapping[str, Parameter] = field(default_factory=dict)
    content: bytes = b""
    content_type: str = ""
    timeout_s: float = TIMEOUT_S
    content_encoding: str = ""


def json_call(method: str, path: str, body: Mapping[str, Any], *, timeout_s: float = TIMEOUT_S) -> Call:
    """A call that sends an object as JSON."""
    return Call(method, path, {}, msgspec.json.encode(body), "application/json", timeout_s)


@dataclass(frozen=True, slots=True)
class Open:
    """Step: open a streamed answer: lines, server-sent events or bytes; be sent `Reply` or `Dropped`.

    The body is in the reply only when the status is an error.
    """

    call: Call
    as_events: bool = False
    as_bytes: bool = False


@dataclass(frozen=True, slots=True)
class Next:
    """Step: be sent the next `Item` of the open answer, `None` at its end, or `Dropped`."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Step: wait; be sent `None`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Together:
    """Step: hold several conversations at once, each over a connection of its own; be sent `None` at the end.

    The next one is asked of the iterator when a connection is free for it, so few are in memory. The first
    that fails ends the others, and its error is raised.
    """

    flows: "Iterator[Flow[None]]"
    connections: int


@dataclass(frozen=True, slots=True)
class Emit(Generic[T]):
    """A value for the caller of a feed."""

    value: T


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the API."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Item:
    """A line, the data of a server-sent event with its name and id, or some bytes as `content`."""

    data: str
    name: str = ""
    id: str = ""
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection could not be made or broke."""

    reason: str


Step: TypeAlias = Call | Open | Next | Pause | Together
Outcome: TypeAlias = Reply | Item | Dropped | None
Flow: TypeAlias = Generator[Step, Outcome, T]
Feed: TypeAlias = Generator[Step | Emit[T], Outcome, None]


class Patience:
    """How long to go on trying: pauses that double, no longer than `total_s` without a success."""

    def __init__(self, total_s: float) -> None:
        self._total_s = total_s
        self.succeeded()

    def succeeded(self) -> None:
        """Starts the count again."""
        self._pause_s = FIRST_PAUSE_S
        self._gives_up_at = time.monotonic() + self._total_s

    def next_pause_s(self, outcome: Reply | Dropped) -> float | None:
        """How long to wait before the next attempt, at least what the API asks; None to give up."""
        asked_s = retry_after_s(outcome) if isinstance(outcome, Reply) else 0.0
        pause_s = max(self._pause_s, asked_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return None if time.monotonic() + pause_s > self._gives_up_at else pause_s


def exchange(call: Call, *, patience_s: float = 0.0) -> Flow[Reply]:
    """The successful reply; where the call may be repeated, tried again for `patience_s` seconds.

    ApiError if the API refuses, Unreachable if no answer comes.
    """
    patience = Patience(patience_s)
    while True:
        outcome = yield call
        assert isinstance(outcome, Reply | Dropped)
        if isinstance(outcome, Reply) and outcome.status < 400:
            return outcome
        pause_s = patience.next_pause_s(outcome) if is_passing(outcome) else None
        if pause_s is None:
            raise failure(outcome)
        yield Pause(pause_s)


def fetch(call: Call, kind: type[T], *, patience_s: float = 0.0) -> Flow[T]:
    """The reply's body as a value of the given type."""
    reply = yield from exchange(call, patience_s=patience_s)
    return decode(reply.body, kind)


def is_passing(outcome: Reply | Dropped) -> bool:
    """Whether the same call may succeed a little later."""
    return isinstance(outcome, Dropped) or outcome.status in RETRIED_STATUSES


def failure(outcome: Reply | Dropped) -> ApiError | Unreachable:
    """The error that an outcome means."""
    if isinstance(outcome, Dropped):
        return Unreachable(
            outcome.reason, remedy="Is it running? `lsec status` shows; LSEC_URL is its address."
        )
    problem = _problem(outcome.body)
    title = str(problem.get("title") or f"HTTP {outcome.status}")
    return ApiError(outcome.status, title, str(problem.get("detail") or ""), problem)


def retry_after_s(reply: Reply) -> float:
    """The seconds of a Retry-After header, given as a number or as a date; 0 without one."""
    value = reply.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def decode(body: bytes | str, kind: type[T]) -> T:
    """The JSON body as a value of the type; ApiError if the API answers something else."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise ApiError(502, "Unexpected answer", f"The API's answer cannot be read: {error}", {}) from error


def _problem(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {"detail": body[:500].decode("utf-8", "replace")}
