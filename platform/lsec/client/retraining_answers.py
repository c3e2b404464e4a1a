"""What the API answers on retraining, as typed values."""

from datetime import datetime
from typing import Any

import msgspec


class RetrainingVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a look found of the purchases since the active release's snapshot; drift is in bits."""

    is_due: bool
    reason: str
    release_id: str | None = None
    num_new: int = 0
    num_known: int = 0
    new_share: float = 0.0
    drift: float | None = None
    drift_by_chance: float | None = None
    is_capped: bool = False
    waits_for: str = ""


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """When the platform trains by itself, and what; `verdict` is of the last look at the data."""

    is_enabled: bool
    cron: str
    min_new_share: float
    max_drift: float
    request: dict[str, Any]
    updated_at: datetime
    fired_at: datetime | None = None
    checked_at: datetime | None = None
    verdict: RetrainingVerdict | None = None
