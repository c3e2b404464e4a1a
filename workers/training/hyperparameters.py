"""The hyperparameters of a training: checked once, saved in the artifact."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, get_args

from lsec.core.errors import Untrainable
from workers.training.bounds import bounded, checked
from workers.training.validation import SplitKind


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """One setting for all data, found on validation parts alone; `docs/model.md` says how.

    `layer_weights[l]` is the weight of the embeddings after l propagations, each of unit length, so their
    number sets the depth. A purchase weighs 1 in the graph, a view without a purchase `view_edge`, and an
    edge is divided by its ends' sums of weights, each to the `degree_exponent`. `follow_weight`,
    `view_weight` and `sold_weight` (what the streamers sell whom a user follows) are those of the auxiliary
    losses. A product's bias begins with the logarithm of its buyers, and one more, times
    `popularity_start`. With each step the averaged parameters, which the vectors are of, keep
    `average_decay` of themselves.
    `validation_share` of the purchases is held out, at `random` or the latest by `time`; patience counts
    validations.
    """

    dimensions: int = bounded(192, 1, 4096)
    layer_weights: tuple[float, ...] = (1 / 7, 2 / 7, 2 / 7, 2 / 7)
    temperature: float = bounded(0.2, 0.03, 10)
    initial_std: float = bounded(0.1, 1e-6, 10)
    view_edge: float = bounded(0.3, 0, 1)
    degree_exponent: float = bounded(0.35, 0, 1)
    follow_weight: float = bounded(0.2, 0, 100)
    view_weight: float = bounded(0.3, 0, 100)
    sold_weight: float = bounded(0.05, 0, 100)
    num_softmax_users: int = bounded(2048, 1, 10**6)
    num_softmax_products: int = bounded(4096, 2, 10**6)
    learning_rate: float = bounded(0.02, 1e-8, 1)
    bias_learning_rate: float = bounded(0.012, 0, 1)
    popularity_start: float = bounded(0.33, 0, 2)
    average_decay: float = bounded(0.95, 0, 0.999)
    warmup_steps: int = bounded(5, 0, 10**6)
    num_steps: int = bounded(150, 1, 10**6)
    validate_every: int = bounded(10, 1, 10**6)
    patience: int = bounded(3, 1, 10**6)
    validation_split: SplitKind = "random"
    validation_share: float = bounded(0.1, 0, 0.5)
    num_candidates: int = bounded(500, 2, 10**5)
    max_validation_users: int = bounded(2000, 1, 10**6)

    @classmethod
    def from_mapping(cls, overrides: Mapping[str, Any]) -> Self:
        """The defaults with these overrides; Untrainable names what is unknown or out of bounds."""
        return cls(**checked(cls, overrides, check_other=_checked))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"layer_weights": list(self.layer_weights)}


def _checked(name: str, value: Any) -> Any:
    if name == "layer_weights":
        return _checked_layer_weights(value)
    if value not in get_args(SplitKind):
        raise Untrainable(f"{name} must be one of {', '.join(get_args(SplitKind))}, got {value!r}.")
    return value


def _checked_layer_weights(value: Any) -> tuple[float, ...]:
    is_list = isinstance(value, list | tuple) and 1 <= len(value) <= 9
    if not is_list or not all(isinstance(w, int | float) and 0 <= w <= 10 for w in value) or not sum(value):
        raise Untrainable(f"layer_weights must be 1 to 9 numbers from 0 to 10, not all 0, got {value!r}.")
    return tuple(float(w) for w in value)
