"""The composition root of the API: opens what the process holds, and closes it in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from importlib.metadata import version

from fastapi import FastAPI

from lsec.api.dependencies import AppState, Services
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
    )
    add_problem_handlers(app)
    for module in (health, events, trainings, releases, recommendations, influence):
        app.include_router(module.router)
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
    return asyncio.create_task(follow(), name=follow.__qualname__)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
