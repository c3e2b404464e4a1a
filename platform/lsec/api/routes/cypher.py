"""Ad-hoc Cypher: an analyst's own statement on the graph, which only reads it."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lsec.api.bodies import read_body
from lsec.api.dependencies import LEDGER_ID_PATTERN, ServicesDep, invalid, json_response, requires
from lsec.api.openapi import problems
from lsec.api.stores.cypher_running import Asked, Mode
from lsec.api.stores.keys import Caller
from lsec.core.cypher_tokens import MAX_STATEMENT_CHARS
from lsec.core.ledger import Scope
from lsec.core.settings import Settings

MAX_BODY_BYTES = 128 * 1024
MAX_PARAMETERS = 100
MAX_PARAMETER_BYTES = 64 * 1024
NDJSON = "application/x-ndjson"
EXAMPLE = (
    '{"id":"cy_1","mode":"run","columns":["u.id","buys"]}\n["user-1",3]\n'
    '{"summary":{"rows":1,"truncated":null,"ms":4}}\n'
)

router = APIRouter(prefix="/v1/cypher", tags=["cypher"])


class Statement(BaseModel):
    """A statement with its parameters, and how to run it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "statement": "MATCH (u:User {id: $id})-[b:BOUGHT]->(p) RETURN p.id, b.at ORDER BY b.at",
                "parameters": {"id": "user-1"},
            }
        },
    )
    statement: str = Field(min_length=1, max_length=MAX_STATEMENT_CHARS)
    parameters: dict[str, Any] = Field({}, max_length=MAX_PARAMETERS)
    mode: Mode = Field("run", description="`explain` gives the plan alone, `profile` rows and what they cost")
    timeout_s: float | None = Field(None, gt=0, description="At most, and by default, LSEC_CYPHER_TIMEOUT_S")
    max_rows: int | None = Field(None, ge=1, description="At most, and by default, LSEC_CYPHER_MAX_ROWS")


class Cancelled(BaseModel):
    """The statement that was ended."""

    id: str
    cancelled: bool


@router.post(
    "",
    summary="Run a Cypher statement that only reads (NDJSON)",
    response_class=StreamingResponse,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Statement.model_json_schema()}},
        }
    },
    responses={
        200: {
            "description": "First `id` and `columns`, then an array for each row, last the `summary`, or the "
            "`error` of a statement that failed on the way.",
            "content": {NDJSON: {"schema": {"type": "string"}, "example": EXAMPLE}},
        },
        **problems(400, 409, 413, 504),
    },
)
async def post_cypher(
    request: Request, services: ServicesDep, caller: Annotated[Caller, requires(Scope.ANALYST)]
) -> StreamingResponse:
    """Run one statement at a time, in a read transaction, with limits of time, memory, rows and bytes.

    To leave ends it, as does `DELETE /v1/cypher/{id}`. Each statement is in the audit, without values.
    """
    body = await read_body(request, max_bytes=MAX_BODY_BYTES)
    running = await services.statements.start(_asked(body, services.settings), key_id=caller.key_id)
    return StreamingResponse(running.lines(), media_type=NDJSON)


@router.delete(
    "/{statement_id}",
    summary="End a running statement",
    response_model=Cancelled,
    responses=problems(404),
)
async def delete_cypher(
    services: ServicesDep,
    caller: Annotated[Caller, requires(Scope.ANALYST)],
    statement_id: Annotated[str, Path(pattern=LEDGER_ID_PATTERN)],
) -> Response:
    """End a statement at once; its answer then ends with an error. Only its own key may, and an admin's."""
    is_admin = caller.scope is Scope.ADMIN
    await services.statements.turns.cancel(statement_id, key_id=caller.key_id, of_anyone=is_admin)
    return json_response({"id": statement_id, "cancelled": True})


def _asked(body: bytes, settings: Settings) -> Asked:
    """What the body asks for, within the settings' limits; RequestValidationError if it is wrong."""
    try:
        wanted = Statement.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
        ) from error
    try:
        if len(orjson.dumps(wanted.parameters)) > MAX_PARAMETER_BYTES:
            raise invalid(f"they are larger than {MAX_PARAMETER_BYTES:,} bytes", "body", "parameters")
    except (TypeError, ValueError) as error:
        reason = "a number is larger than 64 bits, or a text is no text"
        raise invalid(reason, "body", "parameters") from error
    timeout_s = wanted.timeout_s or settings.cypher_timeout_s
    if timeout_s > settings.cypher_timeout_s:
        raise invalid(f"at most {settings.cypher_timeout_s:g}", "body", "timeout_s")
    max_rows = wanted.max_rows or settings.cypher_max_rows
    if max_rows > settings.cypher_max_rows:
        raise invalid(f"at most {settings.cypher_max_rows:,}", "body", "max_rows")
    return Asked(wanted.statement, wanted.parameters, wanted.mode, timeout_s, max_rows)
