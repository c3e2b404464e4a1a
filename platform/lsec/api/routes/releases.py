"""Releases: what was trained, how good it is, where it stands, and its slates for mail and push."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from lsec.api.dependencies import LedgerId, ServicesDep, json_response, requires
from lsec.api.openapi import problems
from lsec.api.stores.erasures import ErasureStore
from lsec.api.stores.releases import Standing
from lsec.core.artifact import ERASED_ID, Artifact
from lsec.core.errors import NotFound
from lsec.core.ledger import Scope
from lsec.core.release_archive import Archive

SLATES_PER_CHUNK = 200
NDJSON = "application/x-ndjson"
MARKDOWN = "text/markdown"
TAR = "application/x-tar"
CARD = "README.md"
"""The model card's file in an artifact."""

router = APIRouter(prefix="/v1/releases", tags=["releases"])

StateName = Literal["active", "published", "publishing", "kept", "deleted"]


class ReleaseOut(BaseModel):
    """A trained model: what it is, what it was made of, how good it is, and where it stands."""

    id: str
    training_id: str
    model: str
    created_at: datetime
    published_at: datetime | None = Field(description="When it first became active")
    deleted_at: datetime | None
    active: bool
    aliases: list[str] = Field(description="`champion` for the active one, `challenger` in an experiment")
    state: StateName = Field(
        description="`active`; `published`: its slates are in the graph; `publishing`: they are being "
        "written; `kept`: its artifact alone is there; `deleted`"
    )
    percent: float = Field(description="Of its slates' way into the graph")
    promotion_error: str | None = Field(description="Why its last promotion came to nothing")
    is_kept: bool = Field(description="Pinned: retention leaves its artifact alone")
    metrics: dict[str, Any] = Field(description="Figures on held-out purchases, also by segment")
    counts: dict[str, Any]
    gate: dict[str, Any] = Field(description="The gate's verdict with its checks; {} if none has judged it")
    snapshot_sha256: str
    code_version: str
    seed: int
    hyperparameters: dict[str, Any]
    scope: dict[str, Any] = Field(description="The part of the graph that it was trained on")
    num_bytes: int = Field(description="Of its artifact; 0 if unknown")
    requested_by: str = Field(description="The id of the key that asked for it")


class ReleasesOut(BaseModel):
    """Releases, newest first, and the one that is served."""

    active: str | None
    challenger: str | None
    releases: list[ReleaseOut]


def release_json(standing: Standing) -> dict[str, Any]:
    """The release as the API shows it."""
    own = {
        "active": standing.state == "active",
        "aliases": standing.aliases,
        "state": standing.state,
        "percent": standing.percent,
    }
    return {
        name: own[name] if name in own else getattr(standing.record, name) for name in ReleaseOut.model_fields
    }


@router.get(
    "",
    summary="Releases",
    response_model=ReleasesOut,
    dependencies=[requires(Scope.ANALYST)],
)
async def get_releases(
    services: ServicesDep,
    *,
    state: Annotated[StateName | None, Query(description="Only those in this state")] = None,
    model: Annotated[str | None, Query(max_length=64, description="Only those of this model")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List releases, newest first."""
    in_graph = await services.releases.in_graph()
    standings = await services.releases.stand(await services.releases.list(model=model), in_graph)
    chosen = [each for each in standings if state in (None, each.state)][:limit]
    return json_response(
        {
            "active": in_graph.champion,
            "challenger": in_graph.shown.get("challenger"),
            "releases": [release_json(each) for each in chosen],
        }
    )


@router.get(
    "/{release_id}",
    summary="One release",
    response_model=ReleaseOut,
    responses=problems(404),
    dependencies=[requires(Scope.ANALYST)],
)
async def get_release(services: ServicesDep, release_id: LedgerId) -> Response:
    """Show a release with its metrics, and how far its publication is."""
    return json_response(await shown(services, release_id))


async def shown(services: ServicesDep, release_id: str) -> dict[str, Any]:
    """The release as it stands now; NotFound if there is none."""
    record = await services.releases.get(release_id)
    in_graph = await services.releases.in_graph()
    return release_json((await services.releases.stand([record], in_graph))[0])


@router.get(
    "/{release_id}/card",
    summary="The model card (Markdown)",
    response_class=Response,
    responses={200: {"description": "The model card", "content": {MARKDOWN: {}}}, **problems(404)},
    dependencies=[requires(Scope.ANALYST)],
)
async def get_card(services: ServicesDep, release_id: LedgerId) -> Response:
    """Show what the model is, what it learned from, how good it is, and what the gate said."""
    record = await services.releases.get(release_id)
    try:
        card = await asyncio.to_thread((services.releases.folder(release_id) / CARD).read_text)
    except OSError as error:
        raise NotFound(f"The model card of release {release_id} is not kept here.") from error
    return Response(card.rstrip() + "\n" + _gate_section(record.gate), media_type=MARKDOWN)


def _gate_section(gate: dict[str, Any]) -> str:
    if not gate:
        return "\n## Gate\n\nNo gate has judged this release.\n"
    lines = [
        "",
        "## Gate",
        "",
        f"{'Passed' if gate.get('is_passed') else 'Not passed'}, "
        f"judged against {gate.get('judged_against') or 'popularity alone'}.",
        "",
        "| check | value | bound | passed | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for check in gate.get("checks", []):
        cells = [check.get("name"), check.get("value"), check.get("bound")]
        cells += ["yes" if check.get("is_passed") else "no", check.get("detail")]
        lines.append("| " + " | ".join(_cell(each) for each in cells) + " |")
    if override := gate.get("override"):
        lines += ["", f"Overridden on {override.get('at')}: {override.get('reason')}"]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    shown = f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
    return shown.replace("|", "\\|").replace("\n", " ")


@router.get(
    "/{release_id}/artifact",
    summary="The artifact (tar)",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The folder as a tar archive, with SHA256SUMS in it",
            "content": {TAR: {}},
        },
        **problems(404),
    },
    dependencies=[requires(Scope.ADMIN)],
)
async def get_artifact(services: ServicesDep, release_id: LedgerId) -> StreamingResponse:
    """Stream the artifact: vectors, slates and purchases, which are data about people."""
    await services.releases.get(release_id)
    archive = await asyncio.to_thread(Archive, services.releases.folder(release_id))
    headers = {
        "Content-Length": str(archive.num_bytes),
        "Content-Disposition": f'attachment; filename="{release_id}.tar"',
    }
    return StreamingResponse(
        archive.chunks(), media_type=TAR, headers=headers, background=BackgroundTask(archive.close)
    )


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
    dependencies=[requires(Scope.ANALYST)],
)
async def get_slates(services: ServicesDep, release_id: LedgerId) -> StreamingResponse:
    """Stream the release's slates as they were computed, without users who are being erased."""
    await services.releases.get(release_id)
    artifact = await services.follower.open(release_id)
    return StreamingResponse(_slate_lines(artifact, services.erasures), media_type=NDJSON)


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
