"""Experiments: a share of the users sees a challenger instead of the champion, until one of them has won."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from lsec.api.dependencies import LEDGER_ID_PATTERN, LedgerId, ServicesDep, json_response, requires
from lsec.api.openapi import problems
from lsec.api.routes.release_changes import require_publishable
from lsec.api.stores.keys import Caller
from lsec.core.errors import ArtifactError, Conflict, NotFound
from lsec.core.experiments import (
    DEFAULT_MAX_LOSS,
    DEFAULT_SHARE,
    DEFAULT_WINDOW_S,
    MAX_SHARE,
    MIN_SHARE,
    Guards,
)
from lsec.core.ledger import Scope
from lsec.core.release_ledger import Experiment

MIN_WINDOW_S, MAX_WINDOW_S = 60, 30 * 24 * 3600
MAX_REASON = 1000

router = APIRouter(prefix="/v1/experiments", tags=["experiments"])

Admin = Annotated[Caller, requires(Scope.ADMIN)]
Status = Literal["running", "stopped", "promoted", "rolled_back"]


class GuardsIn(BaseModel):
    """What ends the experiment by itself, with all users back at the champion."""

    model_config = ConfigDict(extra="forbid")

    max_conversion_loss: float | None = Field(
        DEFAULT_MAX_LOSS,
        gt=0,
        lt=1,
        description="Once the challenger's conversion rate is for sure lower by more than this share of the "
        "champion's; null for never",
    )
    dismissals: bool = Field(True, description="Once for sure more users dismiss what the challenger shows")


class ExperimentIn(BaseModel):
    """Which release to try, on how many of the users, and what counts as a conversion."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"challenger_id": "rel_0123456789a", "share": 0.1}}
    )
    challenger_id: str = Field(pattern=LEDGER_ID_PATTERN)
    share: float = Field(DEFAULT_SHARE, ge=MIN_SHARE, le=MAX_SHARE, description="Of the users")
    window_s: int = Field(
        DEFAULT_WINDOW_S,
        ge=MIN_WINDOW_S,
        le=MAX_WINDOW_S,
        description="So long from a user's first impression on a purchase counts",
    )
    guards: GuardsIn = Field(default_factory=GuardsIn)


class ReasonIn(BaseModel):
    """Why, for the audit log and the experiment's outcome."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"reason": "the sale begins"}})
    reason: str = Field("", max_length=MAX_REASON)


class ArmOut(BaseModel):
    """What users of one release did in their window; all but the first figure are of those it is over for."""

    num_users_seen: int = Field(description="Users with an impression, whether their window is over or not")
    num_users: int
    num_impressions: int
    num_conversions: int = Field(description="Shown products that their user bought in the window, and kept")
    num_users_converted: int
    conversion_rate: float | None = Field(description="Users with a conversion, as a share")
    amount_per_user: float | None = Field(description="Of what these purchases cost")
    num_users_dismissed: int = Field(description="Users who dismissed something that they were shown")


class IntervalOut(BaseModel):
    """An estimate between its always-valid bounds; an upper bound that is infinite is null."""

    estimate: float
    lower: float
    upper: float | None


class SplitOut(BaseModel):
    """Whether the share of users in the challenger's arm is what it should be."""

    share: float
    found: IntervalOut | None = Field(description="Of the users seen, at 99 %")
    fits: bool


class MethodOut(BaseModel):
    """How the intervals are made."""

    name: str
    source: str
    confidence: float


class ResultOut(BaseModel):
    """The figures; a lift is the challenger's less the champion's, null until there is enough to tell."""

    arms: dict[str, ArmOut]
    lift: IntervalOut | None = Field(description="Of the share of users with a conversion")
    relative_lift: IntervalOut | None = Field(description="The same, as a share of the champion's")
    amount_lift: IntervalOut | None = Field(description="Of the amount per user")
    dismissal_lift: IntervalOut | None = Field(description="Of the share of users with a dismissal")
    split: SplitOut
    method: MethodOut
    recommendation: str
    took_s: float


class ExperimentOut(BaseModel):
    """An experiment: which releases, on how many users, what came out so far, and how it ended."""

    id: str
    status: Status
    champion_id: str
    challenger_id: str
    share: float
    window_s: int
    guards: GuardsIn
    is_shown: bool = Field(description="Whether users see the challenger now")
    result: ResultOut | None = Field(description="As of `checked_at`; null before the first look")
    outcome: str = Field(description="How it ended, and why")
    started_by: str
    started_at: datetime
    checked_at: datetime | None
    ended_at: datetime | None


class ExperimentsOut(BaseModel):
    """Experiments, newest first."""

    experiments: list[ExperimentOut]


def experiment_json(experiment: Experiment, *, shown_id: str | None) -> dict[str, Any]:
    """The experiment as the API shows it; `shown_id` is that of which the challenger's pointer tells."""
    own = {"is_shown": experiment.id == shown_id, "result": experiment.result or None}
    return {
        name: own[name] if name in own else getattr(experiment, name) for name in ExperimentOut.model_fields
    }


async def _shown(services: ServicesDep, experiment: Experiment, status: int = 200) -> Response:
    shown_id = await services.experiments.shown_id()
    return json_response(experiment_json(experiment, shown_id=shown_id), status)


@router.post(
    "",
    summary="Try a release on a share of the users",
    status_code=201,
    response_model=ExperimentOut,
    responses=problems(404, 409),
)
async def start_experiment(services: ServicesDep, caller: Admin, wish: ExperimentIn) -> Response:
    """Show the challenger to its share of the users, chosen by a hash of their id.

    One whose slates are not in the graph yet is shown once they are written: see `is_shown`. 409 if an
    experiment runs, or the release is active, deleted, not on disk, or has not passed the gate.
    """
    if (await services.releases.get(wish.challenger_id)).deleted_at is None:
        try:
            require_publishable(await services.follower.open(wish.challenger_id))
        except (ArtifactError, NotFound) as error:
            raise Conflict(f"The challenger's artifact cannot be read: {error.detail}") from error
    experiment = await services.experiments.start(
        wish.challenger_id,
        share=wish.share,
        window_s=wish.window_s,
        guards=Guards(**wish.guards.model_dump()),
        key_id=caller.key_id,
    )
    return await _shown(services, experiment, 201)


@router.get(
    "",
    summary="Experiments",
    response_model=ExperimentsOut,
    dependencies=[requires(Scope.ANALYST)],
)
async def get_experiments(
    services: ServicesDep, *, limit: Annotated[int, Query(ge=1, le=1000)] = 20
) -> Response:
    """List experiments, newest first."""
    shown_id = await services.experiments.shown_id()
    found = await services.experiments.list(limit=limit)
    return json_response({"experiments": [experiment_json(each, shown_id=shown_id) for each in found]})


@router.get(
    "/{experiment_id}",
    summary="An experiment with its figures",
    response_model=ExperimentOut,
    responses=problems(404),
    dependencies=[requires(Scope.ANALYST)],
)
async def get_experiment(services: ServicesDep, experiment_id: LedgerId) -> Response:
    """Show what came out so far, worked out each minute. It may be looked at, and acted on, at any time."""
    return await _shown(services, await services.experiments.get(experiment_id))


@router.post(
    "/{experiment_id}/stop",
    summary="Stop an experiment",
    response_model=ExperimentOut,
    responses=problems(404, 409),
)
async def stop_experiment(
    services: ServicesDep, experiment_id: LedgerId, caller: Admin, wish: ReasonIn | None = None
) -> Response:
    """Show all users the champion again."""
    reason = (wish or ReasonIn()).reason
    stopped = await services.experiments.stop(experiment_id, reason=reason, key_id=caller.key_id)
    return await _shown(services, stopped)


@router.post(
    "/{experiment_id}/promote",
    summary="Promote the challenger",
    response_model=ExperimentOut,
    responses=problems(404, 409),
)
async def promote_challenger(
    services: ServicesDep, experiment_id: LedgerId, caller: Admin, wish: ReasonIn | None = None
) -> Response:
    """Make the challenger the active release, and end the experiment."""
    reason = (wish or ReasonIn()).reason
    promoted = await services.experiments.promote(experiment_id, reason=reason, key_id=caller.key_id)
    return await _shown(services, promoted)
