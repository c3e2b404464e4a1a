"""Predictors of a pair's score from two vectors, and the ranker that makes each side's part of it once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lsec.core.artifact import Scoring
from lsec.core.metrics import CandidateLists
from workers.training.ranking import LISTS_PER_CHUNK

NUMBERS_PER_CHUNK = 2**18
"""Hidden units that are made at once: a megabyte stays in a CPU's cache."""
USERS_PER_CHUNK = 8


class InnerProduct(nn.Module):
    """s(u, i) = u·i."""

    def parts(self, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors themselves."""
        return sources, targets

    def forward(self, sources: Tensor, targets: Tensor) -> Tensor:
        """Scores [...] of parts [..., d] that are broadcast against each other."""
        return (sources * targets).sum(dim=-1)


class Mlp(nn.Module):
    """s(u, i) = w·relu(W [u ‖ i] + b) + c, where W [u ‖ i] = W_u u + W_i i is made once for each side."""

    def __init__(self, source_dimensions: int, target_dimensions: int, hidden: int) -> None:
        super().__init__()
        self._split = [source_dimensions, target_dimensions]
        self.hidden = nn.Linear(sum(self._split), hidden)
        self.output = nn.Linear(hidden, 1)

    def parts(self, sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """W_u u [S, hidden] of sources [S, d] and W_i i + b [T, hidden] of targets [T, e]."""
        of_sources, of_targets = torch.split(self.hidden.weight, self._split, dim=1)
        return sources @ of_sources.T, nn.functional.linear(targets, of_targets, self.hidden.bias)

    def forward(self, sources: Tensor, targets: Tensor) -> Tensor:
        """Scores [...] of parts [..., hidden] that are broadcast against each other."""
        scores: Tensor = self.output((sources + targets).relu_())
        return scores[..., 0]


@dataclass(frozen=True, slots=True)
class PairRanker:
    """Scores by a network of pairs, in chunks, from parts of the users [U, h] and of the products [P, h].

    `score_pairs` takes parts that are broadcast against each other.
    """

    users: Tensor
    products: Tensor
    score_pairs: Callable[[Tensor, Tensor], Tensor]
    numbers_per_chunk: int = NUMBERS_PER_CHUNK

    @property
    def scoring(self) -> Scoring:
        return "mlp"

    @property
    def device(self) -> torch.device:
        return self.users.device

    @property
    def num_users(self) -> int:
        return len(self.users)

    @property
    def num_products(self) -> int:
        return len(self.products)

    @torch.no_grad()
    def all_products(self, users: Tensor) -> Tensor:
        """Scores [n, P] of these user rows [n]."""
        scores = self.users.new_empty(len(users), self.num_products)
        columns = max(1, self._pairs_per_chunk // USERS_PER_CHUNK)
        for left in range(0, len(users), USERS_PER_CHUNK):
            rows = slice(left, left + USERS_PER_CHUNK)
            parts = self.users[users[rows], None]
            for start in range(0, self.num_products, columns):
                chunk = slice(start, start + columns)
                scores[rows, chunk] = self.score_pairs(parts, self.products[None, chunk])
        return scores

    @torch.no_grad()
    def candidates(self, lists: CandidateLists) -> NDArray[np.float32]:
        """Scores [L, C] of the lists' candidates; pads get any number."""
        scores = np.empty(lists.products.shape, np.float32)
        num_lists = min(LISTS_PER_CHUNK, max(1, self._pairs_per_chunk // max(1, lists.products.shape[1])))
        for start in range(0, len(lists), num_lists):
            rows = slice(start, start + num_lists)
            users = self.users[torch.from_numpy(lists.users[rows]).to(self.device), None]
            products = self.products[torch.from_numpy(lists.products[rows].clip(min=0)).to(self.device)]
            scores[rows] = self.score_pairs(users, products).cpu().numpy()
        return scores

    @property
    def _pairs_per_chunk(self) -> int:
        return max(1, self.numbers_per_chunk // self.products.shape[1])
