"""What may be asked of a training: the subgraph, the model, and how it is to be told from others."""

from datetime import UTC
from typing import Annotated, Any, Literal, Self, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.bodies import read_body
from lsec.api.dependencies import ID_PATTERN, LEDGER_ID_PATTERN, Moment, invalid
from lsec.core.errors import InvalidInput
from lsec.core.jobs import DEFAULT_MODEL, HOW_TO_PUBLISH, MODEL_NAMES, WHY_UNPUBLISHED, can_be_published
from lsec.core.training_requests import BY_HAND

MAX_REQUEST_BYTES = 256 * 1024
MAX_SCOPE_IDS = 1000
MAX_HYPERPARAMETERS = 64
MAX_NUMBERS = 16
MAX_NUMBER = 2**53
MAX_TEXT = 64
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"

Body = TypeVar("Body", bound=BaseModel)
GraphIdField = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
Selection = Annotated[
    list[GraphIdField] | None,
    Field(
        min_length=1, max_length=MAX_SCOPE_IDS, description="Only these; null for all, never an empty list"
    ),
]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\r\n]*$")
]
OverrideReason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500)]
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


class SubgraphScope(BaseModel):
    """A part of the graph; all of it where nothing is named."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    since: UtcMoment | None = Field(None, description="Purchases at or after this time")
    until: UtcMoment | None = Field(None, description="Purchases before this time")
    categories: Selection = None
    streamers: Selection = None
    min_purchases: int = Field(1, ge=1, le=1_000_000, description="Leave out users with fewer purchases")

    @model_validator(mode="after")
    def _window_is_not_empty(self) -> Self:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("since must be before until")
        return self


class TrainingRequest(SubgraphScope):
    """The subgraph to train on and how; an empty object takes all of it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"since": "2026-01-01T00:00:00Z", "min_purchases": 2, "seed": 1}},
    )
    snapshot: str | None = Field(
        None,
        pattern=LEDGER_ID_PATTERN,
        description="Train on this snapshot, instead of a new one of the subgraph; its scope is its own",
    )
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
    override_gate: OverrideReason | None = Field(
        None, description="Why the release is to be published even if the gate rejects it; goes on record"
    )
    warm_start: bool = Field(
        False,
        description="Let the default model start from the vectors of the release that is served, "
        "and take about half the steps",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where to train: `cuda` on a worker of the GPUs' queue; `auto` as the server is set",
    )


class TrainingAsk(TrainingRequest):
    """A request with the reason for it, which stands on the run; asks for the same are one run."""

    reason: Reason = Field(BY_HAND, description="Why it is asked for")

    def request(self) -> dict[str, Any]:
        """What is asked for, without the reason, as the ledger keeps it."""
        return self.model_dump(mode="json", exclude={"reason"})


def parse_request(body: bytes) -> TrainingAsk:
    """The request; RequestValidationError naming the field that is wrong. An empty body takes defaults."""
    request = parse_body(TrainingAsk, body)
    check_model(request)
    check_scope(request)
    return request


async def read_as(kind: type[Body], request: Request) -> Body:
    """What a request's body asks for; the errors are those of `read_body` and `parse_body`."""
    return parse_body(kind, await read_body(request, max_bytes=MAX_REQUEST_BYTES))


def parse_body(kind: type[Body], body: bytes) -> Body:
    """What a body asks for, checked; RequestValidationError naming the field that is wrong."""
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise InvalidInput(f"The body cannot be read: {error.errors()[0]['msg']}.") from None
        errors = error.errors(include_url=False, include_input=False)
        # The whole window is wrong, which pydantic knows no field for.
        errors[0]["loc"] = errors[0]["loc"] or ("until" if errors[0]["type"] == "value_error" else "body",)
        raise RequestValidationError(errors) from None


def check_scope(request: TrainingRequest) -> None:
    """InvalidInput if the request names a snapshot, and a subgraph beside it, which that has of its own."""
    if request.snapshot is None:
        return
    for name, field in SubgraphScope.model_fields.items():
        if getattr(request, name) != field.default:
            raise InvalidInput(
                f"{name}: a snapshot has a scope of its own, so none can be asked for beside it.",
                remedy=f"Leave out {name}, or snapshot to have a new one exported.",
                field=name,
            )


def check_model(request: TrainingRequest, *place: str) -> None:
    """RequestValidationError, at a place of the body, for a model that is unknown or cannot be served."""
    if request.model not in MODEL_NAMES:
        known = ", ".join(MODEL_NAMES)
        reason = f"there is no model {request.model[:60]!r}; known are: {known}"
        raise invalid(reason, *place, "model")
    # What a preset says of the predictor only the worker can read: it refuses then.
    is_publishable = bool(request.preset) or can_be_published(request.model, request.hyperparameters)
    if request.publish and not is_publishable:
        reason = f"{request.model} cannot be published: {WHY_UNPUBLISHED}. {HOW_TO_PUBLISH}"
        raise invalid(reason, *place, "publish")
