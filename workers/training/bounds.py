"""Hyperparameters with bounds: declared beside their default, checked where a mapping becomes a dataclass."""

from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, Protocol

from lsec.core.errors import Untrainable


def bounded(default: float, low: float, high: float) -> Any:
    """A dataclass field with this default that must lie within the bounds."""
    return field(default=default, metadata={"low": low, "high": high})


class CheckField(Protocol):
    """Checks the value of a field that has no bounds; returns it as the dataclass holds it."""

    def __call__(self, name: str, value: Any, /) -> Any: ...


def checked(kind: type, overrides: Mapping[str, Any], *, check_other: CheckField) -> dict[str, Any]:
    """The overrides, ready for the dataclass; Untrainable names what is unknown or out of bounds."""
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(set(overrides) - set(known)):
        raise Untrainable(f"Unknown hyperparameters: {', '.join(unknown)}.")
    return {
        name: _within(known[name], value) if known[name].metadata else check_other(name, value)
        for name, value in overrides.items()
    }


def _within(spec: Any, value: Any) -> Any:
    kinds = (int,) if spec.type is int else (int, float)
    low, high = spec.metadata["low"], spec.metadata["high"]
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise Untrainable(f"{spec.name} must be {spec.type.__name__} from {low} to {high}, got {value!r}.")
    return spec.type(value)
