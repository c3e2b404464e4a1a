"""A release of a million users and as many products: how soon it is open, and what two processes hold of it.

`python -m bench.large_release [--json FILE]` writes its artifact with random numbers, and prints what each
file takes. Two processes open it at once, as those of the API do, first while nobody has compared it with its
hashes, then again. Each answers some thousand users from their slates, and folds some in. `pss_mb` is the sum
of both's proportional set sizes then, `pss_all_mb` that after all of the artifact was read; Linux alone tells
them.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.fresh_process import MIB, ROOT, give
from bench.memory_release import manifest
from bench.report import parser, report
from lsec.core.artifact import Artifact, open_artifact
from lsec.core.artifact_layout import ARRAYS
from lsec.core.fold_in import FoldIn
from workers.training.artifact_files import write_arrays, write_manifest

NUM_ROWS, NUM_STREAMERS = 1_000_000, 10_000
DIMENSIONS, SLATE_LENGTH, BUYS_PER_USER = 128, 50, 25
FOLLOWS_PER_USER = 10
ID_WIDTH = 36
"""Of a UUID in text."""
DIFFERENT_ROWS = 10_000
"""So many are drawn, and come again and again."""
NUM_PROCESSES = 2
NUM_ANSWERS, NUM_FOLD_INS = 5000, 20
ROLLUP = Path("/proc/self/smaps_rollup")


def main() -> None:
    """Measure and report; with a folder, be one of the processes."""
    options = parser(__doc__)
    options.add_argument(
        "--open", type=Path, metavar="FOLDER", help=f"be one of the {NUM_PROCESSES} processes"
    )
    chosen = options.parse_args()
    if chosen.open:
        serve(chosen.open)
        return
    num_rows = NUM_ROWS // 100 if chosen.quick else NUM_ROWS
    with tempfile.TemporaryDirectory(prefix="lsec-bench-") as name:
        folder = Path(name) / "rel_large"
        sizes = write_release(folder, num_rows)
        figures = {"release": measure(folder) | {"mapped_mb": sum(sizes.values())}}
    report("MiB of each file", {"release": sizes}, None)
    report(f"{num_rows:,} users, {num_rows:,} products, {DIMENSIONS} dimensions", figures, chosen.json)


def write_release(folder: Path, num_rows: int) -> dict[str, float]:
    """Write the artifact, one file after the other; their sizes in MiB."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    hashes: dict[str, str] = {}
    for arrays in files(rng, num_rows):
        hashes |= write_arrays(folder, arrays)
    counts = {"users": num_rows, "products": num_rows, "streamers": NUM_STREAMERS}
    counts |= {"buys": num_rows * BUYS_PER_USER, "follows": num_rows * FOLLOWS_PER_USER, "views": 0}
    hyperparameters = {"follow_weight": 0.2, "view_weight": 0.3, "view_edge": 0.3}
    write_manifest(folder, manifest(files=hashes, counts=counts, hyperparameters=hyperparameters))
    return {name: (folder / name).stat().st_size / MIB for name in hashes}


def files(rng: np.random.Generator, num_rows: int) -> Iterator[dict[str, NDArray[np.generic]]]:
    """The arrays of each file, so that no more than one file's are in memory."""

    def unit_rows(num: int) -> NDArray[np.generic]:
        drawn = rng.normal(size=(min(num, DIFFERENT_ROWS), DIMENSIONS))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return np.resize(drawn.astype(np.float16), (num, DIMENSIONS))

    def products(width: int) -> NDArray[np.generic]:
        drawn = rng.integers(0, num_rows, (DIFFERENT_ROWS, width), np.int32)
        return np.resize(drawn, (num_rows, width))

    yield {"user_ids": ids("u", num_rows), "user_order": np.arange(num_rows)}
    yield {"user_vectors": unit_rows(num_rows)}
    scores = -np.sort(-rng.random((DIFFERENT_ROWS, SLATE_LENGTH), np.float32))
    yield {"slates": products(SLATE_LENGTH), "slate_scores": np.resize(scores, (num_rows, SLATE_LENGTH))}
    starts = np.arange(0, (num_rows + 1) * BUYS_PER_USER, BUYS_PER_USER)
    yield {"bought_indptr": starts, "bought_indices": products(BUYS_PER_USER).ravel()}
    yield {
        "product_ids": ids("p", num_rows),
        "product_order": np.arange(num_rows),
        "product_vectors": unit_rows(num_rows),
        "product_bias": rng.normal(size=num_rows).astype(np.float32),
        "popular": np.arange(1000, dtype=np.int32),
        "streamer_ids": ids("s", NUM_STREAMERS),
        "streamer_order": np.arange(NUM_STREAMERS),
        "streamer_vectors": unit_rows(NUM_STREAMERS),
    }


def ids(prefix: str, num: int) -> NDArray[np.bytes_]:
    """Ids in the order of their rows."""
    return np.array([f"{prefix}{row:0{ID_WIDTH - 1}d}".encode() for row in range(num)])


def measure(folder: Path) -> dict[str, float]:
    """Figures of processes that open the artifact at once; the times are those of the slowest."""
    command = [sys.executable, "-m", "bench.large_release", "--open", str(folder)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(NUM_PROCESSES)
    ]
    # Each step is told to all, and all have done it, before the next: they hold the artifact together.
    steps = [[_told(process, step) for process in _all_told(processes, step)] for step in STEPS]
    for process in processes:
        process.communicate()
    figures: dict[str, float] = {}
    for step in steps:
        for name in step[0]:
            values = [of_process[name] for of_process in step]
            figures[name] = sum(values) if name.startswith("pss") else max(values)
    return figures


def _all_told(processes: list["subprocess.Popen[str]"], step: str) -> list["subprocess.Popen[str]"]:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{step}\n")
        process.stdin.flush()
    return processes


def _told(process: "subprocess.Popen[str]", step: str) -> dict[str, float]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit(f"A process ended at the step {step!r}.")
    figures: dict[str, float] = json.loads(line)
    return figures


def serve(folder: Path) -> None:
    """Take each step that stdin names, and give its figures."""
    artifact, figures = _open(folder, "not_compared_open_s")
    for line in sys.stdin:
        step = line.strip()
        if step == "open again":
            del artifact
            artifact, figures = _open(folder, "open_s")
        elif step == "answer":
            figures = answer(artifact)
        elif step == "read all":
            for name in ARRAYS:
                array = getattr(artifact, name, None)
                if isinstance(array, np.ndarray):
                    array.view(np.uint8).max()
            for index in (artifact.users, artifact.products, artifact.streamers):
                index.order.max()
            figures = {}
        elif step.startswith("pss"):
            figures = {step: pss_mb()}
        give(figures)


STEPS = ("open", "open again", "answer", "pss_mb", "read all", "pss_all_mb")


def _open(folder: Path, name: str) -> tuple[Artifact, dict[str, float]]:
    started = time.perf_counter()
    artifact = open_artifact(folder)
    opened = time.perf_counter()
    artifact.hash_ids()
    return artifact, {name: opened - started, "hash_ids_s": time.perf_counter() - opened}


def answer(artifact: Artifact) -> dict[str, float]:
    """Answer random users from their slates, and fold in others and find their best of all products."""
    rng = np.random.default_rng()
    num_rows = len(artifact.user_ids)
    started = time.perf_counter()
    for number in rng.integers(0, num_rows, NUM_ANSWERS).tolist():
        row = artifact.user_row(f"u{number:0{ID_WIDTH - 1}d}")
        assert row is not None
        artifact.slate(row)
        artifact.bought(row)
    slate_s = time.perf_counter() - started
    started = time.perf_counter()
    fold_in = FoldIn.of(artifact)
    times_s: Mapping[str, list[float]] = {"fold_in": [], "top": []}
    built_s = time.perf_counter() - started
    for _ in range(NUM_FOLD_INS):
        bought = np.unique(rng.integers(0, num_rows, BUYS_PER_USER))
        followed = np.unique(rng.integers(0, NUM_STREAMERS, FOLLOWS_PER_USER))
        moments = [time.perf_counter()]
        vector = fold_in.user_vector(bought, followed)
        moments.append(time.perf_counter())
        artifact.top(vector, SLATE_LENGTH, bought)
        moments.append(time.perf_counter())
        for name, taken_s in zip(times_s, np.diff(moments).tolist(), strict=True):
            times_s[name].append(taken_s)
    medians = {f"{name}_ms": 1000 * float(np.median(values)) for name, values in times_s.items()}
    return {"slate_us": 1e6 * slate_s / NUM_ANSWERS, "fold_in_built_ms": 1000 * built_s} | medians


def pss_mb() -> float:
    """This process's proportional set size in MiB: what it shares counts for each by its part."""
    for line in ROLLUP.read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{ROLLUP} tells no Pss")


if __name__ == "__main__":
    main()
