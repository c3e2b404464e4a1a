"""The hyperparameters of each model by its name; nothing here loads torch."""

from collections.abc import Mapping
from typing import Any

from lsec.core.errors import Untrainable
from lsec.core.jobs import DEFAULT_MODEL, MODEL_NAMES
from workers.training.hyperparameters import Hyperparameters
from workers.training.paper.preset import PaperHyperparameters

AnyHyperparameters = Hyperparameters | PaperHyperparameters


def hyperparameters_of(model: str, overrides: Mapping[str, Any]) -> AnyHyperparameters:
    """The model's preset with these overrides; Untrainable names what is unknown or out of bounds."""
    if model not in MODEL_NAMES:
        raise Untrainable(f"There is no model {model!r}, only {', '.join(MODEL_NAMES)}.")
    if model == DEFAULT_MODEL:
        return Hyperparameters.from_mapping(overrides)
    hyperparameters = PaperHyperparameters.from_mapping(overrides)
    if model == "ncf" and hyperparameters.predictor != "mlp":
        raise Untrainable("ncf is a predictor itself: it has no other.", remedy="Leave predictor out.")
    return hyperparameters
