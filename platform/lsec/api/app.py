"""The composition root of the API: opens what the process holds, and closes it in order."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from importlib.metadata import version

from fastapi import Depends, FastAPI

from lsec.api.dependencies import AppState, Services, refuse_unknown_parameters
from lsec.api.openapi import describe_problems, operation_id, problems
from lsec.api.problems import add_problem_handlers
from lsec.api.recommender import Recommender
from lsec.api.routes import events, health, influence, recommendations, releases, trainings
from lsec.api.stores.active_release import ReleaseFollower
from lsec.api.stores.event_log import EventLog, open_log
from lsec.api.stores.graph import Graph, open_graph
from lsec.api.stores.keys import KeyStore
from lsec.api.stores.ledger import open_ledger
from lsec.api.stores.releases import ReleaseStore
from lsec.api.stores.trainings import TrainingStore, make_sender
from lsec.core.settings import Settings, load_settings

DESCRIPTION = (
    "Live-stream e-commerce events go in, recommendations and influence come out. "
    "Send an API key as `Authorization: Bearer lsec_…`; errors are `application/problem+json`."
)
EXIT_LOOP_ENDED = 70
"""The exit status of a process one of whose background loops has ended: EX_SOFTWARE."""

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application on `settings`, by default those of the environment (for `uvicorn --factory`)."""
    settings = settings or load_settings()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[AppState]:
        async with open_services(settings) as services:
            yield {"services": services}

    app = FastAPI(
        title="LSEC platform",
        version=version("lsec"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        generate_unique_id_function=operation_id,
    )
    add_problem_handlers(app)
    describe_problems(app)
    app.include_router(health.router)
    for module in (events, trainings, releases, recommendations, influence):
        app.include_router(
            module.router,
            dependencies=[Depends(refuse_unknown_parameters)],
            responses=problems(401, 403, 422, 503),
        )
    return app


@contextlib.asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything that a process of the API holds; it opens while Neo4j or the log is still down."""
    async with contextlib.AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(settings))
        log_client = await stack.enter_async_context(open_log(settings))
        graph = Graph(await stack.enter_async_context(open_graph(settings)))
        sender = stack.enter_context(make_sender(settings))
        event_log = EventLog(log_client, settings)
        follower = ReleaseFollower(graph, settings)
        for follow in (event_log.follow, event_log.watch_load, follower.follow):
            stack.push_async_callback(_stop, _start(follow))
        yield Services(
            settings=settings,
            ledger=ledger,
            keys=KeyStore(ledger),
            trainings=TrainingStore(ledger, sender),
            releases=ReleaseStore(ledger),
            event_log=event_log,
            graph=graph,
            follower=follower,
            recommender=Recommender(graph, follower),
        )


def _start(follow: Callable[[], Coroutine[None, None, None]]) -> asyncio.Task[None]:
    task = asyncio.create_task(follow(), name=follow.__qualname__)
    task.add_done_callback(_end_with)
    return task


def _end_with(task: asyncio.Task[None]) -> None:
    """End the process with a loop that runs for ever, but for a fault that nobody foresaw.

    Without it requests would wait or be answered from what is out of date; whoever runs the process
    starts it again. At once, for an orderly end would wait for open streams.
    """
    if not task.cancelled():
        log.critical("%s has ended: so does the process", task.get_name(), exc_info=task.exception())
        os._exit(EXIT_LOOP_ENDED)


async def _stop(task: asyncio.Task[None]) -> None:
    task.remove_done_callback(_end_with)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
