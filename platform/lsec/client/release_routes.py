"""One function a route about releases: which there are, which one is active, and what they hold."""

from collections.abc import Callable
from typing import TypeVar

from lsec.client.answers import Comparison, Release, Releases, Slate
from lsec.client.exchange import (
    READ_PATIENCE_S,
    Call,
    Dropped,
    Emit,
    Feed,
    Flow,
    Item,
    Next,
    Open,
    Parameter,
    Reply,
    decode,
    exchange,
    failure,
    fetch,
    json_call,
    path_of,
)

STREAM_TIMEOUT_S = 60.0
COMPARE_TIMEOUT_S = 120.0
_RELEASES = "/v1/releases"

T = TypeVar("T")


def releases(*, state: str | None = None, model: str | None = None, limit: int = 100) -> Flow[Releases]:
    """Releases, the newest first, and which one is served; `state` chooses those in one."""
    params: dict[str, Parameter] = {"state": state, "model": model, "limit": limit}
    return fetch(Call("GET", _RELEASES, params), Releases, patience_s=READ_PATIENCE_S)


def release(release_id: str) -> Flow[Release]:
    """One release."""
    return fetch(Call("GET", path_of(_RELEASES, release_id)), Release, patience_s=READ_PATIENCE_S)


def promote_release(
    release_id: str, *, reason: str = "", override: str | None = None, expected: str | None = None
) -> Flow[Release]:
    """Makes a release active, at once or, if its state is `publishing`, once its slates are written.

    ApiError with status 409 if it has not passed the gate and `override` does not say why it may, or if
    another release than `expected` is active.
    """
    body = {"reason": reason, "override": override, "expected": expected}
    return fetch(json_call("POST", path_of(_RELEASES, release_id, "promote"), body), Release)


def rollback_release(*, reason: str = "", expected: str | None = None) -> Flow[Release]:
    """Makes the release active that was before; ApiError with status 409 if none is left."""
    return fetch(
        json_call("POST", f"{_RELEASES}/rollback", {"reason": reason, "expected": expected}), Release
    )


def keep_release(release_id: str, *, is_kept: bool = True, reason: str = "") -> Flow[Release]:
    """Pins a release's artifact against retention, or gives it back."""
    call = json_call("PATCH", path_of(_RELEASES, release_id), {"is_kept": is_kept, "reason": reason})
    return fetch(call, Release, patience_s=READ_PATIENCE_S)


def delete_release(release_id: str, *, reason: str = "") -> Flow[Release]:
    """Deletes slates, vectors and artifact; ApiError with status 409 for the champion or challenger."""
    call = Call("DELETE", path_of(_RELEASES, release_id), {"reason": reason or None})
    return fetch(call, Release, patience_s=READ_PATIENCE_S)


def compare_releases(
    release_id: str, other_id: str, *, k: int = 10, user_id: str | None = None
) -> Flow[Comparison]:
    """Two releases side by side: figures, slates, and one user's slates if a user is given."""
    path = path_of(_RELEASES, release_id, "compare", other_id)
    call = Call("GET", path, {"k": k, "user_id": user_id}, timeout_s=COMPARE_TIMEOUT_S)
    return fetch(call, Comparison, patience_s=READ_PATIENCE_S)


def release_card(release_id: str) -> Flow[str]:
    """The model card, in Markdown."""
    call = Call("GET", path_of(_RELEASES, release_id, "card"))
    reply = yield from exchange(call, patience_s=READ_PATIENCE_S)
    return reply.body.decode()


def release_artifact(release_id: str) -> Feed[bytes]:
    """The artifact as a tar archive, some bytes at a time; Unreachable if the stream breaks off."""
    call = Call("GET", path_of(_RELEASES, release_id, "artifact"), timeout_s=STREAM_TIMEOUT_S)
    return _items(Open(call, as_bytes=True), lambda item: item.content)


def slates(release_id: str) -> Feed[Slate]:
    """Every user's slate in a release; Unreachable if the stream breaks off, which is never passed over."""
    call = Call("GET", path_of(_RELEASES, release_id, "slates"), timeout_s=STREAM_TIMEOUT_S)
    return _items(Open(call), lambda item: decode(item.data, Slate) if item.data else None)


def _items(opening: Open, value_of: Callable[[Item], T | None]) -> Feed[T]:
    """The values of a streamed answer's items."""
    outcome = yield opening
    while outcome is not None:
        if isinstance(outcome, Dropped) or (isinstance(outcome, Reply) and outcome.status >= 400):
            raise failure(outcome)
        if isinstance(outcome, Item) and (value := value_of(outcome)):
            yield Emit(value)
        outcome = yield Next()
