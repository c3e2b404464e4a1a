"""What every benchmark shares: its options, its table and its figures as JSON."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

Figures = Mapping[str, Mapping[str, float]]
"""Object → figure → number, as `--json` writes them."""

Json = float | str | Sequence[float] | Mapping[str, "Json"]
"""A number, a text, an interval [low, high] beside a number, or objects of them."""


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="small and short, to see that it works")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    return options


def report(title: str, figures: Figures, json_path: Path | None) -> None:
    """Print the figures as a table, a row a figure, and write them to `json_path` if there is one."""
    show(title, figures)
    write_json(figures, json_path)


def show(title: str, figures: Figures, *, rows_are_objects: bool = False) -> None:
    """Print the figures as a table with a row a figure, or a row an object."""
    names = list(dict.fromkeys(name for column in figures.values() for name in column))
    if rows_are_objects:
        table = Table("", *names, title=title)
        for name, of_object in figures.items():
            table.add_row(name, *(_shown(of_object.get(figure)) for figure in names))
    else:
        table = Table("", *figures, title=title)
        for name in names:
            table.add_row(name, *(_shown(column.get(name)) for column in figures.values()))
    Console().print(table)


def write_json(figures: Mapping[str, Json], path: Path | None) -> None:
    """Write figures, single ones or in objects, as JSON; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2) + "\n")


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
