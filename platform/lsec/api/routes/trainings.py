"""Training runs: ask for one, watch it, cancel it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from lsec.api.bodies import read_body
from lsec.api.dependencies import LedgerId, ServicesDep, json_response, requires
from lsec.api.openapi import problems
from lsec.api.stores.keys import Caller
from lsec.api.stores.run_logs import run_log
from lsec.api.stores.trainings import TrainingStore
from lsec.api.training_request import MAX_REQUEST_BYTES, TrainingAsk, parse_request
from lsec.core.ledger import Scope, Training, TrainingStatus

PROGRESS_EVERY_S = 0.3
KEEP_ALIVE_S = 10
DEFAULT_LOG_BYTES = 64 * 1024
MAX_LOG_BYTES = 16 * 1024 * 1024

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])


class TrainingOut(BaseModel):
    """A training run as it stands."""

    id: str
    status: Literal["queued", "running", "succeeded", "rejected", "failed", "cancelled"]
    request: dict[str, Any]
    reason: str = Field(description="Why it was asked for; a line for each ask that was merged into it")
    queue: str = Field(
        description="The queue of its job: `trainings`, or `trainings-gpu` where it needs a GPU"
    )
    worker: str = Field(description="The worker that runs it, or ran it last")
    snapshot_id: str | None
    phase: str
    percent: float
    eta_s: float | None = Field(description="Seconds until the run's end, all phases that are left")
    message: str
    timings_s: dict[str, Any]
    metrics: dict[str, Any] = Field(description="`validations` in it is the curve, oldest first")
    release_id: str | None
    error: str | None
    version: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    cancel_requested_at: datetime | None


class TrainingsOut(BaseModel):
    """Training runs, newest first."""

    trainings: list[TrainingOut]


def training_json(training: Training) -> dict[str, Any]:
    """The training as the API shows it: without whose key asked for it."""
    return {name: getattr(training, name) for name in TrainingOut.model_fields}


@router.post(
    "",
    summary="Ask for a training",
    status_code=202,
    response_model=TrainingOut,
    responses={
        200: {"description": "One that waits with the same request: the ask was merged into it"},
        **problems(400, 404, 409, 413, 415),
    },
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": TrainingAsk.model_json_schema()}}}
    },
)
async def post_training(
    request: Request,
    services: ServicesDep,
    caller: Annotated[Caller, requires(Scope.ADMIN)],
) -> Response:
    """Queue a run: export, train, evaluate, judge, release and, unless told otherwise, publish.

    One run of the same subgraph works at a time. What is asked for while one with the same request waits is
    merged into that: 200 instead of 202.
    """
    wanted = parse_request(await read_body(request, max_bytes=MAX_REQUEST_BYTES))
    if wanted.snapshot is not None:
        await services.snapshots.check_usable(wanted.snapshot)
    training, is_new = await services.trainings.create(
        wanted.request(), reason=wanted.reason, key_id=caller.key_id
    )
    location = {"Location": f"{router.prefix}/{training.id}"}
    return json_response(training_json(training), 202 if is_new else 200, headers=location)


@router.get(
    "", summary="The newest trainings", response_model=TrainingsOut, dependencies=[requires(Scope.ADMIN)]
)
async def get_trainings(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """List runs, newest first."""
    trainings = await services.trainings.list(limit=limit)
    return json_response({"trainings": [training_json(training) for training in trainings]})


@router.get(
    "/{training_id}",
    summary="One training",
    response_model=TrainingOut,
    responses=problems(404),
    dependencies=[requires(Scope.ADMIN)],
)
async def get_training(services: ServicesDep, training_id: LedgerId) -> Response:
    """Show a run as it stands."""
    return json_response(training_json(await services.trainings.get(training_id)))


@router.post(
    "/{training_id}/cancel",
    summary="Cancel a training",
    status_code=202,
    response_model=TrainingOut,
    responses=problems(404, 409),
)
async def cancel_training(
    services: ServicesDep,
    training_id: LedgerId,
    caller: Annotated[Caller, requires(Scope.ADMIN)],
) -> Response:
    """End a queued run at once, a running one as soon as its worker sees it; 409 if it is over."""
    training = await services.trainings.cancel(training_id, key_id=caller.key_id)
    return json_response(training_json(training), 202)


@router.get(
    "/{training_id}/log",
    summary="The log of a training",
    dependencies=[requires(Scope.ADMIN)],
    response_class=PlainTextResponse,
    responses=problems(404),
)
async def get_training_log(
    services: ServicesDep,
    training_id: LedgerId,
    last_bytes: Annotated[
        int, Query(ge=1, le=MAX_LOG_BYTES, description="So much of the log's end, from a line's begin on")
    ] = DEFAULT_LOG_BYTES,
) -> Response:
    """What became of the run, and what its trainer wrote, until its folder is deleted."""
    training = await services.trainings.get(training_id)
    return PlainTextResponse(await run_log(services.settings, training, last_bytes=last_bytes))


@router.get(
    "/{training_id}/progress",
    summary="Follow a training (server-sent events)",
    dependencies=[requires(Scope.ADMIN)],
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "`event: progress` with the training after each change, then `event: done`",
            "content": {"text/event-stream": {}},
        },
        **problems(404),
    },
)
async def get_progress(services: ServicesDep, training_id: LedgerId) -> EventSourceResponse:
    """Send the run whenever it changes, until its final state."""
    training = await services.trainings.get(training_id)
    return EventSourceResponse(_progress(services.trainings, training), ping=KEEP_ALIVE_S)


async def _progress(store: TrainingStore, training: Training) -> AsyncIterator[ServerSentEvent]:
    while True:
        data = orjson.dumps(training_json(training)).decode()
        yield ServerSentEvent(data, event="progress", id=str(training.version))
        if TrainingStatus(training.status).is_final:
            yield ServerSentEvent(data, event="done", id=str(training.version))
            return
        training = await _next_version(store, training)


async def _next_version(store: TrainingStore, training: Training) -> Training:
    while True:
        await asyncio.sleep(PROGRESS_EVERY_S)
        newer = await store.get_if_newer(training.id, training.version)
        if newer is not None:
            return newer
