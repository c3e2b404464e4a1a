"""What a running training tells: phase, share done, and figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Phase = Literal["load", "select", "train", "rank", "write"]


@dataclass(frozen=True, slots=True)
class Progress:
    """`share` of the phase is done, from 0 to 1."""

    phase: Phase
    share: float
    message: str
    metrics: Mapping[str, float] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]
