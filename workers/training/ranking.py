"""Scores, and exact top-k lists in chunks of users."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lsec.core.artifact import Scoring
from lsec.core.metrics import CandidateLists
from workers.training.data import Pairs
from workers.training.top_k import top_k

SCORES_PER_CHUNK = 2**23
LISTS_PER_CHUNK = 128
DENSE_FACTOR = 40
"""Up to so many products for each that is listed, scoring them all is faster than gathering the listed."""
VECTORS_PER_CHUNK = 2**13
"""So many listed products' vectors are gathered at once: 6 MiB of 192 dimensions."""


class Ranker(Protocol):
    """Scores of pairs of users and products."""

    @property
    def scoring(self) -> Scoring:
        """How it scores."""

    @property
    def device(self) -> torch.device:
        """Where scores are made."""

    @property
    def num_users(self) -> int:
        """U: user rows go from 0 to U - 1."""

    @property
    def num_products(self) -> int:
        """P: product rows go from 0 to P - 1."""

    def all_products(self, users: Tensor) -> Tensor:
        """Scores [n, P] of these user rows [n]."""

    def candidates(self, lists: CandidateLists) -> NDArray[np.float32]:
        """Scores [L, C] of the lists' candidates; pads get any number."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """s(u, i) = users[u]·products[i]/temperature + bias[i] of users[U, d] and products[P, d].

    The vectors are unit vectors unless `scoring` is inner_product. Only such a ranker can be published.
    """

    users: Tensor
    products: Tensor
    bias: Tensor
    temperature: float
    scoring: Scoring = "cosine"

    @property
    def device(self) -> torch.device:
        return self.users.device

    @property
    def num_users(self) -> int:
        return len(self.users)

    @property
    def num_products(self) -> int:
        return len(self.products)

    def all_products(self, users: Tensor) -> Tensor:
        """Scores [n, P] of these user rows [n]."""
        return torch.addmm(self.bias, self.users[users], self.products.T, alpha=1 / self.temperature)

    def candidates(self, lists: CandidateLists) -> NDArray[np.float32]:
        """Scores [L, C] of the lists' candidates; pads get any number."""
        scores = np.empty(lists.products.shape, np.float32)
        width = max(lists.products.shape[1], 1)
        is_dense = self.num_products <= DENSE_FACTOR * width
        chunk_lists = LISTS_PER_CHUNK if is_dense else max(1, VECTORS_PER_CHUNK // width)
        for start in range(0, len(lists), chunk_lists):
            rows = slice(start, start + chunk_lists)
            users = torch.from_numpy(lists.users[rows]).to(self.device)
            products = torch.from_numpy(lists.products[rows].clip(min=0)).to(self.device)
            if is_dense:
                chunk = self.all_products(users).gather(1, products)
            else:
                cosines = torch.bmm(self.products[products], self.users[users][:, :, None])[:, :, 0]
                chunk = cosines / self.temperature + self.bias[products]
            scores[rows] = chunk.cpu().numpy()
        return scores


def masked_scores(
    ranker: Ranker, users: NDArray[np.int64], masked: Pairs, *, scores_per_chunk: int = SCORES_PER_CHUNK
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Chunks of the user rows with their scores [n, P], −inf at the masked (user, product) pairs."""
    device = ranker.device
    indptr = masked.indptr(ranker.num_users)
    chunk_users = max(1, scores_per_chunk // ranker.num_products)
    for start in range(0, len(users), chunk_users):
        chunk = users[start : start + chunk_users]
        scores = ranker.all_products(torch.from_numpy(chunk).to(device))
        lengths = indptr[chunk + 1] - indptr[chunk]
        row = np.repeat(np.arange(len(chunk)), lengths)
        ends = np.cumsum(lengths)
        position = np.arange(len(row)) + np.repeat(indptr[chunk] - (ends - lengths), lengths)
        index = torch.from_numpy(row).to(device), torch.from_numpy(masked.targets[position]).to(device)
        scores[index] = -torch.inf
        yield chunk, scores


def top_products(
    ranker: Ranker, users: NDArray[np.int64], masked: Pairs, *, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k best product rows [n, k] and their scores [n, k] for each user row, best first.

    A masked pair never appears; where fewer than k products are left, −1 and −inf fill up. Equal scores are
    in the order of their rows.
    """
    products = np.full((len(users), k), -1, np.int32)
    scores = np.full((len(users), k), -np.inf, np.float32)
    start = 0
    for chunk, chunk_scores in masked_scores(ranker, users, masked):
        best, best_rows = top_k(chunk_scores, min(k, chunk_scores.shape[1]))
        values, rows = best.cpu().numpy(), best_rows.cpu().numpy()
        filled = slice(start, start + len(chunk)), slice(0, values.shape[1])
        products[filled] = np.where(np.isneginf(values), -1, rows)
        scores[filled] = values
        start += len(chunk)
    return products, scores
