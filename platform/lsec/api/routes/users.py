"""A person's rights: to be forgotten, and to see all that is held about them."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Response
from fastapi.responses import StreamingResponse

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import ID_PATTERN, ServicesDep, json_response, requires
from lsec.api.openapi import problems
from lsec.api.routes.erasures import ErasureOut, erasure_json
from lsec.api.routes.erasures import router as erasures_router
from lsec.api.stores.keys import Caller
from lsec.api.stores.personal_data import PLACES, SINGLE, Piece
from lsec.core.errors import NotFound
from lsec.core.ledger import Scope

router = APIRouter(prefix="/v1/users", tags=["users"])

UserId = Annotated[str, Path(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]


@router.delete(
    "/{user_id:path}",
    summary="Erase a user",
    status_code=202,
    response_model=ErasureOut,
)
async def delete_user(
    services: ServicesDep, user_id: UserId, caller: Annotated[Caller, requires(Scope.ADMIN)]
) -> Response:
    """Erase all that a user did up to the end of this UTC day, known or not.

    Nothing of it is served from now on; it is done when neither the graph nor the log, the dead
    letters, kept snapshots and artifacts hold the user. Asking again shows the erasure that is under way.
    """
    erasure = await services.erasures.request(user_id, key_id=caller.key_id)
    location = {"Location": f"{erasures_router.prefix}/{erasure.id}"}
    return json_response(erasure_json(erasure), 202, headers=location)


@router.get(
    "/{user_id:path}/data",
    summary="All that is held about a user",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "`user_id`, then each place that is looked at with what it holds, and "
            "`snapshots`: the copies of the graph that are kept, which may hold the user, too",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        **problems(404),
    },
)
async def get_user_data(
    services: ServicesDep, user_id: UserId, caller: Annotated[Caller, requires(Scope.ADMIN)]
) -> StreamingResponse:
    """Collect everything about a user: graph, event log, dead letters, erasures, artifacts."""
    await services.personal_data.audit(user_id, key_id=caller.key_id)
    pieces = services.personal_data.pieces(user_id)
    first = await anext(pieces, None)
    if first is None:
        raise NotFound("Nothing is held about this user.")
    snapshots = await services.personal_data.snapshots()
    return StreamingResponse(
        _document(user_id, first, pieces, snapshots=snapshots), media_type="application/json"
    )


async def _document(
    user_id: str, first: Piece, pieces: AsyncGenerator[Piece, None], *, snapshots: list[str]
) -> AsyncIterator[bytes]:
    """One JSON object, written as its pieces come; a place that holds nothing is there, too."""
    yield b'{"user_id":' + orjson.dumps(user_id)
    waiting = list(PLACES)
    place, separator = "", b""
    async with aclosing(_after(first, pieces)) as found:
        async for name, piece in found:
            if name != place:
                passed = waiting.index(name)
                yield _end(place) + b"".join(map(_empty, waiting[:passed])) + _start(name)
                place, separator = name, b""
                waiting = waiting[passed + 1 :]
            yield separator + orjson.dumps(piece, default=_plain)
            separator = b","
    yield _end(place) + b"".join(map(_empty, waiting))
    yield b',"snapshots":' + orjson.dumps(snapshots) + b"}"


async def _after(first: Piece, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    yield first
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece


def _start(place: str) -> bytes:
    return f',"{place}":'.encode() + (b"" if place in SINGLE else b"[")


def _end(place: str) -> bytes:
    return b"" if place == "" or place in SINGLE else b"]"


def _empty(place: str) -> bytes:
    return f',"{place}":'.encode() + (b"null" if place in SINGLE else b"[]")


def _plain(value: Any) -> str:
    """Neo4j's times as ISO 8601."""
    return str(value.iso_format())
