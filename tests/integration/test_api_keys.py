"""Keys: every route refuses a caller without one, with a wrong one, and with too small a scope."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx2
import pytest

from lsec.api.stores.keys import KeyStore
from lsec.api.stores.ledger import open_ledger
from lsec.core.ledger import GRANTS, Scope
from lsec.core.settings import Settings
from tests.contract.test_scopes import SCOPES
from tests.integration.conftest import bearer

T = TypeVar("T")

ROUTES = [
    (method, path.replace("{user_id:path}", "u1").replace("{training_id}", "t").replace("{release_id}", "r"))
    for method, path in SCOPES
]
TOO_SMALL = [
    (method, path, scope)
    for (method, path), scopes in zip(ROUTES, SCOPES.values(), strict=True)
    for scope in Scope
    if GRANTS[scope].isdisjoint(scopes)
]


def with_keys(settings: Settings, work: Callable[[KeyStore], Awaitable[T]]) -> T:
    """What `work` returns on the key store of the settings' ledger."""

    async def run() -> T:
        async with open_ledger(settings) as ledger:
            return await work(KeyStore(ledger))

    return asyncio.run(run())


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_refuses_a_caller_without_a_key_or_with_a_wrong_one(
    api_url: str, clean_stack: None, method: str, path: str
) -> None:
    for headers in ({}, bearer("lsec_wrong"), {"Authorization": "Basic bHNlYzo="}):
        answer = httpx2.request(method, api_url + path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "scope"), TOO_SMALL)
def test_a_route_refuses_a_key_of_too_small_a_scope(
    api_url: str, keys: dict[Scope, str], method: str, path: str, scope: Scope
) -> None:
    answer = httpx2.request(method, api_url + path, headers=bearer(keys[scope]))
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:lsec:problem:forbidden")
    assert answer.json()["remedy"].endswith("admin.")


def test_a_route_refuses_parameters_that_it_does_not_know(api_url: str, keys: dict[Scope, str]) -> None:
    for method, path in ROUTES:
        answer = httpx2.request(method, f"{api_url}{path}?limmit=1&k_=2", headers=bearer(keys[Scope.ADMIN]))
        assert (answer.status_code, answer.json()["field"]) == (422, "limmit"), path
        assert [error["field"] for error in answer.json()["errors"]] == ["limmit", "k_"]


def test_a_revoked_key_is_refused_within_a_second(
    api_url: str, stack_settings: Settings, clean_stack: None
) -> None:
    key, secret = with_keys(stack_settings, lambda store: store.create("shop", Scope.READ))
    url = f"{api_url}/v1/events/lag"
    assert httpx2.get(url, headers=bearer(secret)).status_code == 200
    with_keys(stack_settings, lambda store: store.revoke(key.id))
    revoked_at = time.monotonic()
    while httpx2.get(url, headers=bearer(secret)).status_code != 401:
        assert time.monotonic() - revoked_at < 1


def test_a_key_made_beside_the_running_api_works_at_once(
    api_url: str, stack_settings: Settings, clean_stack: None
) -> None:
    _, secret = with_keys(stack_settings, lambda store: store.create("shop", Scope.INGEST))
    assert httpx2.get(f"{api_url}/v1/events/lag", headers=bearer(secret)).status_code == 200
