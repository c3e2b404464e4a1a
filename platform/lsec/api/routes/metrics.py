"""The metrics of the API, of the log and its ingesters, for Prometheus."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fastapi import APIRouter, Response
from neo4j.exceptions import DriverError, Neo4jError
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import Metric
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from lsec.api.dependencies import Services, ServicesDep, requires
from lsec.api.metrics import dead_letter_family, inspection_family, log_families, release_family, up_family
from lsec.core.ledger import Scope

SCRAPE_TIMEOUT_S = 2.0
"""Prometheus gives up after 10 s by default."""
OUTAGES = (DriverError, Neo4jError, RedisError, SQLAlchemyError, OSError, TimeoutError)

Measure = Callable[[Services], Awaitable[Sequence[Metric]]]

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    dependencies=[requires(Scope.READ)],
    responses={200: {"description": "Prometheus's text format", "content": {"text/plain": {}}}},
)
async def get_metrics(services: ServicesDep) -> Response:
    """Measure what can be measured; of a service that is down only that it is."""
    measures: dict[str, Measure] = {"log": _of_log, "ledger": _of_ledger, "neo4j": _of_graph}
    results = await asyncio.gather(*(_measure(measure, services) for measure in measures.values()))
    answered = {name: result is not None for name, result in zip(measures, results, strict=True)}
    families = [family for result in results for family in result or ()]
    families.append(up_family(answered))
    services.metrics.has_listeners(services.live_feed.num_listeners)
    return Response(services.metrics.text(families), media_type=CONTENT_TYPE_LATEST)


async def _measure(measure: Measure, services: Services) -> Sequence[Metric] | None:
    try:
        return await asyncio.wait_for(measure(services), SCRAPE_TIMEOUT_S)
    except OUTAGES:
        return None


async def _of_log(services: Services) -> Sequence[Metric]:
    log = services.event_log
    return list(log_families(await log.lag(), await log.ingest_stats(), await log.used_memory_bytes()))


async def _of_ledger(services: Services) -> Sequence[Metric]:
    return [
        dead_letter_family(await services.dead_letters.count_open()),
        inspection_family(await services.inspections.count()),
    ]


async def _of_graph(services: Services) -> Sequence[Metric]:
    return [release_family(await services.follower.active_id())]
