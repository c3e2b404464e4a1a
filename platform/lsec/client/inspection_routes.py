"""What the last inspection of the installation found, one function a route."""

from datetime import datetime

import msgspec

from lsec.client.exchange import READ_PATIENCE_S, Call, Flow, fetch


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the installation as it was last found: `state` is ok, warning or broken."""

    name: str
    state: str
    detail: str
    remedy: str
    checked_at: datetime
    since: datetime


class Inspections(msgspec.Struct, frozen=True, kw_only=True):
    """What the last inspection found, the worst first, and how many parts are in each state."""

    counts: dict[str, int]
    inspections: list[Inspection]


def inspections(*, state: str | None = None) -> Flow[Inspections]:
    """What the last inspection found, in all states or one; the upkeep looks every five minutes."""
    return fetch(Call("GET", "/v1/inspections", {"state": state}), Inspections, patience_s=READ_PATIENCE_S)
