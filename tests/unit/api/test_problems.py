"""Errors become problem documents that name what is at fault and what to do."""

import json
from typing import Any

import pytest
from fastapi import Response
from fastapi.exceptions import RequestValidationError

from lsec.api.openapi import MEDIA_TYPE
from lsec.api.problems import platform_problem
from lsec.api.training_request import parse_request
from lsec.core.errors import (
    Forbidden,
    InvalidInput,
    LsecError,
    NotFound,
    Overloaded,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)


def members(response: Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(response.body))
    return found


def test_a_problem_has_the_members_of_rfc_9457_and_the_error_s_own() -> None:
    response = platform_problem(InvalidInput("Bad.", remedy="Do good.", field="at", index=3))
    assert response.media_type == MEDIA_TYPE
    assert members(response) == {
        "type": "urn:lsec:problem:invalid-input",
        "title": "Invalid request",
        "status": 400,
        "detail": "Bad.",
        "remedy": "Do good.",
        "field": "at",
        "index": 3,
    }


def test_the_first_index_is_kept_though_it_is_zero() -> None:
    assert members(platform_problem(InvalidInput("Bad.", index=0, field="")))["index"] == 0
    assert "field" not in members(platform_problem(InvalidInput("Bad.", index=0, field="")))


@pytest.mark.parametrize(
    ("error", "status", "header", "value"),
    [
        (Overloaded("Full.", retry_after_s=7), 503, "retry-after", "7"),
        (Unavailable("Down."), 503, "retry-after", "5"),
        (RateLimited("Too many.", retry_after_s=3), 429, "retry-after", "3"),
        (UnsupportedMediaType("What?", remedy="", accept_encoding="gzip"), 415, "accept-encoding", "gzip"),
        (UnsupportedMediaType("What?", remedy=""), 415, "accept-encoding", None),
        (Unauthenticated("Who?"), 401, "www-authenticate", "Bearer"),
        (Forbidden("No."), 403, "retry-after", None),
        (NotFound("Where?"), 404, "www-authenticate", None),
    ],
)
def test_status_and_headers_follow_the_error(
    error: LsecError, status: int, header: str, value: str | None
) -> None:
    response = platform_problem(error)
    assert (response.status_code, response.headers.get(header)) == (status, value)


def test_an_empty_training_request_takes_the_defaults() -> None:
    assert parse_request(b"") == parse_request(b"{}")
    assert parse_request(b"").model == "cosine-gcn"


@pytest.mark.parametrize(
    ("body", "location"),
    [
        (b'{"since": "9999-12-31T23:59:59-23:59"}', "since"),
        (b'{"seed": 1e400}', "seed"),
        (b'{"seed": NaN}', "seed"),
        (b'{"categories": ["' + b"c" * 1000 + b'"]}', "categories"),
        (b"[]", ""),
    ],
)
def test_a_wrong_training_request_is_an_error_of_its_field(body: bytes, location: str) -> None:
    with pytest.raises(RequestValidationError) as caught:
        parse_request(body)
    assert caught.value.errors()[0]["loc"][:1] == ((location,) if location else ("body",))


def test_a_training_request_that_is_no_json_cannot_be_read() -> None:
    for body in (b"{", b"\xff", b'{"seed": }'):
        with pytest.raises(InvalidInput):
            parse_request(body)
