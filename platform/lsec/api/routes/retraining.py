"""Retraining: when the platform trains by itself, and what its last look at the data found."""

from datetime import datetime
from typing import Annotated, Any

from celery.schedules import ParseException, crontab
from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lsec.api.dependencies import ServicesDep, json_response, requires
from lsec.api.openapi import problems
from lsec.api.stores.keys import Caller
from lsec.api.training_request import TrainingRequest, check_model, check_scope, read_as
from lsec.core.ledger import Scope, utc_now
from lsec.core.release_ledger import RetrainingPolicy
from lsec.core.retraining import DEFAULT_MIN_NEW_SHARE

router = APIRouter(prefix="/v1/retraining", tags=["trainings"])

NUM_FIELDS = 5


def checked_cron(text: str) -> str:
    """The five fields, a space between each; ValueError if the workers' scheduler cannot read them."""
    fields = text.split()
    if not fields:
        return ""
    if len(fields) != NUM_FIELDS:
        raise ValueError(f"cron has {NUM_FIELDS} fields (minute hour day month weekday), not {len(fields)}")
    try:
        # It looks a few years ahead: what never comes is found out, too.
        crontab.from_string(" ".join(fields)).remaining_estimate(utc_now())
    except (ParseException, ValueError, RuntimeError) as error:
        raise ValueError(f"{text!r} is no cron: {error}") from None
    return " ".join(fields)


Cron = Annotated[
    str,
    Field(max_length=64, description="Minute, hour, day, month and weekday, in UTC; '' for no fixed times"),
    AfterValidator(checked_cron),
]


class PolicyIn(BaseModel):
    """When to train by itself, and what."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "is_enabled": True,
                "cron": "0 3 * * *",
                "min_new_share": 0.1,
                "max_drift": 0.05,
                "request": {"min_purchases": 2},
            }
        },
    )
    is_enabled: bool = Field(description="While it is off, nothing is asked for")
    cron: Cron = ""
    min_new_share: float = Field(
        DEFAULT_MIN_NEW_SHARE,
        ge=0,
        le=1000,
        description="Due when the purchases since the active release are such a share of its own; 0: never",
    )
    max_drift: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Due when what is bought has drifted by so many bits (Jensen-Shannon); 0: never",
    )
    request: TrainingRequest = Field(
        default_factory=lambda: TrainingRequest(), description="What to train, as in POST /v1/trainings"
    )


class VerdictOut(BaseModel):
    """What a look found; shares are of the active release's purchases, drift in bits."""

    is_due: bool
    reason: str
    release_id: str | None
    num_new: int = Field(description="Purchases that the release's snapshot did not see")
    num_known: int
    new_share: float
    drift: float | None = Field(
        description="Beyond what chance alone gives; null where too little was bought"
    )
    drift_by_chance: float | None
    is_capped: bool = Field(description="There are more new purchases than were looked at")
    waits_for: str = Field(description="Why nothing is asked for though a bound is passed")


class PolicyOut(BaseModel):
    """The policy as it stands, with the last look at the data."""

    is_enabled: bool
    cron: str
    min_new_share: float
    max_drift: float
    request: dict[str, Any]
    updated_at: datetime
    fired_at: datetime | None = Field(description="When one of the fixed times was last acted on")
    checked_at: datetime | None
    verdict: VerdictOut | None


def policy_schema() -> dict[str, Any]:
    """The policy's JSON Schema in one piece: in the API's description its references would lead nowhere."""
    schema = PolicyIn.model_json_schema()
    definitions = schema.pop("$defs")
    schema["properties"]["request"] = definitions["TrainingRequest"]
    return schema


def policy_json(policy: RetrainingPolicy) -> dict[str, Any]:
    """The policy as the API shows it."""
    shown = {name: getattr(policy, name) for name in PolicyOut.model_fields}
    return shown | {"verdict": policy.verdict or None}


@router.get(
    "", summary="When it trains by itself", response_model=PolicyOut, dependencies=[requires(Scope.ADMIN)]
)
async def get_retraining(services: ServicesDep) -> Response:
    """Show the policy and what the last look at the data found."""
    return json_response(policy_json(await services.retraining.get()))


@router.put(
    "",
    summary="Set when it trains by itself",
    response_model=PolicyOut,
    responses=problems(400, 413, 415),
    openapi_extra={
        "requestBody": {
            "content": {"application/json": {"schema": policy_schema()}},
            "required": True,
        }
    },
)
async def put_retraining(
    request: Request, services: ServicesDep, caller: Annotated[Caller, requires(Scope.ADMIN)]
) -> Response:
    """Replace the policy; it holds within a minute, and on record stands who set it."""
    policy = await read_as(PolicyIn, request)
    check_model(policy.request, "request")
    check_scope(policy.request)
    values = policy.model_dump(mode="json")
    return json_response(policy_json(await services.retraining.put(values, key_id=caller.key_id)))


@router.post(
    "/check",
    summary="Look whether a training is due",
    response_model=PolicyOut,
    responses=problems(503),
    dependencies=[requires(Scope.ADMIN)],
)
async def check_retraining(services: ServicesDep) -> Response:
    """Have the upkeep look at the data now, and say what it finds; nothing is asked for by that."""
    return json_response(policy_json(await services.retraining.check()))
