"""Presets: named hyperparameters of a model, which a search leaves and a training takes."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lsec.core import durable
from lsec.core.errors import InvalidInput, Untrainable
from workers.training.model_hyperparameters import hyperparameters_of

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Preset:
    """What differs from the model's defaults, and how it was found."""

    model: str
    hyperparameters: dict[str, Any]
    found: dict[str, Any] = field(default_factory=dict)


def presets_folder(data_dir: Path) -> Path:
    """Where the presets of a data folder lie."""
    return data_dir / "presets"


def require_name(name: str) -> None:
    """InvalidInput unless this can name a preset, or a study, and nothing outside its folder."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name of a preset.",
            remedy="Use up to 64 small letters, digits, dots, dashes and underscores, no sign first.",
        )


def save_preset(folder: Path, name: str, preset: Preset) -> Path:
    """Writes or replaces the preset; its file."""
    require_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    durable.write_text(path, json.dumps(asdict(preset), indent=2) + "\n")
    return path


def read_preset(folder: Path, name: str) -> Preset:
    """The preset of that name; Untrainable names those there are, or what is wrong with its file."""
    require_name(name)
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.json"))) or "none"
        raise Untrainable(
            f"There is no preset {name} in {folder}; there are: {known}.",
            remedy=f"`lsec tune DATA --save-as {name}` makes one.",
        )
    try:
        preset = Preset(**json.loads(path.read_bytes()))
        hyperparameters_of(preset.model, preset.hyperparameters)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise Untrainable(f"{path} cannot be read: {error}.") from error
    return preset


def chosen_hyperparameters(request: Mapping[str, Any], *, folder: Path) -> dict[str, Any]:
    """A training request's own hyperparameters over those of its preset, checked.

    Untrainable if there is no such preset, if it is another model's, or for an unknown name or a value out of
    bounds: before anything is exported.
    """
    chosen: dict[str, Any] = {}
    if name := request.get("preset"):
        preset = read_preset(folder, name)
        if preset.model != request["model"]:
            raise Untrainable(
                f"The preset {name} is of the model {preset.model}, asked for is {request['model']}.",
                remedy=f"Train with the model {preset.model}, or without the preset.",
            )
        chosen |= preset.hyperparameters
    chosen |= request.get("hyperparameters") or {}
    hyperparameters_of(request["model"], chosen)
    return chosen
