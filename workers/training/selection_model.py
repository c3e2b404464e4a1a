"""What is kept of the model that was not shown the held-out purchases: all that it scores by."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lsec.core.errors import Untrainable
from lsec.core.metrics import CandidateLists
from workers.training import processes
from workers.training.ranking import Ranker, Scorer

Kept = dict[str, Tensor]
"""By the names of the artifact's arrays, on the CPU; {} for a model that scores by a network."""


def kept_of(ranker: Ranker) -> Kept:
    """The ranker's vectors in half precision, and its bias; of several processes the first keeps them."""
    if not isinstance(ranker, Scorer) or not processes.is_first():
        return {}
    return {
        "gate_user_vectors": torch.from_numpy(in_half_precision(ranker.users)),
        "gate_product_vectors": torch.from_numpy(in_half_precision(ranker.products)),
        "gate_product_bias": ranker.bias.detach().cpu().clone(),
    }


def scores_as_kept(ranker: Ranker, kept: Kept, lists: CandidateLists) -> NDArray[np.float32]:
    """The ranker's scores [L, C] of the lists, in the precision in which the next release finds it."""
    if not isinstance(ranker, Scorer) or not kept:
        return ranker.candidates(lists)
    scorer = scorer_of(
        kept["gate_user_vectors"][torch.from_numpy(lists.users)],
        kept["gate_product_vectors"],
        kept["gate_product_bias"],
        temperature=ranker.temperature,
    )
    return scorer.candidates(replace(lists, users=np.arange(len(lists))))


def scorer_of(users: Tensor, products: Tensor, bias: Tensor, *, temperature: float) -> Scorer:
    """Scores in single precision by vectors in half precision."""
    return Scorer(users.float(), products.float(), bias.float(), temperature)


def arrays_of(kept: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """The artifact's arrays."""
    return {name: tensor.cpu().numpy() for name, tensor in kept.items()}


def in_half_precision(vectors: Tensor) -> NDArray[np.float16]:
    """The vectors as an artifact holds them; Untrainable if a number is too great for that."""
    halves: NDArray[np.float16] = vectors.detach().half().cpu().numpy()
    if not np.isfinite(halves).all():
        raise Untrainable(
            f"A vector has a number beyond {np.finfo(np.float16).max:.0f}, the greatest in half precision.",
            remedy="Lower the learning rate, or raise the weight decay if the model has one.",
        )
    return halves
