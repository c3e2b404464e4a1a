"""The composition root of the API: opens what the process holds, and closes it in order."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI

from lsec.api.background import stop
from lsec.api.dependencies import AppState, Services
from lsec.api.direct_route import match_first
from lsec.api.estimates import open_estimates
from lsec.api.metrics import Metrics
from lsec.api.openapi import describe_problems, operation_id, problems
from lsec.api.problems import add_problem_handlers
from lsec.api.rate_limits import open_rate_limits
from lsec.api.reasons import Explainer
from lsec.api.recommender import Recommender
from lsec.api.request_ids import RequestIds
from lsec.api.routes import (
    attribution,
    audience,
    cypher,
    dead_letters,
    discovery,
    erasures,
    event_status,
    events,
    experiments,
    health,
    influence,
    inspections,
    lift,
    live,
    paper,
    recommendations,
    release_changes,
    releases,
    retraining,
    seeds,
    snapshots,
    trainings,
    users,
)
from lsec.api.routes import metrics as metrics_routes
from lsec.api.shedding import Shedding
from lsec.api.stores.active_release import ReleaseFollower
from lsec.api.stores.challenger import Arm, Challenger
from lsec.api.stores.cypher import CypherStore
from lsec.api.stores.dead_letters import DeadLetterStore
from lsec.api.stores.erasures import ErasureStore
from lsec.api.stores.event_log import EventLog, open_log
from lsec.api.stores.experiments import ExperimentStore
from lsec.api.stores.graph import Graph, open_graph
from lsec.api.stores.inspections import InspectionStore
from lsec.api.stores.jobs import Jobs, make_sender
from lsec.api.stores.keys import KeyStore
from lsec.api.stores.ledger import open_ledger
from lsec.api.stores.live_feed import LiveFeed
from lsec.api.stores.market import Market
from lsec.api.stores.personal_data import PersonalData
from lsec.api.stores.promotions import Promotions
from lsec.api.stores.releases import ReleaseStore
from lsec.api.stores.retraining import RetrainingStore
from lsec.api.stores.shoppers import Shoppers
from lsec.api.stores.snapshots import SnapshotStore
from lsec.api.stores.streamers import Streamers
from lsec.api.stores.streams import Streams
from lsec.api.stores.trainings import TrainingStore
from lsec.core.logs import configure_logging
from lsec.core.settings import Settings, load_settings

DESCRIPTION = (
    "Live-stream e-commerce events go in, recommendations and influence come out. "
    "Send an API key as `Authorization: Bearer lsec_…`; errors are `application/problem+json`."
)
LAST_TURNS_S = 0.01
EXIT_LOOP_ENDED = 70
"""The exit status of a process one of whose background loops has ended: EX_SOFTWARE."""

log = logging.getLogger(__name__)


def create_app(
    settings: Settings | None = None, *, counters: Path | None = None, end: Callable[[int], None] = os._exit
) -> FastAPI:
    """The application on `settings`, by default those of the environment (for `uvicorn --factory`).

    `counters` is the folder where its processes count together, if there are several. `end` is called with
    an exit code when one of its loops has ended.
    """
    if settings is None:
        settings = load_settings()
        configure_logging(settings, process="api")
    metrics = Metrics(counters)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        async with open_services(settings, metrics, end=end) as services:
            yield {"services": services}

    app = FastAPI(
        title="LSEC platform",
        version=version("lsec"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        generate_unique_id_function=operation_id,
        # Metrics and lines are our own; looking whether somebody collects FastAPI's too has its price.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(Shedding)
    app.add_middleware(RequestIds, metrics=metrics)
    add_problem_handlers(app)
    describe_problems(app)
    app.include_router(health.router)
    # The path of event_status takes whatever those before it leave of /v1/events.
    for module in (
        events,
        trainings,
        retraining,
        releases,
        release_changes,
        experiments,
        snapshots,
        recommendations,
        discovery,
        influence,
        attribution,
        lift,
        audience,
        seeds,
        paper,
        cypher,
        live,
        metrics_routes,
        inspections,
        dead_letters,
        event_status,
        users,
        erasures,
    ):
        app.include_router(module.router, responses=problems(401, 403, 422, 429, 503))
    app.include_router(recommendations.direct, responses=problems(401, 403, 422, 429, 503))
    match_first(app, recommendations.direct)
    return app


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings, metrics: Metrics, *, end: Callable[[int], None] = os._exit
) -> AsyncIterator[Services]:
    """Everything that a process of the API holds; it opens while any of its services is still down."""
    async with contextlib.AsyncExitStack() as stack:
        # The last of all: a connection that was given up while it was opened closes in a later turn.
        stack.push_async_callback(asyncio.sleep, LAST_TURNS_S)
        ledger = await stack.enter_async_context(open_ledger(settings))
        log_client = await stack.enter_async_context(open_log(settings))
        driver = await stack.enter_async_context(open_graph(settings))
        graph = Graph(driver)
        jobs = Jobs(stack.enter_context(make_sender(settings)))
        event_log = EventLog(log_client, settings)
        erasure_store = ErasureStore(ledger, event_log, settings)
        shoppers = Shoppers(graph, leaving=lambda: erasure_store.leaving)
        streams, streamers = Streams(graph), Streamers(graph)
        stack.push_async_callback(streamers.close)
        stack.push_async_callback(streams.close)
        stack.push_async_callback(shoppers.close)
        explainer = Explainer(graph)
        market = Market(
            graph,
            log_client,
            settings,
            shoppers=shoppers,
            streams=streams,
            prepare=(shoppers.prepare, explainer.prepare),
        )
        champion = Arm(market, shoppers)

        def open_arm() -> Arm:
            own = Shoppers(graph, leaving=lambda: erasure_store.leaving)
            return Arm(Market(graph, log_client, settings, shoppers=own, streams=streams), own)

        challenger = Challenger(champion, settings.artifacts_path, open_arm=open_arm)
        stack.push_async_callback(challenger.close)
        follower = ReleaseFollower(
            graph, settings, serve=market.serve, tell=market.graph_answers, aim=challenger.aim
        )
        statements = CypherStore(driver, log_client, ledger, erasure_store, settings)
        stack.push_async_callback(statements.close)
        releases_store = ReleaseStore(ledger, graph, jobs, settings)
        promotions = Promotions(ledger, graph, releases_store, jobs)
        live_feed = LiveFeed(log_client, settings, leaving=lambda: erasure_store.leaving)

        async def count_listeners() -> None:
            await metrics.count_listeners(lambda: live_feed.num_listeners)

        await erasure_store.begin()
        for follow in (
            event_log.follow,
            event_log.watch_load,
            market.follow,
            follower.follow,
            challenger.follow,
            shoppers.follow,
            erasure_store.follow,
            live_feed.follow,
            count_listeners,
        ):
            stack.push_async_callback(_start(follow, end))
        yield Services(
            settings=settings,
            ledger=ledger,
            keys=KeyStore(ledger),
            inspections=InspectionStore(ledger),
            rate_limits=await stack.enter_async_context(open_rate_limits(settings)),
            trainings=TrainingStore(ledger, jobs, device=settings.device),
            retraining=RetrainingStore(ledger, jobs),
            releases=releases_store,
            promotions=promotions,
            experiments=ExperimentStore(ledger, graph, releases_store, promotions, jobs),
            snapshots=SnapshotStore(ledger, jobs),
            dead_letters=DeadLetterStore(ledger, log_client, settings),
            erasures=erasure_store,
            personal_data=PersonalData(ledger, event_log, graph, settings),
            event_log=event_log,
            graph=graph,
            follower=follower,
            recommender=Recommender(graph, champion, challenger, streams, erasure_store, explainer),
            market=market,
            shoppers=shoppers,
            streamers=streamers,
            metrics=metrics,
            live_feed=live_feed,
            estimates=await stack.enter_async_context(open_estimates()),
            statements=statements,
        )


def _start(
    follow: Callable[[], Coroutine[None, None, None]], end: Callable[[int], None]
) -> Callable[[], Awaitable[None]]:
    """Start a loop that runs for ever, and give what stops it.

    With the loop ends the process, but for a fault that nobody foresaw: else requests would wait or be
    answered from what is out of date. Whoever runs the process starts it again. At once, for an orderly end
    would wait for open streams.
    """
    task = asyncio.create_task(follow(), name=follow.__qualname__)

    def end_with(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.critical("%s has ended: so does the process", task.get_name(), exc_info=task.exception())
            end(EXIT_LOOP_ENDED)

    async def stop_it() -> None:
        task.remove_done_callback(end_with)
        await stop(task)

    task.add_done_callback(end_with)
    return stop_it
