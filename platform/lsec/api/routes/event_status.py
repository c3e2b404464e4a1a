"""What became of an event: accepted, committed or dead-lettered."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import ID_PATTERN, Services, ServicesDep, json_response, requires
from lsec.api.openapi import problems
from lsec.api.stores.graph import SERVING_TIMEOUT_S
from lsec.core.errors import NotFound
from lsec.core.ledger import Scope

router = APIRouter(prefix="/v1/events", tags=["events"])


class EventStatus(BaseModel):
    """Where an event is; `number` counts the events of its shard, null where the log forgot it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "event_id": "order-1001",
                "status": "committed",
                "shard": 0,
                "number": 4711,
                "dead_letter_id": None,
            }
        }
    )
    event_id: str
    status: Literal["accepted", "committed", "dead_lettered"]
    shard: int
    number: int | None = None
    dead_letter_id: str | None = None


# The event's id may hold a slash. This path takes all that the other routes of /v1/events leave.
@router.get(
    "/{event_id:path}",
    summary="What became of an event",
    response_model=EventStatus,
    responses=problems(404),
    dependencies=[requires(Scope.INGEST, Scope.READ)],
)
async def get_event_status(
    services: ServicesDep,
    event_id: Annotated[str, Path(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)],
) -> Response:
    """Tell whether it is accepted (in the log), committed (in the graph) or dead-lettered (refused).

    Events are known as long as retries are recognised, purchases and open dead letters for ever.
    """
    status = await _find(services, event_id)
    if status is None:
        window_s = services.settings.dedup_window_s
        raise NotFound(
            f"No event {event_id} was accepted in the last {window_s} s.",
            remedy="Send it: a purchase or refund that is in the graph already is never counted twice.",
        )
    return json_response(status.model_dump())


async def _find(services: Services, event_id: str) -> EventStatus | None:
    # A letter is written before the graph goes past its event: read in this order, none is missed.
    places = await services.event_log.places(event_id)
    letter = await services.dead_letters.newest_open(event_id)
    if letter is not None:
        number = next((place.number for place in places if place.shard == letter.shard), None)
        return EventStatus(
            event_id=event_id,
            status="dead_lettered",
            shard=letter.shard,
            number=number,
            dead_letter_id=letter.id,
        )
    if places:
        place = min(places, key=lambda place: place.is_committed)
        status: Literal["accepted", "committed"] = "committed" if place.is_committed else "accepted"
        return EventStatus(event_id=event_id, status=status, shard=place.shard, number=place.number)
    rows = await services.graph.rows("lookups/purchase", timeout_s=SERVING_TIMEOUT_S, event_id=event_id)
    return EventStatus(event_id=event_id, status="committed", shard=rows[0]["shard"]) if rows else None
