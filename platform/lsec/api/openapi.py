"""What the API's description says beside its routes: the errors, as problem documents."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

MEDIA_TYPE = "application/problem+json"

_SAID: dict[int, str] = {
    400: "The body cannot be read",
    401: "No API key, or one that is unknown or revoked",
    403: "The key's scope does not allow this",
    404: "There is no such thing",
    406: "It is not to be had as any of the types accepted",
    409: "Its state does not allow this",
    413: "The body is too large",
    415: "The body's type or encoding is not read",
    422: "A parameter or the body is wrong; `field` names what",
    429: "The key's requests are used up: see Retry-After",
    503: "A service cannot be reached, or there is too much to do: see Retry-After",
}


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str
    reason: str


class Problem(BaseModel):
    """An error (RFC 9457); members beside the first four are there where they say something."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "urn:lsec:problem:invalid-request",
                "title": "Invalid request",
                "status": 422,
                "detail": "limit: Input should be less than or equal to 1000",
                "field": "limit",
                "errors": [{"field": "limit", "reason": "Input should be less than or equal to 1000"}],
            }
        },
    )
    type: str
    title: str
    status: int
    detail: str
    remedy: str = Field("", description="What to do about it")
    field: str = Field("", description="The first field that is wrong")
    index: int = Field(0, description="The first event that is wrong")
    errors: list[FieldError] = Field([], description="All fields that are wrong")
    rejected: list[dict[str, Any]] = Field([], description="Events that were not taken, and why")
    request_id: str = Field("", description="What the server's log calls this request")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of routes that may answer with problems of these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": _SAID.get(status, HTTPStatus(status).phrase), "content": content}
        for status in statuses
    }


def operation_id(route: APIRoute) -> str:
    """The name of the route's function, which generated clients take for theirs."""
    return route.name


def describe_problems(app: FastAPI) -> None:
    """Add the problem's schema to the description: FastAPI adds only those of JSON bodies."""
    generate: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        description = generate()
        schemas = description["components"]["schemas"]
        if "Problem" not in schemas:
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs"), Problem=schema)
        return description

    # A method that FastAPI documents as the one to replace.
    app.openapi = openapi  # type: ignore[method-assign]
