"""The hyperparameters of a training: checked once, saved in the artifact."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from lsec.core.errors import Untrainable


def _bounded(default: float, low: float, high: float) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """One setting for all data, found on the validation parts of two real data sets.

    `layer_weights[l]` is the weight of the embeddings after l propagations, so their number sets the depth.
    A purchase's own share of the split is `validation_share`; patience counts validations.
    """

    dimensions: int = _bounded(128, 1, 4096)
    layer_weights: tuple[float, ...] = (0.5 / 3, 1 / 3, 1 / 3)
    temperature: float = _bounded(0.2, 0.02, 10)
    initial_std: float = _bounded(0.1, 1e-6, 10)
    follow_weight: float = _bounded(0.2, 0, 100)
    num_softmax_users: int = _bounded(2048, 1, 10**6)
    num_softmax_products: int = _bounded(4096, 2, 10**6)
    learning_rate: float = _bounded(0.02, 1e-8, 1)
    bias_learning_rate: float = _bounded(0.02, 0, 1)
    warmup_steps: int = _bounded(5, 0, 10**6)
    num_steps: int = _bounded(150, 1, 10**6)
    validate_every: int = _bounded(10, 1, 10**6)
    patience: int = _bounded(3, 1, 10**6)
    validation_share: float = _bounded(0.1, 0, 0.5)
    num_candidates: int = _bounded(500, 2, 10**5)
    max_validation_users: int = _bounded(2000, 1, 10**6)

    @classmethod
    def from_mapping(cls, overrides: Mapping[str, Any]) -> Self:
        """The defaults with these overrides; Untrainable names what is unknown or out of bounds."""
        known = {f.name: f for f in fields(cls)}
        if unknown := sorted(set(overrides) - set(known)):
            raise Untrainable(f"Unknown hyperparameters: {', '.join(unknown)}.")
        values = {name: _checked(known[name], value) for name, value in overrides.items()}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"layer_weights": list(self.layer_weights)}


def _checked(spec: Any, value: Any) -> Any:
    if spec.name == "layer_weights":
        return _checked_layer_weights(value)
    kinds = (int,) if spec.type is int else (int, float)
    low, high = spec.metadata["low"], spec.metadata["high"]
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise Untrainable(f"{spec.name} must be {spec.type.__name__} from {low} to {high}, got {value!r}.")
    return spec.type(value)


def _checked_layer_weights(value: Any) -> tuple[float, ...]:
    is_list = isinstance(value, list | tuple) and 1 <= len(value) <= 9
    if not is_list or not all(isinstance(w, int | float) and 0 <= w <= 10 for w in value) or not sum(value):
        raise Untrainable(f"layer_weights must be 1 to 9 numbers from 0 to 10, not all 0, got {value!r}.")
    return tuple(float(w) for w in value)
