"""How fast the default model trains: beside the authors' code, against the floor, and as the graph grows.

`python bench/training.py --data DIR [--json FILE] [--plot FILE]`, where DIR has data sets in it or is one.
Every part runs in a process of its own, so that its time and its memory are its alone. Times depend on what
else the machine does: run it on a quiet one. The JSON has an object for each set, and `scaling`:

- `seconds`, `peak_mb`: a default training, selection included, from the data in memory to the trained model;
  the process' peak memory in MiB, imports and data included.
- `speedup_to_quality`, for the set `--against` (lastfm): the seconds that the authors' HET-LightGCN trains
  until its best NDCG@10 on the val part, over those that the default model trains until it has the same. Of
  either, imports, reading the data and evaluation do not count, all else does. Theirs is `rechub` from PyPI,
  installed into the user's cache folder at the first run (5 GB); `authors_measured` is 0 where that fails,
  and the figures are those given in the project's baselines.
- `first_step_ms`, `step_ms`: the very first step, and one once the memory is there that steps go on with.
- `floor_ms`, `floor_share`: the time in which this machine could do a step's sparse and dense products alone,
  and that over `step_ms`.
- `sparse …`: ways to take the sparse products, to users and to products.
- on a GPU, `peak_gpu_mb`; `gpu_…_ms`, what a step's time goes into by kind of kernel; `sparse_gb_per_s`, what
  the sparse products move while they run.
- `scaling`: a step on simulated graphs up to `--max-edges`, the slope of its time over the edges, both in
  logarithms, and the size at which full batch no longer fits.

    python bench/training.py --quick
    python bench/training.py --data ../shared/data --json training.json --plot training.svg
    python bench/training.py --data ../shared/data --parts scaling --device cuda --dimensions 128
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import psutil

from bench.authors import (
    GIVEN,
    AuthorsUnavailable,
    Best,
    environment_folder,
    installed_python,
    train_authors,
    write_layout,
)
from bench.fresh_process import run_fresh, tell
from bench.layout import data_sets, read_set
from bench.report import parser, show, write_json
from bench.scaling import QUICK_SIZES, SIZES, measure_scaling, plot, scaling_figures, sentences
from bench.small_market import small_sets
from lsec.core.errors import LsecError

PARTS = ("training", "quality", "step", "sparse", "scaling")
TARGETS = {
    "lastfm": {"speedup_to_quality": "at least 20", "peak_mb": "below 1,200"},
    "ciao": {"seconds": "below 60", "peak_mb": "below 1,200"},
}
Figures = dict[str, dict[str, float]]


def main() -> None:
    """Runs part after part; what is known is written in any case."""
    options = arguments()
    chosen = options.parse_args()
    if not (chosen.data or chosen.quick):
        options.error("give --data DIR, or --quick for a small made-up market")
    figures: Figures = {"machine": {"cores": len(os.sched_getaffinity(0)), "memory_gb": _memory_gb()}}
    try:
        with tempfile.TemporaryDirectory(prefix="training-") as folder:
            for path in data_sets(chosen.data or _small_set(Path(folder))):
                run_set(path, chosen, figures.setdefault(path.resolve().name, {}))
        if "scaling" in chosen.parts:
            run_scaling(chosen, figures.setdefault("scaling", {}))
    except LsecError as error:
        sys.exit(f"{error.title}: {error}")
    finally:
        write_json(figures, chosen.json)


def arguments() -> argparse.ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--data", type=Path, metavar="DIR", help="folder with data sets, or a data set")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    options.add_argument(
        "--against", default="lastfm", metavar="NAME", help="the set that the authors' code trains on"
    )
    options.add_argument(
        "--minutes", type=float, default=6.0, help="of the authors' training at most (default 6)"
    )
    options.add_argument(
        "--max-edges",
        type=int,
        default=SIZES[-1],
        metavar="N",
        help="of a simulated graph (default 10 million)",
    )
    options.add_argument("--plot", type=Path, metavar="FILE", help="scaling as an image (.svg, .png)")
    options.add_argument("--device", default="cpu", help="of all but `quality` (cuda; default cpu)")
    options.add_argument(
        "--dimensions", type=int, metavar="N", help="of `step` and `scaling` (default: the model's)"
    )
    return options


def model_options(chosen: argparse.Namespace) -> list[object]:
    """What a step is taken on, and with how many dimensions."""
    dimensions = ["--dimensions", chosen.dimensions] if chosen.dimensions else []
    return ["--device", chosen.device, *dimensions]


def run_set(path: Path, chosen: argparse.Namespace, figures: dict[str, float]) -> None:
    """Fills in what is measured on this set, and prints it."""
    name = path.resolve().name
    options = ["--data", path.resolve(), *(["--quick"] if chosen.quick else [])]
    if "training" in chosen.parts:
        tell(f"{name}: a default training")
        figures |= run_fresh("bench.default_training", *options, "--device", chosen.device)
    if "quality" in chosen.parts and name == chosen.against:
        figures |= against_authors(path, chosen.minutes)
    if "step" in chosen.parts:
        tell(f"{name}: single steps, and the floor")
        figures |= run_fresh("bench.step", *options, *model_options(chosen))
    if "sparse" in chosen.parts:
        tell(f"{name}: ways to take the sparse product")
        sparse = run_fresh("bench.sparse_products", *options, "--device", chosen.device)
        figures |= {f"sparse {way}": value for way, value in sparse.items()}
    show(f"{name}, {chosen.device}", {name: figures})
    for figure, target in TARGETS.get(name, {}).items() if chosen.device == "cpu" else ():
        if figure in figures:
            print(f"{name}/{figure}: {figures[figure]:,.1f} (target: {target})", flush=True)


def against_authors(path: Path, minutes: float) -> dict[str, float]:
    """Their best on the val part, when ours was as good, and the ratio of the seconds."""
    theirs = authors_best(path, minutes)
    figures = {
        "authors_measured": float(theirs.is_measured),
        "authors_ndcg@10": theirs.ndcg,
        "authors_epochs": float(theirs.epochs),
        "authors_seconds": theirs.seconds,
        "authors_threads": float(theirs.threads),
    }
    ours = run_fresh("bench.default_training", "--data", path.resolve(), "--until", theirs.ndcg)
    if "seconds_to_quality" not in ours:
        tell(f"the default model does not reach an NDCG@10 of {theirs.ndcg:.4f}")
        return figures | ours
    return figures | ours | {"speedup_to_quality": theirs.seconds / ours["seconds_to_quality"]}


def authors_best(path: Path, minutes: float) -> Best:
    """Measured here, or else as it is given for the set."""
    data = read_set(path)
    max_threads = len(os.sched_getaffinity(0))
    try:
        python = installed_python(environment_folder())
        return train_authors(data, minutes=minutes, max_threads=max_threads, python=python)
    except AuthorsUnavailable as reason:
        if data.name not in GIVEN:
            raise
        tell(f"{reason} The figures of the authors' code are those given, not measured here.")
        return GIVEN[data.name]


def run_scaling(chosen: argparse.Namespace, figures: dict[str, float]) -> None:
    """Fills in what is measured on simulated graphs, prints it and draws it."""
    sizes = [size for size in (QUICK_SIZES if chosen.quick else SIZES) if size <= chosen.max_edges]
    found, failed_size = measure_scaling(sizes, model_options(chosen), is_quick=chosen.quick)
    figures |= scaling_figures(found)
    by_size = {f"{of_size['edges']:,.0f} edges": of_size for of_size in found.values()}
    show(f"a step on simulated graphs, {chosen.device}", by_size)
    for sentence in sentences(figures, failed_size):
        print(sentence, flush=True)
    if chosen.plot and len(found) > 1:
        plot(found, chosen.plot)


def _small_set(folder: Path) -> Path:
    data = small_sets()[0]
    write_layout(data, folder / data.name)
    return folder / data.name


def _memory_gb() -> float:
    return psutil.virtual_memory().total / 1e9


if __name__ == "__main__":
    main()
