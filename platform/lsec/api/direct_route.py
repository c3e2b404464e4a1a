"""A route whose plain requests FastAPI's solver never sees: for routes that answer thousands a second.

FastAPI solves a route's parameters anew for each request: a dozen of them cost more than the rest of the
answer. What they are is known beforehand, so a request that names only parameters of the route, with values
that fit them, needs no more than the same validators. Anything else, a fault first of all, goes the way of
every other route: both ways give the same values, and FastAPI alone says what is wrong.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from inspect import isasyncgenfunction, iscoroutinefunction, isfunction, isgeneratorfunction
from types import UnionType
from typing import Any, Union, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from lsec.api.dependencies import RequiresScope, Services, get_services
from lsec.api.stores.keys import Caller

_BEARER = b"Bearer "
_COLLECTIONS = (set, frozenset, tuple, dict)
_UNCHANGING = (str, int, float, type(None))
_ASKS_FOR_MORE = (
    "header_params", "cookie_params", "body_params", "request_param_name", "websocket_param_name",
    "http_connection_param_name", "response_param_name", "background_tasks_param_name",
    "security_scopes_param_name",
)  # fmt: skip
"""What a function may have that only FastAPI gives."""


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of a request, and the call that it goes to; `validate` gives its value and its faults."""

    name: str
    call: int
    is_list: bool
    validate: Callable[..., tuple[Any, list[dict[str, Any]]]]


@dataclass(slots=True)
class _Call:
    """A function, and what it is called with beside the parameters of a request."""

    function: Callable[..., Any]
    result_name: str = ""
    """The endpoint's name for what it returns."""
    services_name: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)
    copied_defaults: dict[str, Any] = field(default_factory=dict)
    """Those that the function could change."""
    required: set[str] = field(default_factory=set)
    unasked: tuple[Any, ...] | None = None
    """What it returns for a request that gives it nothing, if that is a tuple that nobody can change."""

    def complete(self, values: dict[str, Any], services: Services | None) -> bool:
        """Add the services and defaults; False if something that is required is missing."""
        if self.unasked is not None and not values:
            return True
        for name, default in self.defaults.items():
            values.setdefault(name, default)
        for name, default in self.copied_defaults.items():
            if name not in values:
                values[name] = deepcopy(default) if default else default.copy()
        if self.services_name:
            values[self.services_name] = services
        return self.required <= values.keys()

    def result(self, values: dict[str, Any]) -> Any:
        """What the function returns for these values, which are complete."""
        return self.function(**values) if values or self.unasked is None else self.unasked

    def call_beforehand(self) -> None:
        """Find out what it returns for a request that gives it nothing."""
        values: dict[str, Any] = {}
        if not self.services_name and self.complete(values, None):
            result = self.function(**values)
            if isinstance(result, tuple) and _is_hashable(result):
                self.unasked = result


class _Plan:
    """The endpoint, the first of `calls`, and the functions that it depends on."""

    def __init__(self, dependant: Dependant) -> None:
        self.path: dict[str, _Parameter] = {}
        self.query: dict[str, _Parameter] = {}
        self.calls: list[_Call] = []
        self.requires: RequiresScope | None = None
        self.caller_name = ""
        self._add(dependant, result_name="")

    def values(self, scope: Scope, services: Services | None) -> list[dict[str, Any]] | None:
        """What each function is called with; None if there is a parameter that only FastAPI can judge."""
        values: list[dict[str, Any]] = [{} for _ in self.calls]
        given = self._given(scope["query_string"])
        if given is None:
            return None
        for parameters, sent in ((self.query, given), (self.path, scope["path_params"])):
            for name, text in sent.items():
                parameter = parameters[name]
                value, faults = parameter.validate(text)
                if faults:
                    return None
                values[parameter.call][parameter.name] = value
        for call, own in zip(self.calls, values, strict=True):
            if not call.complete(own, services):
                return None
        return values

    def _given(self, query_string: bytes) -> dict[str, Any] | None:
        """The texts of a query by their names; None if it names what is no parameter."""
        given: dict[str, Any] = {}
        if not query_string:
            return given
        # As Starlette reads it: of a name that comes again, the last value counts.
        for name, text in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
            parameter = self.query.get(name)
            if parameter is None:
                return None
            if parameter.is_list:
                given.setdefault(name, []).append(text)
            else:
                given[name] = text
        return given

    def arguments(self, values: list[dict[str, Any]], caller: Caller | None) -> dict[str, Any]:
        """What the endpoint is called with, after the functions that it depends on."""
        arguments = values[0]
        if self.caller_name:
            arguments[self.caller_name] = caller
        for call, own in zip(self.calls[1:], values[1:], strict=True):
            arguments[call.result_name] = call.result(own)
        return arguments

    def _add(self, dependant: Dependant, *, result_name: str) -> None:
        """Add a function and its parameters; TypeError if it asks for what only FastAPI gives."""
        assert dependant.call is not None
        asked = [name for name in _ASKS_FOR_MORE if getattr(dependant, name)]
        if asked:
            raise TypeError(f"a direct route has no {', '.join(asked)} for {dependant.call}")
        call = _Call(dependant.call, result_name)
        number = len(self.calls)
        self.calls.append(call)
        for needed in dependant.dependencies:
            if needed.call is get_services:
                call.services_name = needed.name or ""
            elif isinstance(needed.call, RequiresScope) and number == 0 and self.requires is None:
                self.requires, self.caller_name = needed.call, needed.name or ""
            elif number == 0 and _is_plain(needed):
                self._add(needed, result_name=needed.name or "")
            else:
                raise TypeError(f"a direct route cannot depend on {needed.call}")
        self._add_parameters(number, self.path, dependant.path_params)
        self._add_parameters(number, self.query, dependant.query_params)
        if number:
            call.call_beforehand()

    def _add_parameters(self, number: int, parameters: dict[str, _Parameter], fields: list[Any]) -> None:
        call = self.calls[number]
        for of_field in fields:
            info, name = of_field.field_info, of_field.name
            if of_field.validation_alias not in (None, of_field.alias) or info.validate_default:
                raise TypeError(f"a direct route cannot read {name}")
            if of_field.alias in parameters:
                raise TypeError(f"two functions of a direct route read {name}")
            is_list = _is_list(info.annotation)
            parameters[of_field.alias] = _Parameter(name, number, is_list, of_field.validate)
            if info.is_required():
                call.required.add(name)
            elif isinstance(default := of_field.get_default(), _UNCHANGING):
                call.defaults[name] = default
            elif isinstance(default, list):
                call.copied_defaults[name] = default
            else:
                raise TypeError(f"a direct route has no default of type {type(default)}")


class DirectRoute(APIRoute):
    """A route of an `async` endpoint that returns a Response and takes parameters of path and query.

    Besides these it may have the services, a RequiresScope as a dependency or a parameter, and what plain
    functions make of such parameters alone. These are called in the event loop, so they must be quick; one
    that makes an unchangeable tuple of a request that gives it nothing is called for that once, beforehand:
    it must be pure, and refuse no such request. TypeError, when the route is made, if it asks for anything
    else. For its full effect, `match_first` the router.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._plan = _Plan(self.dependant)
        self._methods = frozenset(self.methods or ())

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, by FastAPI's way if it is not one of the plain ones."""
        plan, services = self._plan, scope.get("state", {}).get("services")
        secret = _secret(scope) if plan.requires else ""
        values = None
        if secret is not None and scope["method"] in self._methods:
            values = plan.values(scope, services)
        if values is None:
            await super().handle(scope, receive, send)
            return
        caller = None
        if plan.requires is not None:
            assert services
            assert secret
            caller = await plan.requires.admit(services, secret)
        response = await self.endpoint(**plan.arguments(values, caller))
        assert isinstance(response, Response)
        await response(scope, receive, send)


def match_first(app: FastAPI, router: APIRouter) -> None:
    """Have the app look at the direct routes of a router that it includes before it looks at any other.

    It goes through all its routes in order, and each that does not match costs as much as a key's check.
    """
    app.router.routes[:0] = [_Shortcut(route) for route in router.routes if isinstance(route, DirectRoute)]


class _Shortcut(BaseRoute):
    """A direct route as the app's own; its router tells the schema of it."""

    def __init__(self, route: DirectRoute) -> None:
        self._route = route

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """FULL or NONE: a wrong method is for the router to refuse."""
        if scope["type"] != "http":
            return Match.NONE, {}
        match, found = self._route.matches(scope)
        return (match, found) if match == Match.FULL else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the route."""
        await self._route.handle(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """NoMatchFound: the router makes its addresses."""
        raise NoMatchFound(name, path_params)


def _secret(scope: Scope) -> str | None:
    """The key of a request in its plainest form; None if there is none, or several, or another form."""
    found = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if found is not None or not value.startswith(_BEARER):
                return None
            found = value[len(_BEARER) :]
    return str(found, "latin-1") if found and found == found.strip() else None


def _is_hashable(value: object) -> bool:
    """Whether all that a tuple holds can be hashed, as what can be changed mostly cannot."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _is_plain(dependant: Dependant) -> bool:
    """Whether a direct route can call a function that it depends on."""
    function = dependant.call
    is_asynchronous = iscoroutinefunction(function) or isasyncgenfunction(function)
    is_quick = isfunction(function) and not is_asynchronous
    return is_quick and not isgeneratorfunction(function) and not dependant.dependencies


def _is_list(annotation: Any) -> bool:
    """Whether a parameter may be repeated; TypeError if it is of a type that FastAPI reads otherwise."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    kinds = [get_origin(member) or member for member in members]
    for kind in kinds:
        is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
        if is_model or kind in _COLLECTIONS or (kind is list and len(kinds) > 1):
            raise TypeError(f"a direct route cannot read a parameter of type {annotation}")
    return kinds == [list]
