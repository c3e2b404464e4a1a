"""Health and readiness, and what callers get while a service is down."""

from typing import Any

import httpx2
import pytest

from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from tests.integration.api_server import run_api
from tests.integration.conftest import bearer

# Nothing listens on port 1.
DOWN = {
    "neo4j": {"neo4j_url": "bolt://127.0.0.1:1"},
    "log": {"log_url": "redis://127.0.0.1:1/0"},
    "ledger": {"sql_url": "postgresql://nobody:none@127.0.0.1:1/none"},
}


def without(settings: Settings, service: str) -> Settings:
    """The settings with a service that cannot be reached."""
    return Settings(**(settings.model_dump(exclude_defaults=True) | DOWN[service]))


def test_a_ready_api_has_asked_each_service(api_client: httpx2.Client) -> None:
    assert api_client.get("/healthz").json() == {"status": "ok"}
    ready = api_client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"] == {"neo4j": "ok", "log": "ok", "ledger": "ok"}


@pytest.mark.parametrize("service", DOWN)
def test_the_api_starts_without_a_service_and_says_which(
    stack_settings: Settings, clean_stack: None, service: str
) -> None:
    with run_api(without(stack_settings, service)) as url:
        assert httpx2.get(f"{url}/healthz").status_code == 200
        answer = httpx2.get(f"{url}/readyz", timeout=30)
    assert answer.status_code == 503
    assert [name for name, check in answer.json()["checks"].items() if check != "ok"] == [service]


@pytest.mark.parametrize(
    ("service", "method", "path"),
    [
        ("neo4j", "GET", "/v1/users/u1/recommendations"),
        ("neo4j", "GET", "/v1/influence/leaderboard"),
        ("log", "POST", "/v1/events"),
        ("log", "GET", "/v1/events/lag"),
    ],
)
def test_what_needs_the_service_answers_503(
    stack_settings: Settings, keys: dict[Scope, str], service: str, method: str, path: str
) -> None:
    event: dict[str, Any] = {
        "type": "user.dismissed",
        "event_id": "e1",
        "at": "2026-01-01T00:00:00Z",
        "user_id": "u1",
        "product_id": "p1",
    }
    with run_api(without(stack_settings, service)) as url:
        answer = httpx2.request(
            method,
            url + path,
            headers=bearer(keys[Scope.ADMIN]),
            json=event if method == "POST" else None,
            timeout=30,
        )
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:lsec:problem:unavailable")
    assert answer.headers["retry-after"] == "5"


def test_events_are_taken_while_neo4j_is_down(stack_settings: Settings, keys: dict[Scope, str]) -> None:
    with run_api(without(stack_settings, "neo4j")) as url:
        answer = httpx2.post(
            f"{url}/v1/events",
            headers=bearer(keys[Scope.ADMIN]),
            json={
                "type": "user.erased",
                "event_id": "e1",
                "at": "2026-01-01T00:00:00Z",
                "user_id": "u1",
            },
        )
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)


def test_an_unknown_path_or_method_is_a_problem_too(api_client: httpx2.Client) -> None:
    for answer, status in ((api_client.get("/v2"), 404), (api_client.delete("/v1/events"), 405)):
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["status"] == status
