"""Erasures: how far they are, and what still holds the user."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from lsec.api.dependencies import LedgerId, ServicesDep, json_response, requires
from lsec.api.openapi import problems
from lsec.core.ledger import Erasure, Scope

router = APIRouter(prefix="/v1/erasures", tags=["users"], dependencies=[requires(Scope.ADMIN)])


class ErasureOut(BaseModel):
    """An erasure as it stands; the user's id is forgotten when it is done."""

    id: str
    state: Literal["accepted", "in_graph", "done"]
    user_id: str | None
    user_hash: str = Field(description="SHA-256 of the user's id")
    requested_at: datetime
    requested_by: str
    waiting_for: list[str] = Field(description="What still holds the user, in words")
    checked_at: datetime | None
    committed_at: datetime | None = Field(description="When the graph was seen to have forgotten the user")
    done_at: datetime | None


class ErasuresOut(BaseModel):
    """Erasures, newest first."""

    erasures: list[ErasureOut]


def erasure_json(erasure: Erasure) -> dict[str, Any]:
    """The erasure as the API shows it."""
    return {name: getattr(erasure, name) for name in ErasureOut.model_fields}


@router.get("", summary="The newest erasures", response_model=ErasuresOut)
async def get_erasures(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """List erasures, newest first."""
    found = await services.erasures.list(limit=limit)
    return json_response({"erasures": [erasure_json(each) for each in found]})


@router.get("/{erasure_id}", summary="One erasure", response_model=ErasureOut, responses=problems(404))
async def get_erasure(services: ServicesDep, erasure_id: LedgerId) -> Response:
    """Show how far an erasure is, and what it waits for."""
    return json_response(erasure_json(await services.erasures.get(erasure_id)))
