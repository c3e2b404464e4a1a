"""Whether the process is up, and whether what it needs answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import APIRouter, Response
from neo4j.exceptions import DriverError, Neo4jError
from pydantic import BaseModel, ConfigDict
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from lsec.api.dependencies import ServicesDep, json_response
from lsec.api.openapi import problems
from lsec.api.problems import problem
from lsec.api.stores.releases import check_ledger

CHECK_TIMEOUT_S = 3.0

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"example": {"status": "ok"}})
    status: Literal["ok"]


class Readiness(BaseModel):
    """Each service answered a real query."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"status": "ready", "checks": {"neo4j": "ok", "log": "ok", "ledger": "ok"}}
        }
    )
    status: Literal["ready"]
    checks: dict[str, str]


@router.get("/healthz", summary="Whether the process is up", response_model=Health)
async def get_health() -> Response:
    """Answer without asking anything else."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz",
    summary="Whether Neo4j, the event log and the ledger answer",
    response_model=Readiness,
    responses=problems(503),
)
async def get_readiness(services: ServicesDep) -> Response:
    """Query each service; 503 with the reasons if one does not answer."""

    async def ask_ledger() -> None:
        await check_ledger(services.ledger)

    names = ("neo4j", "log", "ledger")
    results = await asyncio.gather(
        _check(services.graph.check), _check(services.event_log.check), _check(ask_ledger)
    )
    checks = dict(zip(names, results, strict=True))
    if all(result == "ok" for result in results):
        return json_response({"status": "ready", "checks": checks})
    down = ", ".join(name for name, result in checks.items() if result != "ok")
    return problem(
        503,
        "Not ready",
        f"Without an answer: {down}.",
        kind="not-ready",
        headers={"Retry-After": "2"},
        checks=checks,
    )


async def _check(ask: Callable[[], Awaitable[None]]) -> str:
    try:
        await asyncio.wait_for(ask(), CHECK_TIMEOUT_S)
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:.0f} s"
    except (DriverError, Neo4jError, RedisError, SQLAlchemyError, OSError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".strip()
    return "ok"
