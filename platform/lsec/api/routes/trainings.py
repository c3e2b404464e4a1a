"""Training runs: ask for one, watch it, cancel it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from sse_starlette import EventSourceResponse, ServerSentEvent

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.bodies import read_body
from lsec.api.dependencies import (
    ID_PATTERN,
    LedgerId,
    Moment,
    ServicesDep,
    invalid,
    json_response,
    requires,
)
from lsec.api.openapi import problems
from lsec.api.stores.keys import Caller
from lsec.api.stores.trainings import TrainingStore
from lsec.core.errors import InvalidInput
from lsec.core.jobs import DEFAULT_MODEL, HOW_TO_PUBLISH, MODEL_NAMES, WHY_UNPUBLISHED, can_be_published
from lsec.core.ledger import Scope, Training, TrainingStatus

MAX_REQUEST_BYTES = 256 * 1024
PROGRESS_EVERY_S = 0.3
KEEP_ALIVE_S = 10
MAX_SCOPE_IDS = 1000
MAX_HYPERPARAMETERS = 64
MAX_NUMBERS = 16
MAX_NUMBER = 2**53
MAX_TEXT = 64
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])

GraphIdField = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
Selection = Annotated[
    list[GraphIdField] | None,
    Field(
        min_length=1, max_length=MAX_SCOPE_IDS, description="Only these; null for all, never an empty list"
    ),
]
UtcMoment = Annotated[Moment, AfterValidator(lambda moment: moment.astimezone(UTC))]


def _are_plain(values: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters if each is a number, a short text, or a short list of numbers.

    Which there are, and their bounds, the trainer knows: a run that names another fails before its export.
    """
    for name, value in values.items():
        numbers = value if isinstance(value, list) else [value]
        is_plain = isinstance(value, str) and len(value) <= MAX_TEXT
        if not is_plain and not (len(numbers) <= MAX_NUMBERS and all(map(_is_number, numbers))):
            raise ValueError(
                f"{name} must be a number, up to {MAX_NUMBERS} of them, or a text of up to {MAX_TEXT} signs"
            )
    return values


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= MAX_NUMBER


Hyperparameters = Annotated[
    dict[Annotated[str, Field(pattern=NAME_PATTERN)], Any],
    Field(max_length=MAX_HYPERPARAMETERS, description="What differs from the defaults, and from the preset"),
    AfterValidator(_are_plain),
]


class TrainingRequest(BaseModel):
    """The subgraph to train on and how; an empty object takes all of it."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        json_schema_extra={"example": {"since": "2026-01-01T00:00:00Z", "min_purchases": 2, "seed": 1}},
    )
    since: UtcMoment | None = Field(None, description="Purchases at or after this time")
    until: UtcMoment | None = Field(None, description="Purchases before this time")
    categories: Selection = None
    streamers: Selection = None
    min_purchases: int = Field(1, ge=1, le=1_000_000, description="Leave out users with fewer purchases")
    model: str = Field(
        DEFAULT_MODEL,
        description=f"One of {', '.join(MODEL_NAMES)}; all but the first are for comparison, "
        "unless their predictor is inner_product",
    )
    hyperparameters: Hyperparameters = {}
    preset: str | None = Field(
        None,
        pattern=NAME_PATTERN,
        description="Hyperparameters that `lsec tune --save-as` kept on the server",
    )
    seed: int = Field(0, ge=0, le=2**31 - 1)
    publish: bool = Field(
        True,
        description="Make the release active when it is done; false for a model that is for comparison only",
    )

    @model_validator(mode="after")
    def _window_is_not_empty(self) -> Self:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("since must be before until")
        return self


class TrainingOut(BaseModel):
    """A training run as it stands."""

    id: str
    status: Literal["queued", "running", "succeeded", "rejected", "failed", "cancelled"]
    request: dict[str, Any]
    phase: str
    percent: float
    eta_s: float | None
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


def parse_request(body: bytes) -> TrainingRequest:
    """The request; RequestValidationError naming the field that is wrong. An empty body takes defaults."""
    try:
        request = TrainingRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise InvalidInput(f"The body cannot be read: {error.errors()[0]['msg']}.") from None
        errors = error.errors(include_url=False, include_input=False)
        # The whole window is wrong, which pydantic knows no field for.
        errors[0]["loc"] = errors[0]["loc"] or ("until" if errors[0]["type"] == "value_error" else "body",)
        raise RequestValidationError(errors) from None
    if request.model not in MODEL_NAMES:
        known = ", ".join(MODEL_NAMES)
        reason = f"there is no model {request.model[:60]!r}; known are: {known}"
        raise invalid(reason, "model")
    # What a preset says of the predictor only the worker can read: it refuses then.
    is_publishable = bool(request.preset) or can_be_published(request.model, request.hyperparameters)
    if request.publish and not is_publishable:
        reason = f"{request.model} cannot be published: {WHY_UNPUBLISHED}. {HOW_TO_PUBLISH}"
        raise invalid(reason, "publish")
    return request


@router.post(
    "",
    summary="Ask for a training",
    status_code=202,
    response_model=TrainingOut,
    responses=problems(400, 413, 415),
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": TrainingRequest.model_json_schema()}}}
    },
)
async def post_training(
    request: Request,
    services: ServicesDep,
    caller: Annotated[Caller, requires(Scope.ADMIN)],
) -> Response:
    """Queue a run: export, train, evaluate, release and, unless told otherwise, publish."""
    wanted = parse_request(await read_body(request, max_bytes=MAX_REQUEST_BYTES))
    training = await services.trainings.create(wanted.model_dump(mode="json"), key_id=caller.key_id)
    location = {"Location": f"{router.prefix}/{training.id}"}
    return json_response(training_json(training), 202, headers=location)


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
