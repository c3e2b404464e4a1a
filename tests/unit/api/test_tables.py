"""Tables as JSON or CSV, and the cursors of their pages."""

from typing import Any

import orjson
import pytest
from fastapi.exceptions import RequestValidationError

from lsec.api.tables import cursor_of, place_of, table_response, wanted_type
from lsec.core.errors import NotAcceptable


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/csv", "text/csv"),
        ("Text/CSV; charset=utf-8", "text/csv"),
        ("text/csv, application/json;q=0.5", "text/csv"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/*", "text/csv"),
        ("*/*;q=0.1, application/json;q=0", "text/csv"),
        ("text/html, */*;q=0.8", "application/json"),
    ],
)
def test_the_type_that_is_liked_better_is_taken(accept: str, wanted: str) -> None:
    assert wanted_type(accept) == wanted


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "text/csv;q=much", "", "image/*"])
def test_what_cannot_be_served_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        wanted_type(accept)


def test_csv_has_a_header_and_a_row_each_with_lists_as_json() -> None:
    rows: list[dict[str, Any]] = [
        {"id": 'a,"b"', "nodes": ["u", "p"], "rate": None},
        {"id": "c", "nodes": [], "rate": 0.5},
    ]
    answer = table_response("text/csv", "q", parameters={}, columns=("id", "nodes", "rate"), rows=rows)
    assert bytes(answer.body).decode().splitlines() == [
        "id,nodes,rate",
        '"a,""b""","[""u"",""p""]",',
        "c,[],0.5",
    ]


def test_json_has_members_beside_the_rows() -> None:
    answer = table_response("application/json", "q", parameters={}, columns=("id",), rows=[], next="x")
    assert orjson.loads(answer.body) == {
        "query": "q",
        "parameters": {},
        "columns": ["id"],
        "rows": [],
        "next": "x",
    }


def test_a_cursor_is_read_as_it_was_made() -> None:
    place = [3, 0.25, "streamer ü"]
    assert place_of(cursor_of(place), int, float, str) == place
    assert place_of(None, int) is None


@pytest.mark.parametrize(
    "cursor", ["x", "bm9uZQ", cursor_of([1]), cursor_of(["a", 1]), cursor_of([1, "a", 2])]
)
def test_a_cursor_of_something_else_is_refused(cursor: str) -> None:
    with pytest.raises(RequestValidationError):
        place_of(cursor, int, str)
