"""A person's rights, one function a route: erase, follow the erasure, show all that is held."""

import time
from typing import Any

from lsec.client.answers import Erasure, Erasures
from lsec.client.exchange import READ_PATIENCE_S, Call, Flow, Pause, fetch, path_of

WAIT_EVERY_S = 2.0
DATA_TIMEOUT_S = 300.0


def erase_user(user_id: str) -> Flow[Erasure]:
    """Has a user erased; asked again, the erasure that is under way."""
    return fetch(Call("DELETE", _user(user_id)), Erasure, patience_s=READ_PATIENCE_S)


def erasure(erasure_id: str) -> Flow[Erasure]:
    """How far an erasure is, and what it waits for."""
    call = Call("GET", path_of("/v1/erasures", erasure_id))
    return fetch(call, Erasure, patience_s=READ_PATIENCE_S)


def erasures(*, limit: int = 100) -> Flow[Erasures]:
    """The newest erasures."""
    return fetch(Call("GET", "/v1/erasures", {"limit": limit}), Erasures, patience_s=READ_PATIENCE_S)


def wait_until_erased(erasure_id: str, *, timeout_s: float = 3600.0) -> Flow[Erasure]:
    """The erasure when it is done, or as it stands after so long."""
    deadline = time.monotonic() + timeout_s
    while True:
        state = yield from erasure(erasure_id)
        if state.is_done or time.monotonic() + WAIT_EVERY_S > deadline:
            return state
        yield Pause(WAIT_EVERY_S)


def user_data(user_id: str) -> Flow[dict[str, Any]]:
    """All that is held about a user; ApiError with status 404 if nothing is."""
    call = Call("GET", f"{_user(user_id)}/data", timeout_s=DATA_TIMEOUT_S)
    return fetch(call, dict[str, Any], patience_s=READ_PATIENCE_S)


def _user(user_id: str) -> str:
    return path_of("/v1/users", user_id)
