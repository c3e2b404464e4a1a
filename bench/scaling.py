"""How time and memory of a training step grow with the graph, and at which size full batch no longer fits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from bench.fresh_process import MIB, PartFailed, run_fresh, tell

SIZES = (1_000_000, 2_000_000, 5_000_000, 10_000_000)
QUICK_SIZES = (10_000, 40_000)
CARD_BYTES = 80e9
TARGET_SLOPE = 1.1


@dataclass(frozen=True, slots=True)
class Line:
    """The bytes that a graph takes: base + per_edge for each edge, with its share of nodes."""

    base: float
    per_edge: float

    def max_edges(self, capacity: float) -> float:
        """Where the line meets the capacity in bytes."""
        return max(0.0, (capacity - self.base) / self.per_edge)


def measure_scaling(
    sizes: Sequence[int], model_options: Sequence[object], *, is_quick: bool
) -> tuple[dict[int, dict[str, float]], int | None]:
    """The figures of `bench.step` by size, and the first size that did not fit."""
    found: dict[int, dict[str, float]] = {}
    for size in sizes:
        if not fits(found, size):
            tell(f"{size:,} edges would not fit into the memory that is free")
            return found, size
        tell(f"simulating {size:,} edges")
        options = ["--edges", size, *model_options, *(["--quick"] if is_quick else [])]
        try:
            found[size] = run_fresh("bench.step", *options)
        except PartFailed as failed:
            if not failed.is_out_of_memory:
                raise
            tell(f"{size:,} edges do not fit: {failed}")
            return found, size
    return found, None


def fits(found: Mapping[int, Mapping[str, float]], size: int) -> bool:
    """Whether a graph of this size is expected to fit into the free memory, by those already measured."""
    if not found:
        return True
    largest = max(found)
    expected = found[largest]["step_peak_mb"] * size / largest
    return bool(expected * MIB < psutil.virtual_memory().available)


def scaling_figures(found: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Slope, memory line and capacities, and what was measured at each size."""
    figures: dict[str, float] = {}
    if len(found) > 1:
        edges = [of_size["edges"] for of_size in found.values()]
        figures["slope"] = slope(edges, [of_size["step_ms"] for of_size in found.values()])
        line = memory_line(edges, [of_size["step_peak_mb"] * MIB for of_size in found.values()])
        figures |= {
            "bytes_per_edge": line.per_edge,
            "machine_gb": psutil.virtual_memory().total / 1e9,
            "machine_max_edges": line.max_edges(psutil.virtual_memory().total),
            "card_80gb_max_edges": Line(0.0, line.per_edge).max_edges(CARD_BYTES),
        }
    for size, of_size in found.items():
        figures |= {f"{name}@{size}": value for name, value in of_size.items()}
    return figures


def slope(edges: Sequence[float], times: Sequence[float]) -> float:
    """The exponent s of time ~ edges^s, by least squares over the logarithms."""
    return float(np.polyfit(np.log(edges), np.log(times), 1)[0])


def memory_line(edges: Sequence[float], num_bytes: Sequence[float]) -> Line:
    """The line through these, by least squares."""
    per_edge, base = np.polyfit(edges, num_bytes, 1)
    return Line(float(base), float(per_edge))


def sentences(figures: Mapping[str, float], failed_size: int | None) -> list[str]:
    """What the figures mean, for the reader of the table."""
    if "slope" not in figures:
        return ["One size alone has no slope."]
    told = [
        f"Time per step grows with edges^{figures['slope']:.3f} (target: at most {TARGET_SLOPE}).",
        f"An edge with its share of nodes takes {figures['bytes_per_edge']:,.0f} bytes: full batch no longer "
        f"fits this machine's {figures['machine_gb']:.0f} GB at about "
        f"{rounded(figures['machine_max_edges'])} edges, and an 80 GB card at about "
        f"{rounded(figures['card_80gb_max_edges'])}.",
    ]
    if failed_size:
        told.append(f"{failed_size:,} edges did not fit into the memory that was free.")
    return told


def rounded(number: float) -> str:
    """Two significant digits."""
    if number <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(number))
    return f"{round(number, digits):,.0f}"


def plot(found: Mapping[int, Mapping[str, float]], path: Path) -> None:
    """Time per step and peak memory over the edges, both logarithmic, as an image of the path's kind."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    edges = [of_size["edges"] for of_size in found.values()]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    labels = {"step_ms": "milliseconds per step", "step_peak_mb": "peak memory, MiB"}
    for axis, (name, label) in zip(axes, labels.items(), strict=True):
        values = [of_size[name] for of_size in found.values()]
        axis.loglog(edges, values, marker="o", label="measured")
        proportional = [values[0] * num / edges[0] for num in edges]
        axis.loglog(edges, proportional, linestyle="--", color="gray", label="slope 1")
        axis.set(xlabel="edges", ylabel=label)
        axis.grid(visible=True, which="both", alpha=0.3)
        axis.legend()
    figure.suptitle(f"Slope of time per step: {slope(edges, [f['step_ms'] for f in found.values()]):.3f}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
