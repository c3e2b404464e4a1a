"""Experiments, one function a route, and what it answers."""

from datetime import datetime

import msgspec

from lsec.client.exchange import READ_PATIENCE_S, Call, Flow, fetch, json_call, path_of

_EXPERIMENTS = "/v1/experiments"


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """What users of one release did; all figures but the first are of those whose window is over."""

    num_users_seen: int
    num_users: int
    num_impressions: int
    num_conversions: int
    num_users_converted: int
    num_users_dismissed: int
    conversion_rate: float | None = None
    amount_per_user: float | None = None


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate between its always-valid bounds; None for an upper bound that is infinite."""

    estimate: float
    lower: float
    upper: float | None = None


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the share of users in the challenger's arm is what it should be."""

    share: float
    fits: bool
    found: Interval | None = None


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """How the intervals are made."""

    name: str
    source: str
    confidence: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The figures; a lift is the challenger's less the champion's, None until there is enough to tell."""

    arms: dict[str, Arm]
    split: Split
    method: Method
    recommendation: str
    lift: Interval | None = None
    relative_lift: Interval | None = None
    amount_lift: Interval | None = None
    dismissal_lift: Interval | None = None


class Guards(msgspec.Struct, frozen=True, kw_only=True):
    """What ends an experiment by itself."""

    max_conversion_loss: float | None = None
    dismissals: bool = True


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A share of the users sees the challenger instead of the champion."""

    id: str
    status: str
    champion_id: str
    challenger_id: str
    share: float
    window_s: int
    guards: Guards
    started_at: datetime
    is_shown: bool = False
    result: Result | None = None
    outcome: str = ""
    started_by: str = ""
    checked_at: datetime | None = None
    ended_at: datetime | None = None


class Experiments(msgspec.Struct, frozen=True, kw_only=True):
    """Experiments, the newest first."""

    experiments: list[Experiment]


def start_experiment(
    challenger_id: str,
    *,
    share: float = 0.1,
    window_s: int = 24 * 3600,
    max_conversion_loss: float | None = 0.2,
    guard_dismissals: bool = True,
) -> Flow[Experiment]:
    """Shows a release to a share of the users; the last two arguments say what ends that by itself.

    ApiError with status 409 if an experiment runs, or the release may not be shown.
    """
    guards = {"max_conversion_loss": max_conversion_loss, "dismissals": guard_dismissals}
    body = {"challenger_id": challenger_id, "share": share, "window_s": window_s, "guards": guards}
    return fetch(json_call("POST", _EXPERIMENTS, body), Experiment)


def experiments(*, limit: int = 20) -> Flow[Experiments]:
    """Experiments, the newest first."""
    return fetch(Call("GET", _EXPERIMENTS, {"limit": limit}), Experiments, patience_s=READ_PATIENCE_S)


def experiment(experiment_id: str) -> Flow[Experiment]:
    """One experiment with its figures, which are worked out each minute."""
    return fetch(Call("GET", path_of(_EXPERIMENTS, experiment_id)), Experiment, patience_s=READ_PATIENCE_S)


def stop_experiment(experiment_id: str, *, reason: str = "") -> Flow[Experiment]:
    """Shows all users the champion again; stopping twice is the same as once."""
    call = json_call("POST", path_of(_EXPERIMENTS, experiment_id, "stop"), {"reason": reason})
    return fetch(call, Experiment, patience_s=READ_PATIENCE_S)


def promote_challenger(experiment_id: str, *, reason: str = "") -> Flow[Experiment]:
    """Makes the challenger the active release; promoting twice is the same as once."""
    call = json_call("POST", path_of(_EXPERIMENTS, experiment_id, "promote"), {"reason": reason})
    return fetch(call, Experiment, patience_s=READ_PATIENCE_S)
