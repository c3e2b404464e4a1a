"""Ad-hoc Cypher: a statement's answer, line by line, and how to end it."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from lsec.client.errors import ApiError
from lsec.client.exchange import (
    Call,
    Dropped,
    Emit,
    Feed,
    Flow,
    Item,
    Next,
    Open,
    Reply,
    decode,
    failure,
    fetch,
    path_of,
)

ANSWER_TIMEOUT_S = 120.0
"""Between two lines of an answer; the API ends statements much sooner."""
PATH = "/v1/cypher"


class CypherHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: the statement's id, by which it can be ended, and its columns."""

    id: str
    mode: str
    columns: list[str]


class CypherRow(msgspec.Struct, frozen=True):
    """A row: a value for each column; nodes, times and the like are objects with a `$type`."""

    values: list[Any]


class CypherSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The last line: how many rows, which limit cut them off if one did, and the plan if it was asked for."""

    rows: int
    ms: int
    truncated: str | None = None
    plan: dict[str, Any] | None = None


def cypher(
    statement: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    mode: Literal["run", "explain", "profile"] = "run",
    timeout_s: float | None = None,
    max_rows: int | None = None,
) -> Feed[CypherHeader | CypherRow | CypherSummary]:
    """What a statement answers: a header, rows, a summary; to stop reading ends it.

    ApiError if it is refused or fails on the way, Unreachable if the answer breaks off.
    """
    body: dict[str, Any] = {"statement": statement, "parameters": dict(parameters or {}), "mode": mode}
    body |= {
        name: value for name, value in (("timeout_s", timeout_s), ("max_rows", max_rows)) if value is not None
    }
    content = msgspec.json.encode(body)
    outcome = yield Open(Call("POST", PATH, {}, content, "application/json", ANSWER_TIMEOUT_S))
    while not isinstance(outcome, Item):
        if isinstance(outcome, Reply) and outcome.status < 400:
            outcome = yield Next()
            continue
        raise failure(outcome or Dropped("The answer ended before its first line."))
    yield Emit(decode(outcome.data, CypherHeader))
    while True:
        outcome = yield Next()
        if not isinstance(outcome, Item):
            raise failure(outcome or Dropped("The answer ended before its summary."))
        if outcome.data.startswith("["):
            yield Emit(CypherRow(decode(outcome.data, list[Any])))
            continue
        last = decode(outcome.data, dict[str, Any])
        if error := last.get("error"):
            raise ApiError(int(error["status"]), str(error["title"]), str(error["detail"]), error)
        yield Emit(msgspec.convert(last["summary"], CypherSummary))
        return


def cancel_cypher(statement_id: str) -> Flow[dict[str, Any]]:
    """End a running statement; ApiError with status 404 if it does not run."""
    return fetch(Call("DELETE", path_of(PATH, statement_id)), dict[str, Any])
