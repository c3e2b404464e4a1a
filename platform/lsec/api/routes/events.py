"""Taking events in: validate, split by shard, append to the durable log; then its lag and the schema."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from graph_schema.events import EVENT_CLASSES, EVENTS_VERSION, Event
from lsec.api.bodies import read_body
from lsec.api.dependencies import Services, ServicesDep, json_response, requires
from lsec.api.openapi import problems
from lsec.api.stores.keys import Caller
from lsec.core.cloud_events import BATCH_TYPE, STRUCTURED_TYPE, as_structured
from lsec.core.errors import NothingAccepted
from lsec.core.event_body import ParsedBody, Rejection, parse_body
from lsec.core.event_log import MAX_CHUNK_EVENTS, shard_of
from lsec.core.ledger import Scope, utc_now
from lsec.core.logs import REQUEST_ID, note

WAIT = "Answer once all events are in the graph, or in the dead letters where they cannot go into the graph"
LARGE_BODY_BYTES = 64 * 1024
"""Larger bodies are parsed in a thread, so that others are answered meanwhile."""
EXAMPLE = {
    "type": "user.bought",
    "event_id": "order-1001",
    "at": "2026-01-31T12:00:00Z",
    "user_id": "u1",
    "product_id": "p1",
    "quantity": 1,
    "amount": 1999,
    "streamer_id": "s1",
    "stream_id": "live-7",
}
CLOUD_EXAMPLE = {
    "specversion": "1.0",
    "source": "/shop/checkout",
    "id": "order-1001",
    "type": "user.bought",
    "time": "2026-01-31T12:00:00Z",
    "data": {"user_id": "u1", "product_id": "p1", "quantity": 1, "amount": 1999},
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One event, a JSON array of events, or NDJSON; the same as CloudEvents 1.0, where "
        "`source|id` is the `event_id`. Plain, or in Content-Encoding gzip or zstd. The schema: "
        "GET /v1/events/schema.",
        "content": {
            "application/json": {"schema": {"type": ["object", "array"]}, "example": EXAMPLE},
            "application/x-ndjson": {"schema": {"type": "string"}},
            STRUCTURED_TYPE: {"schema": {"type": "object"}, "example": CLOUD_EXAMPLE},
            BATCH_TYPE: {"schema": {"type": "array", "items": {"type": "object"}}},
        },
    }
}

router = APIRouter(prefix="/v1/events", tags=["events"])


class RejectedEvent(BaseModel):
    """Why one event was not taken."""

    index: int
    field: str
    reason: str


class Receipt(BaseModel):
    """What became of a request's events; `positions` are the log's, by shard."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "accepted": 2,
                "duplicates": 0,
                "rejected": [{"index": 1, "field": "quantity", "reason": "expected int >= 1"}],
                "committed": False,
                "positions": {"0": "1769860800000-0"},
            }
        }
    )
    accepted: int
    duplicates: int
    rejected: list[RejectedEvent]
    committed: bool
    positions: dict[str, str]


class ShardLagOut(BaseModel):
    """How far the graph is behind one shard."""

    shard: int
    appended: int
    committed: int
    position: str
    backlog_events: int
    age_s: float


class Lag(BaseModel):
    """How far the graph is behind the log."""

    backlog_events: int
    oldest_uncommitted_age_s: float
    shards: list[ShardLagOut]
    dead_letters: int


@dataclass(slots=True)
class Appended:
    """What the log took of one request, over its shards."""

    accepted: int = 0
    duplicates: int = 0
    positions: dict[str, str] = field(default_factory=dict)
    totals: dict[int, int] = field(default_factory=dict)


@router.post(
    "",
    summary="Send events",
    status_code=202,
    response_model=Receipt,
    responses={
        200: {"model": Receipt, "description": "Committed (wait), or valid (dry_run)"},
        **problems(400, 413, 415),
    },
    openapi_extra=_BODY,
)
async def post_events(
    request: Request,
    services: ServicesDep,
    caller: Annotated[Caller, requires(Scope.INGEST)],
    *,
    wait: Annotated[bool, Query(description=WAIT)] = False,
    timeout_s: Annotated[float, Query(ge=0, le=300, description="How long to wait")] = 30.0,
    dry_run: Annotated[bool, Query(description="Only validate")] = False,
) -> Response:
    """Take the good events and say, by index, why each other one was not taken.

    Repeat the same request after any error: what was kept is recognised by its `event_id`.
    """
    body = await read_body(request, max_bytes=services.settings.max_body_bytes)
    parsed = await _parse(services, request.headers, body, may_erase=caller.may([Scope.ADMIN]))
    note(rejected=len(parsed.rejected))
    if not parsed.events:
        raise _nothing_accepted(parsed.rejected)
    if dry_run:
        return _receipt(200, Appended(accepted=len(parsed.events)), parsed.rejected, committed=False)
    services.event_log.check_load()
    appended = await _append(services, [event for _, event in parsed.events])
    note(accepted=appended.accepted, duplicates=appended.duplicates, positions=appended.positions)
    committed = wait and await services.event_log.wait_committed(appended.totals, timeout_s=timeout_s)
    return _receipt(200 if committed else 202, appended, parsed.rejected, committed=committed)


async def _parse(
    services: Services, headers: Mapping[str, str], body: bytes, *, may_erase: bool
) -> ParsedBody:
    def parse() -> ParsedBody:
        return parse_body(
            *as_structured(headers, body),
            now=utc_now(),
            currency=services.settings.currency,
            max_events=services.settings.max_events_per_request,
            retention_days=services.settings.retention_days,
            may_erase=may_erase,
        )

    return await asyncio.to_thread(parse) if len(body) > LARGE_BODY_BYTES else parse()


async def _append(services: Services, events: list[Event]) -> Appended:
    by_shard: defaultdict[int, list[Event]] = defaultdict(list)
    for event in events:
        by_shard[shard_of(event, services.settings.shards)].append(event)
    outcome, request_id = Appended(), REQUEST_ID.get()
    chunks = [
        (shard, of_shard[first : first + MAX_CHUNK_EVENTS])
        for shard, of_shard in sorted(by_shard.items())
        for first in range(0, len(of_shard), MAX_CHUNK_EVENTS)
    ]
    for shard, chunk in chunks:
        result = await services.event_log.append(chunk, shard=shard, request_id=request_id)
        outcome.accepted += result.num_accepted
        outcome.duplicates += len(result.duplicates)
        outcome.totals[shard] = result.total
        if result.entry_id is not None:
            outcome.positions[str(shard)] = result.entry_id
    return outcome


def _receipt(status: int, appended: Appended, rejected: list[Rejection], *, committed: bool) -> Response:
    return json_response(
        {
            "accepted": appended.accepted,
            "duplicates": appended.duplicates,
            "rejected": rejected,
            "committed": committed,
            "positions": appended.positions,
        },
        status,
    )


def _nothing_accepted(rejected: list[Rejection]) -> NothingAccepted:
    first = rejected[0]
    where = f"{first.field}: " if first.field else ""
    return NothingAccepted(
        f"None of the {len(rejected)} events is valid. Event {first.index}: {where}{first.reason}",
        index=first.index,
        field=first.field,
        rejected=[asdict(rejection) for rejection in rejected],
    )


@router.get(
    "/lag",
    summary="How far the graph is behind",
    response_model=Lag,
    dependencies=[requires(Scope.INGEST, Scope.READ)],
)
async def get_lag(services: ServicesDep) -> Response:
    """Events that wait, how long the oldest has waited, and those set aside."""
    shards = await services.event_log.lag()
    return json_response(
        {
            "backlog_events": sum(shard.backlog_events for shard in shards),
            "oldest_uncommitted_age_s": max(shard.age_s for shard in shards),
            "shards": shards,
            "dead_letters": await services.dead_letters.count_open(),
        }
    )


@router.get(
    "/schema",
    summary="The JSON Schema of an event",
    dependencies=[requires(Scope.INGEST, Scope.READ)],
    responses={200: {"description": "JSON Schema 2020-12", "content": {"application/json": {}}}},
)
async def get_schema() -> Response:
    """The whole vocabulary, with its version."""
    return json_response(event_schema())


def event_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of one event: any of the vocabulary's types."""
    schemas, components = msgspec.json.schema_components(EVENT_CLASSES, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "LSEC event",
        "version": EVENTS_VERSION,
        "oneOf": list(schemas),
        "$defs": components,
    }
