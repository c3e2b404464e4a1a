"""Changes of releases: promote, roll back, pin, delete; and the comparison to look at before."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.dependencies import (
    ID_PATTERN,
    LEDGER_ID_PATTERN,
    LedgerId,
    ServicesDep,
    json_response,
    requires,
)
from lsec.api.openapi import problems
from lsec.api.routes.releases import ReleaseOut, shown
from lsec.api.stores.keys import Caller
from lsec.core.artifact import Artifact
from lsec.core.errors import Conflict, NotFound
from lsec.core.jobs import HOW_TO_PUBLISH, PUBLISHABLE_SCORINGS, WHY_UNPUBLISHED
from lsec.core.ledger import Scope
from lsec.core.release_comparison import Overlap, compare_figures, moves, overlap

MAX_REASON = 1000
MAX_COMPARED = 1000

router = APIRouter(prefix="/v1/releases", tags=["releases"])

Admin = Annotated[Caller, requires(Scope.ADMIN)]
Reason = Annotated[str, Field(max_length=MAX_REASON, description="Why, for the audit log")]
Expected = Annotated[
    str | None,
    Field(
        pattern=rf"{LEDGER_ID_PATTERN}|^$",
        description="Only if this release is active now; '' if none is. Null to change whatever is active",
    ),
]


class RollbackRequest(BaseModel):
    """Why, and what must be active for it to happen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"example": {"reason": "conversions fell by a third"}}
    )
    reason: Reason = ""
    expected: Expected = None


class PromotionRequest(RollbackRequest):
    """Why, what must be active for it to happen, and why the gate is passed over, if it is."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"example": {"reason": "the spring catalogue"}}
    )
    override: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_REASON,
        description="Why it may become active though it has not passed the gate",
    )


class KeepRequest(BaseModel):
    """Whether retention is to leave the artifact alone."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"example": {"is_kept": True}})
    is_kept: bool
    reason: Reason = ""


class FigureOut(BaseModel):
    """A figure of both releases; the difference is the other's less this one's."""

    name: str
    value: float | None
    other: float | None
    difference: float | None


class OverlapOut(BaseModel):
    """How alike the first products of the same users are."""

    k: int
    num_common_users: int
    num_compared_users: int = Field(description="With a slate in one of the releases at least")
    is_sampled: bool = Field(description="Whether the figures are of a sample of the common users")
    mean_jaccard: float | None
    same_first_share: float | None
    coverage: float | None = Field(description="Share of the products that these lists show")
    other_coverage: float | None


class MoveOut(BaseModel):
    """A product's places in a user's two slates, counted from 1; null where it is not in it."""

    product_id: str
    place: int | None
    other_place: int | None
    score: float | None
    other_score: float | None


class UserMoves(BaseModel):
    """A user's two slates."""

    user_id: str
    products: list[MoveOut]


class ComparisonOut(BaseModel):
    """Two releases side by side."""

    release_id: str
    other_id: str
    metrics: list[FigureOut]
    overlap: OverlapOut
    user: UserMoves | None


@router.get(
    "/{release_id}/compare/{other_id}",
    summary="Two releases side by side",
    response_model=ComparisonOut,
    responses=problems(404),
    dependencies=[requires(Scope.ANALYST)],
)
async def compare_releases(
    services: ServicesDep,
    release_id: LedgerId,
    other_id: LedgerId,
    *,
    k: Annotated[int, Query(ge=1, le=MAX_COMPARED, description="Of each slate, the first so many")] = 10,
    user_id: Annotated[
        str | None,
        Query(max_length=MAX_ID_LENGTH, pattern=ID_PATTERN, description="Also show this user's two slates"),
    ] = None,
) -> Response:
    """Compare the metrics, the slates, and one user's slates, as the artifacts hold them."""
    records = [await services.releases.get(each) for each in (release_id, other_id)]
    artifacts = (await services.follower.open(release_id), await services.follower.open(other_id))
    compared: Overlap = await asyncio.to_thread(overlap, *artifacts, k=k)
    figures = compare_figures(records[0].metrics, records[1].metrics)
    return json_response(
        {
            "release_id": release_id,
            "other_id": other_id,
            "metrics": [_figure(*each) for each in figures],
            "overlap": compared,
            "user": None if user_id is None else _user_moves(services, artifacts, user_id),
        }
    )


def _figure(name: str, value: float | None, other: float | None) -> dict[str, Any]:
    difference = None if value is None or other is None else other - value
    return {"name": name, "value": value, "other": other, "difference": difference}


def _user_moves(services: ServicesDep, artifacts: tuple[Artifact, Artifact], user_id: str) -> dict[str, Any]:
    found = None if user_id in services.erasures.leaving else moves(*artifacts, user_id)
    if found is None:
        raise NotFound(f"Neither release has a slate of user {user_id}.")
    return {"user_id": user_id, "products": found}


@router.post(
    "/rollback",
    summary="Roll back to the release before",
    response_model=ReleaseOut,
    responses={202: {"model": ReleaseOut, "description": "It is being written first"}, **problems(409)},
)
async def rollback(services: ServicesDep, caller: Admin, wish: RollbackRequest | None = None) -> Response:
    """Make the release active that was before; at once, if the graph still holds it."""
    wish = wish or RollbackRequest()
    release_id = await services.promotions.rollback(
        key_id=caller.key_id, reason=wish.reason, expected=wish.expected
    )
    return await _changed(services, release_id)


@router.post(
    "/{release_id}/promote",
    summary="Make a release active",
    response_model=ReleaseOut,
    responses={202: {"model": ReleaseOut, "description": "It is being written first"}, **problems(404, 409)},
)
async def promote_release(
    services: ServicesDep, release_id: LedgerId, caller: Admin, wish: PromotionRequest | None = None
) -> Response:
    """Make it active at once if the graph holds it whole, else once a worker has written it.

    409 if it has not passed the gate, with the checks that failed, unless `override` says why it may.
    """
    wish = wish or PromotionRequest()
    if (await services.releases.get(release_id)).deleted_at is None:
        require_publishable(await services.follower.open(release_id))
    await services.promotions.promote(
        release_id,
        key_id=caller.key_id,
        reason=wish.reason,
        override=wish.override,
        expected=wish.expected,
    )
    return await _changed(services, release_id)


def require_publishable(artifact: Artifact) -> None:
    """Conflict if serving cannot score as the artifact does."""
    if artifact.manifest.scoring not in PUBLISHABLE_SCORINGS:
        raise Conflict(
            f"Release {artifact.manifest.release_id} cannot be published: {WHY_UNPUBLISHED}.",
            remedy=HOW_TO_PUBLISH,
        )


async def _changed(services: ServicesDep, release_id: str) -> Response:
    release = await shown(services, release_id)
    return json_response(release, 200 if release["active"] else 202)


@router.patch(
    "/{release_id}",
    summary="Pin a release",
    response_model=ReleaseOut,
    responses=problems(404, 409),
)
async def keep_release(
    services: ServicesDep, release_id: LedgerId, caller: Admin, wish: KeepRequest
) -> Response:
    """Have retention leave the artifact alone, or no longer."""
    await services.releases.set_kept(
        release_id, is_kept=wish.is_kept, key_id=caller.key_id, reason=wish.reason
    )
    return json_response(await shown(services, release_id))


@router.delete(
    "/{release_id}",
    summary="Delete a release",
    status_code=202,
    response_model=ReleaseOut,
    responses=problems(404, 409),
)
async def delete_release(
    services: ServicesDep,
    release_id: LedgerId,
    caller: Admin,
    reason: Annotated[str, Query(max_length=MAX_REASON, description="Why, for the audit log")] = "",
) -> Response:
    """Delete its slates, vectors and artifact soon; its record stays. 409 for the champion or challenger."""
    await services.releases.delete(release_id, key_id=caller.key_id, reason=reason)
    return json_response(await shown(services, release_id), 202)
