"""Dead letters: list and inspect what could not go into the graph, then correct, replay or purge it."""

import base64
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from graph_schema.events import Event
from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.bodies import read_body
from lsec.api.dependencies import ID_PATTERN, LedgerId, Moment, ServicesDep, invalid, json_response, requires
from lsec.api.openapi import problems
from lsec.api.stores.dead_letters import Selection
from lsec.api.stores.keys import Caller
from lsec.core.event_body import parse_body
from lsec.core.ledger import DeadLetter, Scope, utc_now
from lsec.core.settings import Settings

MAX_EVENT_BYTES = 256 * 1024
CURSOR_PATTERN = r"^[0-9]{1,16}-[A-Za-z0-9_]{1,32}$"

router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])

Admin = Annotated[Caller, requires(Scope.ADMIN)]
Shard = Annotated[int | None, Query(ge=0, le=63, description="Only those of this shard")]
EventId = Annotated[
    str | None,
    Query(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN, description="Only those of this event"),
]
Before = Annotated[Moment | None, Query(description="Only those set aside before this time")]
State = Literal["open", "replayed"]


class DeadLetterOut(BaseModel):
    """An event that was set aside, why, and its place in the log; `position` is -1 for a whole chunk."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "dl_6f1d0c2b9a8e7d6c5b4a3928",
                "state": "open",
                "event_id": "order-1001",
                "request_id": "0198c5d1a2b3",
                "reason": "integer overflow",
                "shard": 0,
                "epoch": "5f0c6f0b7e5d4a57a2d6a2a5cf3a7c11",
                "entry_id": "1769860800000-0",
                "position": 3,
                "created_at": "2026-01-31T12:00:01Z",
                "fixed_at": None,
                "replayed_at": None,
            }
        }
    )
    id: str
    state: State
    event_id: str
    request_id: str
    reason: str
    shard: int
    epoch: str
    entry_id: str
    position: int
    created_at: datetime
    fixed_at: datetime | None
    replayed_at: datetime | None


class WholeDeadLetter(DeadLetterOut):
    """A dead letter with its event, or with its bytes where they are no event's."""

    event: dict[str, Any] | None = None
    payload_base64: str | None = None


class DeadLettersOut(BaseModel):
    """Dead letters, newest first; `next` is the cursor of those that follow."""

    dead_letters: list[DeadLetterOut]
    next: str | None


class Refused(BaseModel):
    """A letter that could not be replayed."""

    id: str
    reason: str


class ReplayOut(BaseModel):
    """What a replay of many did; `open` is what is left, those that were refused too."""

    replayed: int
    refused: list[Refused]
    open: int


class PurgeOut(BaseModel):
    """How many letters are gone, and how many that were meant are not."""

    purged: int = Field(description="Letters that are gone, with the events that only they held")
    kept: int = Field(
        description="Letters that stay: the graph is not yet past them, or their events are in the log again"
    )


@router.get("", summary="Dead letters", response_model=DeadLettersOut, dependencies=[requires(Scope.ADMIN)])
async def get_dead_letters(
    services: ServicesDep,
    *,
    state: Annotated[Literal["open", "replayed", "all"], Query()] = "open",
    shard: Shard = None,
    event_id: EventId = None,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[
        str | None, Query(pattern=CURSOR_PATTERN, description="`next` of the answer before")
    ] = None,
) -> Response:
    """List what could not go into the graph, newest first; open is what was not replayed."""
    selection = Selection(state=state, shard=shard, event_id=event_id, before=before)
    letters, following = await services.dead_letters.list(selection, limit=limit, cursor=cursor)
    return json_response({"dead_letters": [_summary(letter) for letter in letters], "next": following})


@router.get(
    "/{letter_id}",
    summary="One dead letter",
    response_model=WholeDeadLetter,
    responses=problems(404),
    dependencies=[requires(Scope.ADMIN)],
)
async def get_dead_letter(services: ServicesDep, letter_id: LedgerId) -> Response:
    """Show a letter with its event as JSON or, where it cannot be told apart, its bytes in base64."""
    return json_response(_whole(await services.dead_letters.get(letter_id)))


@router.put(
    "/{letter_id}/event",
    summary="Correct a dead letter's event",
    response_model=WholeDeadLetter,
    responses=problems(400, 404, 409, 413),
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The corrected event. The schema: GET /v1/events/schema.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
)
async def put_event(request: Request, services: ServicesDep, letter_id: LedgerId, caller: Admin) -> Response:
    """Put a valid event in place of what was refused; it keeps its `event_id`. 409 once it was replayed."""
    letter = await services.dead_letters.get(letter_id)
    body = await read_body(request, max_bytes=MAX_EVENT_BYTES)
    event = _parse(body, request.headers.get("content-type", ""), services.settings)
    if letter.event_id and event.event_id != letter.event_id:
        raise invalid(f"must stay {letter.event_id}; send another event to POST /v1/events", "event_id")
    return json_response(_whole(await services.dead_letters.fix(letter_id, event, key_id=caller.key_id)))


@router.post(
    "/{letter_id}/replay",
    summary="Replay a dead letter",
    response_model=DeadLetterOut,
    responses=problems(404, 409),
)
async def replay_dead_letter(services: ServicesDep, letter_id: LedgerId, caller: Admin) -> Response:
    """Append its event to the log again, once however often this is asked; see GET /v1/events/{event_id}.

    An event that is refused again becomes a new dead letter.
    """
    services.event_log.check_load()
    return json_response(_summary(await services.dead_letters.replay(letter_id, key_id=caller.key_id)))


@router.post(":replay", summary="Replay many dead letters", response_model=ReplayOut)
async def replay_dead_letters(
    services: ServicesDep,
    caller: Admin,
    *,
    shard: Shard = None,
    event_id: EventId = None,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Most letters to replay")] = 1000,
) -> Response:
    """Replay open letters, the oldest first. Those that cannot be replayed stay open, with the reason."""
    services.event_log.check_load()
    selection = Selection(state="open", shard=shard, event_id=event_id, before=before)
    totals = await services.dead_letters.replay_all(selection, limit=limit, key_id=caller.key_id)
    return json_response(totals)


@router.delete(
    "/{letter_id}", summary="Purge a dead letter", response_model=PurgeOut, responses=problems(404, 409)
)
async def delete_dead_letter(services: ServicesDep, letter_id: LedgerId, caller: Admin) -> Response:
    """Drop a letter for ever. The event of an open one is gone with it, and may be sent anew.

    409 while the graph may still take the event, or once the log has it again.
    """
    await services.dead_letters.delete(letter_id, key_id=caller.key_id)
    return json_response({"purged": 1, "kept": 0})


@router.post(":purge", summary="Purge many dead letters", response_model=PurgeOut)
async def purge_dead_letters(
    services: ServicesDep,
    caller: Admin,
    *,
    state: Annotated[State | None, Query(description="Only those in this state")] = None,
    shard: Shard = None,
    event_id: EventId = None,
    before: Before = None,
    everything: Annotated[bool, Query(alias="all", description="Without any filter: all of them")] = False,
) -> Response:
    """Drop letters for ever: those that a filter names, or all. Neither is an error, not all of them."""
    selection = Selection(state=state or "all", shard=shard, event_id=event_id, before=before)
    if not selection.clauses() and not everything:
        raise invalid("give state, shard, event_id or before, or all=true to purge every dead letter", "all")
    return json_response(await services.dead_letters.purge(selection, key_id=caller.key_id))


def _parse(body: bytes, content_type: str, settings: Settings) -> Event:
    """The one event of the body; RequestValidationError naming the field that is wrong."""
    parsed = parse_body(body, content_type, now=utc_now(), currency=settings.currency, max_events=1)
    if parsed.rejected:
        raise invalid(parsed.rejected[0].reason, parsed.rejected[0].field or "body")
    return parsed.events[0][1]


def _summary(letter: DeadLetter) -> dict[str, Any]:
    names = DeadLetterOut.model_fields.keys() - {"state"}
    state: State = "open" if letter.replayed_at is None else "replayed"
    return {"id": letter.id, "state": state} | {name: getattr(letter, name) for name in names}


def _whole(letter: DeadLetter) -> dict[str, Any]:
    return _summary(letter) | _payload(letter.payload)


def _payload(payload: bytes) -> dict[str, Any]:
    """The event, valid or not, as far as it has fields that JSON can show; else the bytes."""
    try:
        event = msgspec.to_builtins(msgspec.msgpack.decode(payload, type=dict[str, Any]))
    except (ValueError, TypeError, RecursionError):
        return {"event": None, "payload_base64": base64.b64encode(payload).decode()}
    return {"event": event, "payload_base64": None}
