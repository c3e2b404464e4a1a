"""What a selection run measures on its validation split, beside popularity on the same lists."""

from typing import Any

import numpy as np
import torch

from lsec.core.metrics import candidate_metrics
from workers.training.data import Interactions
from workers.training.ranking import Scorer, full_ranking_metrics
from workers.training.validation import Validation


def popularity_scorer(data: Interactions) -> Scorer:
    """Scores every product by its place in the popular order, the same for all users."""
    bias = np.empty(data.num_products, np.float32)
    bias[data.popular_order()] = -np.arange(data.num_products)
    no_vectors = torch.zeros(data.num_users, 1), torch.zeros(data.num_products, 1)
    return Scorer(*no_vectors, torch.from_numpy(bias), temperature=1.0)


def validation_metrics(scorer: Scorer, validation: Validation) -> dict[str, dict[str, float]]:
    """Figures of both protocols over the users of the validation lists: `candidates` and `full_ranking`."""
    held_out = validation.held_out
    listed = held_out[np.isin(held_out.sources, validation.lists.users)]
    return {
        "candidates": candidate_metrics(validation.lists, scorer.candidates(validation.lists)),
        "full_ranking": full_ranking_metrics(scorer, listed, validation.train.buys),
    }


def selection_report(scorer: Scorer, validation: Validation) -> dict[str, Any]:
    """The model's figures, popularity's, and over how many users."""
    return validation_metrics(scorer, validation) | {
        "popularity": validation_metrics(popularity_scorer(validation.train), validation),
        "num_validation_users": len(validation.lists),
    }
