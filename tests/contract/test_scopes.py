"""Every route declares who may call it; the public ones are listed here."""

from collections.abc import Iterator

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts

from lsec.api.app import create_app
from lsec.api.dependencies import RequiresScope
from lsec.core.ledger import GRANTS, Scope
from lsec.core.settings import Settings

PUBLIC = {"/healthz", "/readyz", "/openapi.json", "/docs"}

# Method and path of every other route, with the scopes of which one is enough.
SCOPES: dict[tuple[str, str], set[Scope]] = {
    ("POST", "/v1/events"): {Scope.INGEST},
    ("GET", "/v1/events/lag"): {Scope.INGEST, Scope.READ},
    ("GET", "/v1/events/schema"): {Scope.INGEST, Scope.READ},
    ("GET", "/v1/events/live"): {Scope.ANALYST},
    ("GET", "/metrics"): {Scope.READ},
    ("GET", "/v1/events/{event_id:path}"): {Scope.INGEST, Scope.READ},
    ("GET", "/v1/inspections"): {Scope.ADMIN},
    ("GET", "/v1/dead-letters"): {Scope.ADMIN},
    ("GET", "/v1/dead-letters/{letter_id}"): {Scope.ADMIN},
    ("PUT", "/v1/dead-letters/{letter_id}/event"): {Scope.ADMIN},
    ("POST", "/v1/dead-letters/{letter_id}/replay"): {Scope.ADMIN},
    ("POST", "/v1/dead-letters:replay"): {Scope.ADMIN},
    ("DELETE", "/v1/dead-letters/{letter_id}"): {Scope.ADMIN},
    ("POST", "/v1/dead-letters:purge"): {Scope.ADMIN},
    ("POST", "/v1/trainings"): {Scope.ADMIN},
    ("GET", "/v1/trainings"): {Scope.ADMIN},
    ("GET", "/v1/trainings/{training_id}"): {Scope.ADMIN},
    ("POST", "/v1/trainings/{training_id}/cancel"): {Scope.ADMIN},
    ("GET", "/v1/trainings/{training_id}/progress"): {Scope.ADMIN},
    ("GET", "/v1/trainings/{training_id}/log"): {Scope.ADMIN},
    ("GET", "/v1/retraining"): {Scope.ADMIN},
    ("PUT", "/v1/retraining"): {Scope.ADMIN},
    ("POST", "/v1/retraining/check"): {Scope.ADMIN},
    ("POST", "/v1/snapshots"): {Scope.ADMIN},
    ("GET", "/v1/snapshots"): {Scope.ANALYST},
    ("GET", "/v1/snapshots/{snapshot_id}"): {Scope.ANALYST},
    ("POST", "/v1/snapshots/{snapshot_id}/keep"): {Scope.ADMIN},
    ("DELETE", "/v1/snapshots/{snapshot_id}"): {Scope.ADMIN},
    ("GET", "/v1/releases"): {Scope.ANALYST},
    ("GET", "/v1/releases/{release_id}"): {Scope.ANALYST},
    ("GET", "/v1/releases/{release_id}/slates"): {Scope.ANALYST},
    ("GET", "/v1/releases/{release_id}/card"): {Scope.ANALYST},
    ("GET", "/v1/releases/{release_id}/artifact"): {Scope.ADMIN},
    ("GET", "/v1/releases/{release_id}/compare/{other_id}"): {Scope.ANALYST},
    ("POST", "/v1/releases/rollback"): {Scope.ADMIN},
    ("POST", "/v1/releases/{release_id}/promote"): {Scope.ADMIN},
    ("PATCH", "/v1/releases/{release_id}"): {Scope.ADMIN},
    ("DELETE", "/v1/releases/{release_id}"): {Scope.ADMIN},
    ("POST", "/v1/experiments"): {Scope.ADMIN},
    ("GET", "/v1/experiments"): {Scope.ANALYST},
    ("GET", "/v1/experiments/{experiment_id}"): {Scope.ANALYST},
    ("POST", "/v1/experiments/{experiment_id}/stop"): {Scope.ADMIN},
    ("POST", "/v1/experiments/{experiment_id}/promote"): {Scope.ADMIN},
    ("GET", "/v1/users/{user_id:path}/recommendations"): {Scope.READ},
    ("POST", "/v1/recommendations:batch"): {Scope.READ},
    ("POST", "/v1/sessions/recommendations"): {Scope.READ},
    ("GET", "/v1/users/{user_id:path}/streamers"): {Scope.READ},
    ("GET", "/v1/products/{product_id:path}/similar"): {Scope.READ},
    ("GET", "/v1/products/{product_id:path}/audience"): {Scope.ANALYST},
    ("GET", "/v1/streams/{stream_id:path}/showcase-next"): {Scope.READ},
    ("DELETE", "/v1/users/{user_id:path}"): {Scope.ADMIN},
    ("GET", "/v1/users/{user_id:path}/data"): {Scope.ADMIN},
    ("GET", "/v1/erasures"): {Scope.ADMIN},
    ("GET", "/v1/erasures/{erasure_id}"): {Scope.ADMIN},
    ("POST", "/v1/cypher"): {Scope.ANALYST},
    ("DELETE", "/v1/cypher/{statement_id}"): {Scope.ANALYST},
    ("GET", "/v1/influence/leaderboard"): {Scope.ANALYST},
    ("GET", "/v1/influence/attribution"): {Scope.ANALYST},
    ("GET", "/v1/influence/lift"): {Scope.ANALYST},
    ("GET", "/v1/influence/audience"): {Scope.ANALYST},
    ("GET", "/v1/influence/seeds"): {Scope.ANALYST},
    ("GET", "/v1/influence/paper"): {Scope.ANALYST},
    ("GET", "/v1/influence/product-streamers"): {Scope.ANALYST},
    ("GET", "/v1/influence/spread"): {Scope.ANALYST},
    ("GET", "/v1/influence/funnel"): {Scope.ANALYST},
    ("GET", "/v1/influence/influencers"): {Scope.ANALYST},
    ("GET", "/v1/influence/paths"): {Scope.ANALYST},
}


def declared() -> dict[tuple[str, str], set[Scope]]:
    """The scopes that each route's dependencies declare; empty for a route that declares none."""
    found = {}
    for route in iter_route_contexts(create_app(Settings()).routes):
        for method in (route.methods or set()) - {"HEAD"}:
            found[method, str(route.path)] = set(_scopes(route))
    return found


def _scopes(route: RouteContext) -> Iterator[Scope]:
    waiting: list[Dependant] = [route.dependant] if hasattr(route, "dependant") else []
    while waiting:
        dependant = waiting.pop()
        waiting += dependant.dependencies
        if isinstance(dependant.call, RequiresScope):
            yield from dependant.call.scopes


def test_every_route_declares_its_scopes_or_is_listed_as_public() -> None:
    assert {route: scopes for route, scopes in declared().items() if route[1] not in PUBLIC} == SCOPES


def test_public_routes_ask_for_no_key() -> None:
    assert {route[1] for route, scopes in declared().items() if not scopes} == PUBLIC


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        (Scope.ADMIN, {Scope.ADMIN, Scope.ANALYST, Scope.READ, Scope.INGEST}),
        (Scope.ANALYST, {Scope.ANALYST, Scope.READ}),
        (Scope.READ, {Scope.READ}),
        (Scope.INGEST, {Scope.INGEST}),
    ],
)
def test_each_scope_grants_what_the_design_says(scope: Scope, granted: set[Scope]) -> None:
    assert GRANTS[scope] == granted
