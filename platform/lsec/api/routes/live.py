"""The live feed of events, as server-sent events."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Header, Query
from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from graph_schema.events import EVENT_TYPES
from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import ID_PATTERN, MAX_SHOWN, ServicesDep, invalid, requires
from lsec.api.openapi import problems
from lsec.api.stores.keys import Caller
from lsec.api.stores.live_chunks import Wanted
from lsec.core.ledger import Scope

KEEP_ALIVE_S = 15
MAX_VALUES = 100
RESUME = "Go on after the event of this `id:`; the header Last-Event-ID says the same"

router = APIRouter(prefix="/v1/events", tags=["events"])

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
Ids = Annotated[list[Id], Field(max_length=MAX_VALUES)]


@router.get(
    "/live",
    summary="Follow events as they come in (server-sent events)",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "A message an event: its type is the name, the event as it was sent the data, and "
            "`id` where to resume. `event: gap` says how many events the log no longer holds.",
            "content": {"text/event-stream": {}},
        },
        **problems(400),
    },
)
async def get_live(
    services: ServicesDep,
    caller: Annotated[Caller, requires(Scope.ANALYST)],
    streamer_id: Annotated[Ids, Query(description="Only of this streamer; may be repeated")] = [],  # noqa: B006 - read only
    product_id: Annotated[Ids, Query(description="Only of this product; may be repeated")] = [],  # noqa: B006 - read only
    user_id: Annotated[Ids, Query(description="Only of this user; may be repeated")] = [],  # noqa: B006 - read only
    types: Annotated[list[str], Query(alias="type", description="Only of this type; may be repeated")] = [],  # noqa: B006 - read only
    resume_after: Annotated[str, Query(alias="last_event_id", description=RESUME)] = "",
    last_event_id: Annotated[str, Header(description="Where to resume, as browsers send it")] = "",
) -> EventSourceResponse:
    """Send what the log takes in from now on, or after `Last-Event-ID`, as long as the log holds it.

    An event appears when it is accepted, which is before it is in the graph.
    """
    _check_types(types)
    ids = {"streamer_id": streamer_id, "product_id": product_id, "user_id": user_id}
    wanted = Wanted(frozenset(types), {name: frozenset(values) for name, values in ids.items() if values})
    # The header is what a browser sends when it comes back: it is newer than the address.
    token = last_event_id or resume_after
    listener = services.live_feed.listener(wanted, token=token, key_id=caller.key_id)

    # Without an id: it may overtake a message, and be overtaken.
    def sign_of_life() -> ServerSentEvent:
        return ServerSentEvent(comment="waiting", sep="\n")

    return EventSourceResponse(
        listener.messages(), ping=KEEP_ALIVE_S, ping_message_factory=sign_of_life, sep="\n"
    )


def _check_types(types: Sequence[str]) -> None:
    for name in types:
        if name not in EVENT_TYPES:
            reason = f"{name[:MAX_SHOWN]!r} is no type of event; there are: {', '.join(EVENT_TYPES)}"
            raise invalid(reason, "query", "type")
