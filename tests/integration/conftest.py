"""The API of the test stack, keys of every scope, a client, and what feeds and drains the log."""

import asyncio
import shutil
from collections.abc import Iterator

import httpx2
import neo4j
import pytest
import redis

from lsec.api.stores.keys import KeyStore
from lsec.api.stores.ledger import open_ledger
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from tests.integration.api_server import run_api, wait_until
from tests.integration.ingest_stack import IngestStack, ingest_stack
from tests.integration.inspected import Installation, open_installation
from tests.integration.served_market import RELEASE, Market, fetch, open_market
from tests.integration.vector_market import VectorMarket, vector_market


@pytest.fixture(scope="session")
def api_url(stack_settings: Settings) -> Iterator[str]:
    """Address of an API that runs for the whole session."""
    with run_api(stack_settings) as url:
        yield url


@pytest.fixture
def keys(stack_settings: Settings, clean_stack: None) -> dict[Scope, str]:
    """A secret of each scope."""

    async def create() -> dict[Scope, str]:
        async with open_ledger(stack_settings) as ledger:
            store = KeyStore(ledger)
            return {scope: (await store.create(f"test {scope}", scope))[1] for scope in Scope}

    return asyncio.run(create())


@pytest.fixture
def api_client(api_url: str, keys: dict[Scope, str]) -> Iterator[httpx2.Client]:
    """A client whose key is an admin's; `bearer` gives headers for another."""
    with httpx2.Client(base_url=api_url, headers=bearer(keys[Scope.ADMIN]), timeout=30) as client:
        yield client


@pytest.fixture
def stack(
    stack_settings: Settings, neo4j_driver: neo4j.Driver, log_client: redis.Redis, clean_stack: None
) -> Iterator[IngestStack]:
    """An empty log, graph and ledger, with an ingester for them."""
    with ingest_stack(stack_settings, neo4j_driver, log_client) as stack:
        yield stack


@pytest.fixture
def installation(
    stack_settings: Settings, neo4j_driver: neo4j.Driver, log_client: redis.Redis, clean_stack: None
) -> Iterator[Installation]:
    """Two releases on an otherwise empty stack, where nothing is broken."""
    with open_installation(stack_settings, neo4j_driver, log_client) as installation:
        yield installation


@pytest.fixture
def market(
    stack_settings: Settings, neo4j_driver: neo4j.Driver, log_client: redis.Redis, keys: dict[Scope, str]
) -> Iterator[VectorMarket]:
    """A market of random vectors, served; modules with a market of their own have that one."""
    with vector_market(stack_settings, neo4j_driver, log_client, keys[Scope.ADMIN]) as market:
        yield market


@pytest.fixture
def live_market(
    stack_settings: Settings, neo4j_driver: neo4j.Driver, log_client: redis.Redis, clean_stack: None
) -> Iterator[Market]:
    yield open_market(neo4j_driver, log_client, stack_settings.artifacts_path)
    shutil.rmtree(stack_settings.artifacts_path)


@pytest.fixture
def live_api(
    live_market: Market, stack_settings: Settings, keys: dict[Scope, str]
) -> Iterator[httpx2.Client]:
    """A client of an API that was started on the market."""
    with (
        run_api(stack_settings) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.ADMIN]), timeout=30) as client,
    ):
        url = "/v1/users/u1/recommendations"
        wait_until(lambda: "X-LSEC-Degraded" not in client.get(url).headers, timeout_s=30)
        wait_until(lambda: fetch(client, "u1")["release_id"] == RELEASE, timeout_s=30)
        # A cold Neo4j may take longer over its first reasons than a request waits.
        wait_until(
            lambda: "X-LSEC-Degraded" not in client.get(url, params={"explain": True}).headers, timeout_s=30
        )
        yield client


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {secret}"}
