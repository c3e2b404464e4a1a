"""What a running training tells: phase, share done, figures, and the memory that it took."""

import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

Phase = Literal["load", "select", "train", "rank", "write"]
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Progress:
    """`share` of the phase is done, from 0 to 1.

    `metrics` are all figures so far; its `validations` hold one mapping for each look at the validation
    lists, oldest first. `is_news` marks what no reader may miss: a validation, or the end of a phase.
    """

    phase: Phase
    share: float
    message: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    is_news: bool = False


OnProgress = Callable[[Progress], None]


def peak_memory_mb(device: torch.device) -> dict[str, float]:
    """The most memory that this process has held so far, in MiB: `peak_mb`, on a GPU `peak_gpu_mb` too."""
    # macOS counts in bytes, Linux in KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = {"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB, 1)}
    if device.type == "cuda":
        peaks["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated(device) / MIB, 1)
    return peaks
