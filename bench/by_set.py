"""What benchmarks over data sets share: their options, and the figures of each set with candidate lists."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench.layout import DataSet, data_sets, read_set
from bench.model import positive
from bench.report import Json, parser, show
from bench.small_market import small_sets
from lsec.core.errors import LsecError


def options_of(description: str | None, *, seeds: int) -> argparse.ArgumentParser:
    """The command line, with so many trainings by default."""
    options = parser(description)
    options.add_argument("--data", type=Path, metavar="DIR", help="folder with data sets, or a data set")
    options.add_argument("--set", default="", metavar="NAME", help="only this set")
    options.add_argument(
        "--seeds", type=positive, default=seeds, metavar="N", help=f"trainings (default {seeds})"
    )
    return options


def measured_by_set(
    options: argparse.ArgumentParser,
    chosen: argparse.Namespace,
    title: str,
    measure: Callable[[DataSet], dict[str, Json]],
) -> dict[str, dict[str, Json]]:
    """The figures of each set by its name, shown under the title; SystemExit says why if there are none."""
    if not (chosen.data or chosen.quick):
        options.error("give --data DIR, or --quick for a small made-up market")
    try:
        sets = (
            small_sets() if chosen.quick else [read_set(path) for path in data_sets(chosen.data, chosen.set)]
        )
        of_sets = {data.name: measure(data) for data in sets if data.test is not None}
    except LsecError as error:
        sys.exit(f"{error.title}: {error}")
    if not of_sets:
        sys.exit("No set there has candidate lists.")
    numbers = {
        name: {figure: value for figure, value in of_set.items() if isinstance(value, int | float)}
        for name, of_set in of_sets.items()
    }
    show(title, numbers)
    return of_sets
