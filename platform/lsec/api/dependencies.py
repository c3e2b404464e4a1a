"""What routes ask for: the services of this process, and a caller who may call them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypedDict, cast

import orjson
from fastapi import Depends, Path, Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AwareDatetime, Field

from lsec.api.estimates import Estimates
from lsec.api.metrics import Metrics
from lsec.api.rate_limits import RateLimits
from lsec.api.recommender import Recommender
from lsec.api.stores.active_release import ReleaseFollower
from lsec.api.stores.cypher import CypherStore
from lsec.api.stores.dead_letters import DeadLetterStore
from lsec.api.stores.erasures import ErasureStore
from lsec.api.stores.event_log import EventLog
from lsec.api.stores.experiments import ExperimentStore
from lsec.api.stores.graph import Graph
from lsec.api.stores.inspections import InspectionStore
from lsec.api.stores.keys import Caller, KeyStore
from lsec.api.stores.ledger import Ledger
from lsec.api.stores.live_feed import LiveFeed
from lsec.api.stores.market import Market
from lsec.api.stores.personal_data import PersonalData
from lsec.api.stores.promotions import Promotions
from lsec.api.stores.releases import ReleaseStore
from lsec.api.stores.retraining import RetrainingStore
from lsec.api.stores.shoppers import Shoppers
from lsec.api.stores.snapshots import SnapshotStore
from lsec.api.stores.streamers import Streamers
from lsec.api.stores.trainings import TrainingStore
from lsec.core.errors import Forbidden, Unauthenticated
from lsec.core.ledger import GRANTS, Scope
from lsec.core.logs import note
from lsec.core.settings import Settings

ID_PATTERN = r"^[^\s\x00-\x1f\x7f]+$"
"""An id of the graph: no white space, no control characters."""
OPTIONAL_ID_PATTERN = r"^[^\s\x00-\x1f\x7f]*$"
"""The same, or nothing."""
LEDGER_ID_PATTERN = r"^[A-Za-z0-9_-]{1,32}$"
MAX_SHOWN = 100
"""Characters of a name of the caller's that an answer repeats."""

FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MOMENT = datetime(9999, 1, 1, tzinfo=UTC)

Moment = Annotated[AwareDatetime, Field(ge=FIRST_MOMENT, lt=LAST_MOMENT)]
"""A time with an offset, bounded so that it stands in UTC too."""
LedgerId = Annotated[str, Path(pattern=LEDGER_ID_PATTERN)]

_bearer = HTTPBearer(auto_error=False, description="An API key: `lsec keys create`")


@dataclass(frozen=True, slots=True)
class Services:
    """All that one process of the API holds while it runs."""

    settings: Settings
    ledger: Ledger
    keys: KeyStore
    inspections: InspectionStore
    rate_limits: RateLimits
    trainings: TrainingStore
    retraining: RetrainingStore
    releases: ReleaseStore
    promotions: Promotions
    experiments: ExperimentStore
    snapshots: SnapshotStore
    dead_letters: DeadLetterStore
    erasures: ErasureStore
    personal_data: PersonalData
    event_log: EventLog
    graph: Graph
    follower: ReleaseFollower
    recommender: Recommender
    market: Market
    shoppers: Shoppers
    streamers: Streamers
    metrics: Metrics
    live_feed: LiveFeed
    statements: CypherStore
    estimates: Estimates


class AppState(TypedDict):
    """What the lifespan yields."""

    services: Services


# FastAPI would give a plain function to a thread: that costs more than most routes do.
async def get_services(request: Request) -> Services:
    """The services that the lifespan opened."""
    return cast(Services, request.state.services)


ServicesDep = Annotated[Services, Depends(get_services)]


@dataclass(frozen=True)
class RequiresScope:
    """A dependency that lets a request pass if its key grants one of the scopes and is within its rate.

    Only then is the query looked at: who may not call learns nothing of what there is to ask for.
    """

    scopes: tuple[Scope, ...]

    async def __call__(
        self,
        request: Request,
        services: ServicesDep,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    ) -> Caller:
        if credentials is None:
            raise Unauthenticated(
                "This needs an API key.", remedy="Send it as `Authorization: Bearer lsec_…`."
            )
        caller = await self.admit(services, credentials.credentials)
        _refuse_unknown_parameters(request)
        return caller

    async def admit(self, services: Services, secret: str) -> Caller:
        """Whose key it is; Unauthenticated, Forbidden or RateLimited if a request with it may not pass."""
        caller = await services.keys.authenticate(secret)
        if caller is None:
            raise Unauthenticated("The API key is unknown or revoked.")
        note(key=caller.key_id)
        if not caller.may(self.scopes):
            raise Forbidden(
                f"A key of scope {caller.scope} does not allow this.",
                remedy=f"Use one of scope {' or '.join(self._granting())}.",
            )
        await services.rate_limits.check(caller)
        return caller

    def _granting(self) -> list[Scope]:
        """The scopes that allow it, the narrowest first."""
        granting = [scope for scope in Scope if GRANTS[scope].intersection(self.scopes)]
        return sorted(granting, key=lambda scope: len(GRANTS[scope]))


def wrong(reason: str, *place: str) -> dict[str, Any]:
    """What is wrong at a place of the request, for a RequestValidationError."""
    return {"type": "value_error", "loc": place, "msg": reason}


def invalid(reason: str, *place: str) -> RequestValidationError:
    """The error of a request that is wrong at one place, such as query and the name of a parameter."""
    return RequestValidationError([wrong(reason, *place)])


def _refuse_unknown_parameters(request: Request) -> None:
    """RequestValidationError for query parameters that the route does not declare, such as misspelt ones."""
    known = query_parameters(request.scope["route"].dependant)
    reason = f"there is no such parameter; known are: {', '.join(known)}" if known else "takes no parameters"
    unknown = dict.fromkeys(name for name in request.query_params if name not in known)
    if unknown:
        raise RequestValidationError([wrong(reason, "query", name[:MAX_SHOWN]) for name in unknown])


def query_parameters(dependant: Dependant) -> list[str]:
    """The query parameters of a route, those of what it depends on too."""
    of_others = [name for needed in dependant.dependencies for name in query_parameters(needed)]
    return [field.alias for field in dependant.query_params] + of_others


def requires(*scopes: Scope) -> Any:
    """The declaration of a route's scopes: one of them is enough."""
    return Depends(RequiresScope(scopes))


def json_response(content: Any, status: int = 200, *, headers: dict[str, str] | None = None) -> Response:
    """`content` as JSON; times as ISO 8601, dataclasses as objects."""
    return Response(orjson.dumps(content), status, headers, media_type="application/json")
