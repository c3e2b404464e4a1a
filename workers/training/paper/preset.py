"""The paper's hyperparameters: checked once, saved in the artifact."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from lsec.core.errors import Untrainable
from workers.training.bounds import bounded, checked

Predictor = Literal["mlp", "inner_product"]
MAX_DIMENSIONS = 4096


@dataclass(frozen=True, slots=True)
class PaperHyperparameters:
    """The defaults of the authors' code, but for the learning rate: its .0005 does not get there.

    `layer_dimensions` are those of the embeddings and of each layer's output, the latter for each of
    `attention_heads` in GAT; LightGCN keeps the first. `ncf_dimensions` is NCF's own. The `predictor` scores
    two vectors: by a perceptron with `predictor_dimensions` hidden units, or by their inner product, which
    can be published. A step is one epoch, in batches of `batch_size` edges, each edge against `num_negatives`
    others.
    """

    layer_dimensions: tuple[int, ...] = (200, 128, 64)
    attention_heads: int = bounded(8, 1, 64)
    ncf_dimensions: int = bounded(200, 4, MAX_DIMENSIONS)
    predictor: Predictor = "mlp"
    predictor_dimensions: int = bounded(128, 1, MAX_DIMENSIONS)
    num_negatives: int = bounded(4, 1, 1000)
    batch_size: int = bounded(4096, 1, 10**7)
    follow_weight: float = bounded(1.0, 0, 100)
    learning_rate: float = bounded(0.005, 1e-8, 1)
    num_steps: int = bounded(1000, 1, 10**6)
    validate_every: int = bounded(5, 1, 10**6)
    patience: int = bounded(20, 1, 10**6)
    validation_share: float = bounded(0.1, 0, 0.5)
    num_candidates: int = bounded(500, 2, 10**5)
    max_validation_users: int = bounded(2000, 1, 10**6)

    @classmethod
    def from_mapping(cls, overrides: Mapping[str, Any]) -> Self:
        """The preset with these overrides; Untrainable names what is unknown or out of bounds."""
        values = checked(cls, overrides, check_other=_checked)
        if values.get("ncf_dimensions", 0) % 4:
            raise Untrainable(f"ncf_dimensions must be a multiple of 4, got {values['ncf_dimensions']}.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"layer_dimensions": list(self.layer_dimensions)}


def _checked(name: str, value: Any) -> Any:
    if name == "layer_dimensions":
        return _checked_layer_dimensions(value)
    if value not in get_args(Predictor):
        raise Untrainable(f"{name} must be one of {', '.join(get_args(Predictor))}, got {value!r}.")
    return value


def _checked_layer_dimensions(value: Any) -> tuple[int, ...]:
    is_list = isinstance(value, list | tuple) and 2 <= len(value) <= 9
    if not is_list or not all(type(d) is int and 1 <= d <= MAX_DIMENSIONS for d in value):
        raise Untrainable(
            f"layer_dimensions must be 2 to 9 whole numbers from 1 to {MAX_DIMENSIONS}, got {value!r}."
        )
    return tuple(value)
