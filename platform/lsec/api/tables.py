"""What the influence routes share: their parameters, and tables as JSON or CSV, whichever is asked for."""

import base64
import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias

import orjson
from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, ConfigDict

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import (
    FIRST_MOMENT,
    ID_PATTERN,
    LAST_MOMENT,
    Moment,
    invalid,
    json_response,
    requires,
)
from lsec.api.openapi import problems
from lsec.core.errors import NotAcceptable, NotFound
from lsec.core.ledger import Scope

JSON = "application/json"
CSV = "text/csv"

GraphIdQuery = Annotated[str, Query(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
Since = Annotated[Moment | None, Query(description="What happened at or after this time")]
Until = Annotated[Moment | None, Query(description="What happened before this time")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most rows")]
Category = Annotated[
    str | None,
    Query(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN, description="Only products of this category"),
]
MinBuyers = Annotated[int, Query(ge=0, description="Only rows with so many buyers")]
MinShared = Annotated[int, Query(ge=1, description="Only those who share so many with the one asked about")]
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
DURATION_PATTERN = r"[1-9]\d{0,3}[mhdw]"
"""Such as 90m, 24h, 7d, 2w."""
Cursor = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9_-]{1,500}$", description="The `next` of the rows before")
]


Row: TypeAlias = dict[str, Any]
Place: TypeAlias = Callable[[Row], list[Any]]
"""Where a row stands in its table's order, ascending: what a cursor holds."""


class Table(BaseModel):
    """A query's answer: the columns in order, and a row for each result."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "query": "leaderboard",
                "parameters": {"since": None, "until": None, "category": None, "min_buyers": 1, "limit": 20},
                "columns": ["streamer_id", "name", "buyers", "purchases", "amount"],
                "rows": [{"streamer_id": "s1", "name": "Ann", "buyers": 9, "purchases": 12, "amount": 23988}],
            }
        }
    )
    query: str
    parameters: dict[str, Any]
    columns: list[str]
    rows: list[dict[str, Any]]


def influence_router() -> APIRouter:
    """A router of influence queries, each of which answers an analyst with a table."""
    return APIRouter(
        prefix="/v1/influence",
        tags=["influence"],
        dependencies=[requires(Scope.ANALYST)],
        responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}, **problems(406)},
    )


def wanted_type(
    accept: Annotated[str, Header(description="`application/json`, the default, or `text/csv`")] = "*/*",
) -> Literal["application/json", "text/csv"]:
    """The type that the caller likes better of the two; NotAcceptable if neither is wanted."""
    likings = {kind: _liking(accept, kind) for kind in (JSON, CSV)}
    if not any(likings.values()):
        raise NotAcceptable(
            f"A table is no {accept[:100]}.", remedy=f"Ask for {JSON} or {CSV} in the Accept header."
        )
    return "text/csv" if likings[CSV] > likings[JSON] else "application/json"


Wanted = Annotated[Literal["application/json", "text/csv"], Depends(wanted_type)]


def _liking(accept: str, kind: str) -> float:
    """The weight that an Accept header gives a type: that of the narrowest range that holds it (RFC 9110)."""
    ranges = (kind, kind.partition("/")[0] + "/*", "*/*")
    likings: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [value for key, _, value in (each.partition("=") for each in parameters) if key == "q"]
        try:
            likings[name] = float(weights[0]) if weights else 1.0
        except ValueError:
            likings[name] = 0.0
    return next((likings[each] for each in ranges if each in likings), 0.0)


def cursor_of(place: list[Any]) -> str:
    """A cursor of the rows after a place, which is that of a row in the table's order."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode()


def place_of(cursor: str | None, *kinds: type | tuple[type, ...]) -> list[Any] | None:
    """The place of a cursor, with values of these kinds; RequestValidationError if it is none."""
    if cursor is None:
        return None
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        place = None
    fits = isinstance(place, list) and len(place) == len(kinds)
    if not fits or not all(_is_value(value, kind) for value, kind in zip(place, kinds, strict=True)):
        raise invalid("this is no cursor of this query", "query", "cursor")
    return list(place)


def _is_value(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether it is of the kind, and, if a number, one that the graph has."""
    return isinstance(value, kind) and (not isinstance(value, int) or abs(value) < 2**63)


def page_of(rows: list[Row], limit: int, place: Place) -> tuple[list[Row], str | None]:
    """The first rows, and the cursor of those that follow, if there are more."""
    following = cursor_of(place(rows[limit - 1])) if len(rows) > limit else None
    return rows[:limit], following


def sorted_page(
    rows: list[Row], limit: int, place: Place, *, after: list[Any] | None
) -> tuple[list[Row], str | None]:
    """As `page_of`, of rows in any order: by their place, from the one after `after` on."""
    ordered = sorted(rows, key=place)
    return page_of([row for row in ordered if after is None or place(row) > after], limit, place)


def table_response(
    wanted: str,
    query: str,
    *,
    parameters: dict[str, Any],
    columns: Sequence[str],
    rows: Sequence[dict[str, Any]],
    **members: Any,
) -> Response:
    """The table in the wanted type; `members` stand beside it in JSON alone."""
    headers = {"Vary": "Accept"}
    if wanted == CSV:
        return Response(_as_csv(columns, rows), 200, headers, media_type=CSV)
    content = {"query": query, "parameters": parameters, "columns": list(columns), "rows": rows}
    return json_response(content | members, headers=headers)


def _as_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """RFC 4180: a header, then the rows; lists as JSON, nothing for null."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict | bool):
        return orjson.dumps(value).decode()
    return value.isoformat() if isinstance(value, datetime) else value


def window_of(since: datetime | None, until: datetime | None) -> dict[str, datetime]:
    """The window that is asked for, in UTC, all time by default; RequestValidationError if it is empty."""
    window = {
        "since": (since or FIRST_MOMENT).astimezone(UTC),
        "until": (until or LAST_MOMENT).astimezone(UTC),
    }
    if window["since"] >= window["until"]:
        raise invalid("since must be before until", "query", "until")
    return window


def duration_of(text: str) -> timedelta:
    """The length of a text of DURATION_PATTERN, such as 24h or 7d."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def unknown(field: str, id_: str) -> NotFound:
    """The error of an id that the graph does not know, by the name of its parameter."""
    return NotFound(f"There is no {field.removesuffix('_id')} {id_!r}.", field=field)
