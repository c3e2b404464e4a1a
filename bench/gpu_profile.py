"""What the time of a GPU goes into, by kind of kernel."""

import re
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

KINDS = {
    "sparse": r"csrmm|spmm|cusparse|embedding_?bag",
    "dense": r"gemm|gemv|nvjet|cutlass|cublas",
    "optimiser": r"multi_tensor_apply|adam",
    "copies": r"memcpy|memset",
}
"""By what is in a kernel's name; all others are passes over arrays, `elementwise`."""


def gpu_profile(action: Callable[[], object], *, num: int) -> dict[str, float]:
    """`gpu_<kind>_ms` of one of num actions: the milliseconds that kernels of this kind run."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as profiler:
        for _ in range(num):
            action()
        torch.cuda.synchronize()
    totals = dict.fromkeys((*KINDS, "elementwise"), 0.0)
    for event in profiler.key_averages():
        if event.device_type.name == "CUDA":
            totals[kind_of(event.key)] += event.self_device_time_total / 1000
    return {f"gpu_{kind}_ms": total / num for kind, total in totals.items()}


def kind_of(kernel: str) -> str:
    """The kind of the kernel of this name."""
    found = (kind for kind, pattern in KINDS.items() if re.search(pattern, kernel, re.IGNORECASE))
    return next(found, "elementwise")
