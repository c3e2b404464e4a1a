"""When the platform trains by itself, one function a route."""

from collections.abc import Mapping
from typing import Any

from lsec.client.exchange import READ_PATIENCE_S, Call, Flow, fetch, json_call
from lsec.client.retraining_answers import Retraining

CHECK_TIMEOUT_S = 60.0


def retraining() -> Flow[Retraining]:
    """When it trains by itself, and what the last look at the data found."""
    return fetch(Call("GET", "/v1/retraining"), Retraining, patience_s=READ_PATIENCE_S)


def set_retraining(
    *,
    is_enabled: bool,
    cron: str = "",
    min_new_share: float = 0.1,
    max_drift: float = 0.0,
    request: Mapping[str, Any] | None = None,
) -> Flow[Retraining]:
    """Replaces the policy: `cron` in UTC, bounds of 0 for never, and what to train as `train` asks for it."""
    body = {"is_enabled": is_enabled, "cron": cron, "min_new_share": min_new_share, "max_drift": max_drift}
    call = json_call("PUT", "/v1/retraining", {**body, "request": request or {}})
    return fetch(call, Retraining, patience_s=READ_PATIENCE_S)


def check_retraining() -> Flow[Retraining]:
    """The policy with what a look at the data, made now, finds; it asks for no training."""
    call = Call("POST", "/v1/retraining/check", timeout_s=CHECK_TIMEOUT_S)
    return fetch(call, Retraining, patience_s=READ_PATIENCE_S)
