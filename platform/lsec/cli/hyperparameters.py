"""Hyperparameters on the command line: `--set NAME=VALUE`."""

import math
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from lsec.core.errors import InvalidInput

MODEL_PANEL = "Model"
"""Of a command's help."""
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A hyperparameter, such as temperature=0.3 or layer_weights=0.5,1,1; may be repeated.",
        rich_help_panel=MODEL_PANEL,
    ),
]


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """The values by name: numbers, several numbers, or a word; InvalidInput for what is none."""
    values: dict[str, Any] = {}
    for text in texts:
        name, separator, value = (part.strip() for part in text.partition("="))
        if not separator or not name or not value:
            raise InvalidInput(f"{text!r} is no NAME=VALUE.", remedy="Give one such as temperature=0.3.")
        if name in values:
            raise InvalidInput(f"{name} is set twice.")
        values[name] = _parsed(value)
    return values


def _parsed(text: str) -> Any:
    """A word stays one: which hyperparameter takes words, the trainer knows."""
    parts = text.removeprefix("[").removesuffix("]").split(",")
    try:
        numbers = [_number(part.strip()) for part in parts]
    except ValueError:
        return text
    return numbers if len(parts) > 1 or text.startswith("[") else numbers[0]


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not math.isfinite(number):
        raise InvalidInput(f"{text} is no number that can be used.")
    return number
