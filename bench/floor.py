"""The floor of a training step: what its products must move and compute, over what this device can do.

A sparse product moves its indices, its weights, a gathered row for each, and its output, in bands of columns
once for each. The softmax computes 2 n m k for each dense product. Both are counted as one step takes them,
whatever the model. What else a step does (exponentials, norms, the optimiser) is not part of the floor.
Bandwidth and matrix rate are measured on arrays too big for a cache: gathered rows that stay in one, as those
of popular products do on a GPU, can go below this floor.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

DENSE_PRODUCTS = {"mm": 0, "addmm": 1, "addmm_": 1, "bmm": 0, "baddbmm": 1, "baddbmm_": 1}
"""Where the first factor is among the arguments; the second one follows."""
SPARSE_PRODUCTS = ("_embedding_bag", "_embedding_bag_forward_only")
SPARSE_WEIGHTS_ARGUMENT = 6
TRIAD_ELEMENTS, QUICK_TRIAD_ELEMENTS = 2**26, 2**22
MATRIX_ROWS, GPU_MATRIX_ROWS, QUICK_MATRIX_ROWS = 2048, 8192, 512
NUM_REPETITIONS = 5


@dataclass(frozen=True, slots=True)
class Work:
    """Bytes that sparse products move, and operations of the dense ones by precision."""

    sparse_bytes: int
    dense_flop: Mapping[torch.dtype, int]


@dataclass(frozen=True, slots=True)
class Machine:
    """Bytes a second by triad, and operations a second of a matrix product by precision."""

    bandwidth: float
    matrix_rates: Mapping[torch.dtype, float]


@dataclass
class _Counts:
    sparse_bytes: int = 0
    dense_flop: dict[torch.dtype, int] = field(default_factory=dict)


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its hook unannotated
    """Counts the work of all products that are dispatched within it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.counts = _Counts()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """To skip the compiler is to import it first, which takes longer than all else; none is at work."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        place = DENSE_PRODUCTS.get(name)
        if place is not None and args[place].layout == torch.sparse_csr:
            matrix, dense = args[place : place + 2]
            parts = matrix.col_indices(), matrix.values(), result
            self._count_sparse(dense, matrix.col_indices(), parts)
        elif place is not None:
            first, second = args[place], args[place + 1]
            flop = 2 * first.numel() * second.shape[-1]
            self.counts.dense_flop[first.dtype] = self.counts.dense_flop.get(first.dtype, 0) + flop
        elif name in SPARSE_PRODUCTS:
            dense, indices = args[:2]
            weights = args[SPARSE_WEIGHTS_ARGUMENT] if len(args) > SPARSE_WEIGHTS_ARGUMENT else None
            self._count_sparse(dense, indices, (indices, weights, result[0]))
        return result

    def _count_sparse(
        self, dense: torch.Tensor, indices: torch.Tensor, others: Sequence[torch.Tensor | None]
    ) -> None:
        gathered = indices.numel() * dense.shape[1] * dense.element_size()
        self.counts.sparse_bytes += gathered + sum(map(_num_bytes, others))


def _num_bytes(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor.numel() * tensor.element_size()


def work_of(action: Callable[[], object]) -> Work:
    """The work of the action's products."""
    with _Counting() as counting:
        action()
    return Work(counting.counts.sparse_bytes, counting.counts.dense_flop)


def measure_machine(dtypes: set[torch.dtype], device: torch.device, *, is_quick: bool = False) -> Machine:
    """What the device reaches, with as many threads as torch has."""
    rows, num_elements = MATRIX_ROWS, TRIAD_ELEMENTS
    if is_quick:
        rows, num_elements = QUICK_MATRIX_ROWS, QUICK_TRIAD_ELEMENTS
    elif device.type == "cuda":
        rows = GPU_MATRIX_ROWS
    return Machine(
        _bandwidth(num_elements, device),
        {dtype: _matrix_rate(rows, dtype, device) for dtype in dtypes},
    )


def _bandwidth(num_elements: int, device: torch.device) -> float:
    first, second, result = (torch.ones(num_elements, device=device) for _ in range(3))
    seconds = fastest(lambda: torch.add(first, second, alpha=3.0, out=result), device)
    return 3 * _num_bytes(result) / seconds


def _matrix_rate(rows: int, dtype: torch.dtype, device: torch.device) -> float:
    first, second = (torch.randn(rows, rows, device=device, dtype=dtype) for _ in range(2))
    return 2 * rows**3 / fastest(lambda: first @ second, device)


def fastest(action: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of a few runs after a first one."""
    return min(run_seconds(action, device) for _ in range(NUM_REPETITIONS + 1))


def median_seconds(action: Callable[[], object], device: torch.device, *, num: int) -> float:
    return statistics.median(run_seconds(action, device) for _ in range(num))


def run_seconds(action: Callable[[], object], device: torch.device) -> float:
    """Wall time until the device is done."""
    wait(device)
    started = time.perf_counter()
    action()
    wait(device)
    return time.perf_counter() - started


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def floor_figures(work: Work, machine: Machine, step_seconds: float) -> dict[str, float]:
    """The work, the rates, the floor and the share of it that a step of these seconds reaches."""
    sparse_seconds = work.sparse_bytes / machine.bandwidth
    dense_seconds = sum(flop / machine.matrix_rates[dtype] for dtype, flop in work.dense_flop.items())
    by_precision: dict[str, float] = {}
    for dtype, flop in work.dense_flop.items():
        name = str(dtype).removeprefix("torch.")
        by_precision[f"dense_gflop_{name}"] = flop / 1e9
        by_precision[f"matrix_gflop_per_s_{name}"] = machine.matrix_rates[dtype] / 1e9
    return {
        "sparse_mb": work.sparse_bytes / 1e6,
        "bandwidth_gb_per_s": machine.bandwidth / 1e9,
        **by_precision,
        "sparse_floor_ms": 1000 * sparse_seconds,
        "dense_floor_ms": 1000 * dense_seconds,
        "floor_ms": 1000 * (sparse_seconds + dense_seconds),
        "floor_share": (sparse_seconds + dense_seconds) / step_seconds,
    }
