"""Snapshots of the graph: export one, see what it holds, keep it for other trainings, delete it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lsec.api.dependencies import LedgerId, ServicesDep, json_response, requires
from lsec.api.openapi import problems
from lsec.api.stores.keys import Caller
from lsec.api.training_request import SubgraphScope, read_as
from lsec.core.ledger import Scope
from lsec.core.release_ledger import SnapshotRecord

router = APIRouter(prefix="/v1/snapshots", tags=["snapshots"])


class SnapshotRequest(SubgraphScope):
    """The subgraph to export; an empty object takes all of it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"since": "2026-01-01T00:00:00Z", "categories": ["shoes"]}}
    )
    keep: bool = Field(True, description="Keep it until it is deleted; false to have retention delete it")


class SnapshotOut(BaseModel):
    """An exported subgraph."""

    id: str
    training_id: str | None = Field(
        description="The run that exported it; null if it was asked for by itself"
    )
    state: Literal["exporting", "ready", "failed"]
    percent: float = Field(description="Of its export; that of a run is the run's to tell")
    error: str | None
    scope: dict[str, Any]
    positions: list[dict[str, Any]] = Field(
        description="The last batch of each shard whose purchases it holds: `shard`, `seq`, `position`"
    )
    counts: dict[str, Any] = Field(description="Rows of each table")
    sha256: str
    num_bytes: int
    is_kept: bool
    created_at: datetime


class SnapshotsOut(BaseModel):
    """Snapshots, newest first."""

    snapshots: list[SnapshotOut]


def snapshot_json(record: SnapshotRecord) -> dict[str, Any]:
    """The snapshot as the API shows it: without whose key asked for it."""
    return {name: getattr(record, name) for name in SnapshotOut.model_fields}


@router.post(
    "",
    summary="Export a snapshot",
    status_code=202,
    response_model=SnapshotOut,
    responses=problems(400, 413, 415),
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": SnapshotRequest.model_json_schema()}}}
    },
)
async def post_snapshot(
    request: Request, services: ServicesDep, caller: Annotated[Caller, requires(Scope.ADMIN)]
) -> Response:
    """Have the workers export a subgraph, for one training or several to use."""
    wanted = await read_as(SnapshotRequest, request)
    scope = wanted.model_dump(mode="json", exclude={"keep"})
    record = await services.snapshots.create(scope, keep=wanted.keep, key_id=caller.key_id)
    location = {"Location": f"{router.prefix}/{record.id}"}
    return json_response(snapshot_json(record), 202, headers=location)


@router.get(
    "", summary="The newest snapshots", response_model=SnapshotsOut, dependencies=[requires(Scope.ANALYST)]
)
async def get_snapshots(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """List snapshots, newest first."""
    records = await services.snapshots.list(limit=limit)
    return json_response({"snapshots": [snapshot_json(record) for record in records]})


@router.get(
    "/{snapshot_id}",
    summary="One snapshot",
    response_model=SnapshotOut,
    responses=problems(404),
    dependencies=[requires(Scope.ANALYST)],
)
async def get_snapshot(services: ServicesDep, snapshot_id: LedgerId) -> Response:
    """Show a snapshot: its state, its scope, and what it holds."""
    return json_response(snapshot_json(await services.snapshots.get(snapshot_id)))


@router.post(
    "/{snapshot_id}/keep",
    summary="Keep a snapshot",
    response_model=SnapshotOut,
    responses=problems(404, 409),
)
async def keep_snapshot(
    services: ServicesDep, snapshot_id: LedgerId, caller: Annotated[Caller, requires(Scope.ADMIN)]
) -> Response:
    """Keep a snapshot that retention would delete, until it is deleted by hand."""
    record = await services.snapshots.keep(snapshot_id, key_id=caller.key_id)
    return json_response(snapshot_json(record))


@router.delete(
    "/{snapshot_id}",
    summary="Delete a snapshot",
    response_model=SnapshotOut,
    responses=problems(404, 409),
)
async def delete_snapshot(
    services: ServicesDep, snapshot_id: LedgerId, caller: Annotated[Caller, requires(Scope.ADMIN)]
) -> Response:
    """Delete a snapshot, kept or not, as it was; 409 while a training uses it. Its files go soon after."""
    record = await services.snapshots.delete(snapshot_id, key_id=caller.key_id)
    return json_response(snapshot_json(record))
