"""What a search varies: a range or choices for each hyperparameter, whichever of them a model has."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

import optuna

from lsec.core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from low to high; by their logarithm where what matters is their ratio."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Some values."""

    values: tuple[Any, ...]


Dimension = Range | Choice
THIRDS = (1 / 3, 1 / 3, 1 / 3)
SPACE: dict[str, Dimension] = {
    "dimensions": Choice((64, 96, 128, 192)),
    "layer_weights": Choice(((0.5 / 3, 1 / 3, 1 / 3), THIRDS, (0.5, 0.5), (1 / 7, 2 / 7, 2 / 7, 2 / 7))),
    "temperature": Range(0.1, 0.5, log=True),
    "learning_rate": Range(0.005, 0.05, log=True),
    "bias_learning_rate": Range(0.001, 0.05, log=True),
    "popularity_start": Range(0.0, 1.0),
    "follow_weight": Range(0.0, 1.0),
    "view_weight": Range(0.0, 1.0),
    "sold_weight": Range(0.0, 0.2),
    "view_edge": Range(0.0, 1.0),
    "degree_exponent": Range(0.25, 0.5),
    "average_decay": Range(0.0, 0.97),
    "initial_std": Range(0.03, 0.3, log=True),
    "num_negatives": Choice((2, 4, 8)),
    "batch_size": Choice((2048, 4096, 16384)),
    "predictor_dimensions": Choice((64, 128, 256)),
}
"""Those that a model does not have are passed over."""


def search_space(
    defaults: Any, *, only: Collection[str] = (), fixed: Collection[str] = ()
) -> dict[str, Dimension]:
    """The part of SPACE that these hyperparameters have, within their bounds, their own values among it.

    `only` leaves out all others, `fixed` leaves these out. InvalidInput for a name that cannot be searched,
    or if nothing is left.
    """
    bounds = {each.name: each.metadata for each in fields(defaults)}
    known = [name for name in SPACE if name in bounds]
    if unknown := sorted(set(only) - set(known)):
        raise InvalidInput(
            f"There is no search over {', '.join(unknown)}.", remedy=f"There is over {', '.join(known)}."
        )
    names = [name for name in known if (not only or name in only) and name not in fixed]
    if not names:
        raise InvalidInput("Nothing is left to search over.", remedy="Fix fewer hyperparameters.")
    return {name: _with(SPACE[name], getattr(defaults, name), bounds[name]) for name in names}


def _with(dimension: Dimension, default: Any, bounds: Mapping[str, Any]) -> Dimension:
    if isinstance(dimension, Choice):
        if default in dimension.values:
            return dimension
        return Choice((default, *dimension.values))
    low = max(min(dimension.low, default), bounds.get("low", dimension.low))
    high = min(max(dimension.high, default), bounds.get("high", dimension.high))
    # A default of 0 has no logarithm.
    return Range(low, high, dimension.log and low > 0)


def suggest(trial: optuna.Trial, space: Mapping[str, Dimension]) -> dict[str, Any]:
    """The values of this trial, numbers with four digits, so that a preset can be read."""
    values: dict[str, Any] = {}
    for name, dimension in space.items():
        if isinstance(dimension, Choice):
            values[name] = json.loads(trial.suggest_categorical(name, _texts(dimension)))
        else:
            value = trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
            values[name] = min(max(float(f"{value:.4g}"), dimension.low), dimension.high)
    return values


def parameters_of(hyperparameters: Any, space: Mapping[str, Dimension]) -> dict[str, Any]:
    """These hyperparameters' own values as a trial's parameters."""
    values = {name: getattr(hyperparameters, name) for name in space}
    return {
        name: json.dumps(value) if isinstance(space[name], Choice) else value
        for name, value in values.items()
    }


def as_json(space: Mapping[str, Dimension]) -> str:
    """The space as text, to tell whether it is still the same."""
    values = {
        name: _texts(d) if isinstance(d, Choice) else [d.low, d.high, d.log] for name, d in space.items()
    }
    return json.dumps(values, sort_keys=True)


def _texts(choice: Choice) -> list[str]:
    """The values as JSON: a study keeps numbers and texts only."""
    return [json.dumps(value) for value in choice.values]
