"""What commands print: tables and sentences for people, JSON for machines, progress on the error stream."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

import msgspec
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from lsec.core.errors import LsecError

PIPED_WIDTH = 160


def _console(*, stderr: bool) -> Console:
    """A console; what is no terminal has no width, so tables there are as wide as they need."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


out = _console(stderr=False)
err = _console(stderr=True)


def print_json(value: object) -> None:
    """The value as indented JSON on the standard output."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_line(value: object) -> None:
    """The value as one line of JSON on the standard output."""
    typer.echo(msgspec.json.encode(value).decode())


def print_error(error: LsecError) -> None:
    """The error and its remedy as sentences on the error stream."""
    title = "" if error.title == LsecError.title else f"{error.title}: "
    err.print(Text.assemble(("Error ", "bold red"), f"{title}{error.detail}"), soft_wrap=True)
    if error.remedy:
        err.print(Text.assemble(("Try   ", "bold"), error.remedy), soft_wrap=True)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; numbers stand on the right. Values are text, never markup."""
    out.print(Text(title, style="bold"), soft_wrap=True)
    table = Table(header_style="bold")
    body = [list(row) for row in rows]
    for place, column in enumerate(columns):
        numbers = all(isinstance(row[place], int | float | None) for row in body)
        justify: Literal["left", "right"] = "right" if body and numbers else "left"
        # The first column holds ids, which people copy.
        table.add_column(Text(column), justify=justify, overflow="fold", no_wrap=place == 0)
    for row in body:
        table.add_row(*(Text(shown(value)) for value in row))
    out.print(table)


def print_mapping(title: str, values: Mapping[str, Any]) -> None:
    """Names and values as a table of two columns; nested names are joined by dots."""
    rows = list(flat(values))
    if rows:
        print_table(title, ("name", "value"), rows)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The leaves of nested mappings with dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def shown(value: object) -> str:
    """The value for a person."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case list() | tuple():
            return ", ".join(shown(each) for each in value)
        case _:
            return str(value)


@contextmanager
def counting(label: str, total: int | None) -> Iterator["Counting"]:
    """A bar that counts up to a total, or without end."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=err,
    ) as progress:
        yield Counting(progress, label, total)


class Counting:
    """The bar of `counting`."""

    def __init__(self, progress: Progress, label: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(label, total=total, rate="")

    def __call__(self, completed: int) -> None:
        """Moves the bar to a number."""
        task = self._progress.tasks[0]
        rate = f"{completed / task.elapsed:,.0f}/s" if task.elapsed else ""
        self._progress.update(self._task, completed=completed, rate=rate)


@contextmanager
def percentage(label: str) -> Iterator["Percentage"]:
    """A bar of percents with the phase of the work before it."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", style="dim", markup=False),
        console=err,
    ) as progress:
        yield Percentage(progress, label)


class Percentage:
    """The bar of `percentage`."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._task = progress.add_task(label, total=100, message="")

    def __call__(self, percent: float, *, label: str, message: str) -> None:
        """Moves the bar."""
        self._progress.update(self._task, completed=percent, description=label, message=message)
