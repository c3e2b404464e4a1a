"""What the last inspection of the installation found, and what to do about it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from lsec.api.dependencies import ServicesDep, json_response, requires
from lsec.core.inspections import INSPECT_EVERY_S, FindingState
from lsec.core.ledger import Scope

router = APIRouter(prefix="/v1/inspections", tags=["health"])


class InspectionOut(BaseModel):
    """One part of the installation as it was last found."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "trainings.running",
                "state": "broken",
                "detail": "1 runs are `running` without a sign of life for up to 12 minutes: trn_….",
                "remedy": "A worker of their queue takes them up: `lsec status`, `lsec up`.",
                "checked_at": "2026-06-01T12:05:00Z",
                "since": "2026-06-01T12:00:00Z",
            }
        }
    )
    name: str
    state: FindingState
    detail: str = Field(description="What was found, with figures")
    remedy: str = Field(description="A command, a setting or a statement; empty where all is well")
    checked_at: datetime
    since: datetime = Field(description="When it was first found in this state")


class InspectionsOut(BaseModel):
    """The last inspection, the worst first."""

    counts: dict[str, int] = Field(description="How many parts are in each state")
    inspections: list[InspectionOut]


@router.get(
    "",
    summary="What the last inspection found",
    response_model=InspectionsOut,
    dependencies=[requires(Scope.ADMIN)],
    description=f"The upkeep looks every {INSPECT_EVERY_S / 60:.0f} minutes; `lsec doctor` looks at once.",
)
async def get_inspections(
    services: ServicesDep,
    state: Annotated[FindingState | None, Query(description="Only those in this state")] = None,
) -> Response:
    """List what was looked at, the worst first."""
    found = await services.inspections.list(state)
    rows = [{name: getattr(row, name) for name in InspectionOut.model_fields} for row in found]
    return json_response({"counts": await services.inspections.count(), "inspections": rows})
