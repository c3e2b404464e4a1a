"""Releases: what was trained, which one is active, and its slates for mail and push."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from lsec.api.dependencies import LedgerId, ServicesDep, json_response, requires
from lsec.api.openapi import problems
from lsec.api.stores.erasures import ErasureStore
from lsec.core.artifact import ERASED_ID, Artifact
from lsec.core.ledger import ReleaseRecord, Scope

SLATES_PER_CHUNK = 200
NDJSON = "application/x-ndjson"

router = APIRouter(prefix="/v1/releases", tags=["releases"], dependencies=[requires(Scope.ANALYST)])


class ReleaseOut(BaseModel):
    """A trained model that can be served."""

    id: str
    training_id: str
    model: str
    created_at: datetime
    published_at: datetime | None
    active: bool
    metrics: dict[str, Any]
    counts: dict[str, Any]


class ReleasesOut(BaseModel):
    """Releases, newest first, and the one that is served."""

    active: str | None
    releases: list[ReleaseOut]


@router.get("", summary="All releases", response_model=ReleasesOut)
async def get_releases(services: ServicesDep) -> Response:
    """List the releases, newest first."""
    active_id = await services.follower.active_id()
    releases = await services.releases.list()
    return json_response({"active": active_id, "releases": [_release_json(r, active_id) for r in releases]})


@router.get("/{release_id}", summary="One release", response_model=ReleaseOut, responses=problems(404))
async def get_release(services: ServicesDep, release_id: LedgerId) -> Response:
    """Show a release with its metrics."""
    release = await services.releases.get(release_id)
    return json_response(_release_json(release, await services.follower.active_id()))


@router.get(
    "/{release_id}/slates",
    summary="Every user's slate (NDJSON)",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": 'A line a user: `{"user_id", "products": [{"product_id", "score"}]}`',
            "content": {NDJSON: {}},
        },
        **problems(404),
    },
)
async def get_slates(services: ServicesDep, release_id: LedgerId) -> StreamingResponse:
    """Stream the release's slates as they were computed, without users who are being erased."""
    await services.releases.get(release_id)
    artifact = await services.follower.open(release_id)
    return StreamingResponse(_slate_lines(artifact, services.erasures), media_type=NDJSON)


def _release_json(release: ReleaseRecord, active_id: str | None) -> dict[str, Any]:
    names = ReleaseOut.model_fields.keys() - {"active"}
    return {name: getattr(release, name) for name in names} | {"active": release.id == active_id}


def _slate_lines(artifact: Artifact, erasures: ErasureStore) -> Iterator[bytes]:
    """The lines, some users at a time; Starlette runs this in a thread."""
    num_users = len(artifact.user_ids)
    for start in range(0, num_users, SLATES_PER_CHUNK):
        rows = range(start, min(start + SLATES_PER_CHUNK, num_users))
        users = [(row, artifact.user_ids[row].decode()) for row in rows]
        yield b"".join(
            [
                _slate_line(artifact, row, user_id)
                for row, user_id in users
                if user_id != ERASED_ID and user_id not in erasures.leaving
            ]
        )


def _slate_line(artifact: Artifact, row: int, user_id: str) -> bytes:
    products = [{"product_id": product_id, "score": score} for product_id, score in artifact.slate(row)]
    line = {"user_id": user_id, "products": products}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
