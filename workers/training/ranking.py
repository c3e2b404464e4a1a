"""Scores, exact top-k lists and full-ranking metrics, in chunks of users."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lsec.core.metrics import CandidateLists
from workers.training.data import Pairs

SCORES_PER_CHUNK = 2**23
LISTS_PER_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Scorer:
    """s(u, i) = users[u]·products[i]/temperature + bias[i] of unit vectors users[U, d] and products[P, d]."""

    users: Tensor
    products: Tensor
    bias: Tensor
    temperature: float

    def all_products(self, users: Tensor) -> Tensor:
        """Scores [n, P] of these user rows [n]."""
        return torch.addmm(self.bias, self.users[users], self.products.T, alpha=1 / self.temperature)

    def candidates(self, lists: CandidateLists) -> NDArray[np.float32]:
        """Scores [L, C] of the lists' candidates; pads get any number."""
        device = self.users.device
        chunks = []
        for start in range(0, len(lists), LISTS_PER_CHUNK):
            rows = slice(start, start + LISTS_PER_CHUNK)
            users = self.users[torch.from_numpy(lists.users[rows]).to(device)]
            products = torch.from_numpy(lists.products[rows].clip(min=0)).to(device)
            cosines = torch.bmm(self.products[products], users[:, :, None])[:, :, 0]
            chunks.append((cosines / self.temperature + self.bias[products]).cpu())
        return torch.cat(chunks).numpy() if chunks else np.empty(lists.products.shape, np.float32)


def masked_scores(
    scorer: Scorer, users: NDArray[np.int64], masked: Pairs, *, scores_per_chunk: int = SCORES_PER_CHUNK
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Chunks of the user rows with their scores [n, P], −inf at the masked (user, product) pairs."""
    device = scorer.users.device
    indptr = masked.indptr(len(scorer.users))
    chunk_users = max(1, scores_per_chunk // len(scorer.products))
    for start in range(0, len(users), chunk_users):
        chunk = users[start : start + chunk_users]
        scores = scorer.all_products(torch.from_numpy(chunk).to(device))
        lengths = indptr[chunk + 1] - indptr[chunk]
        row = np.repeat(np.arange(len(chunk)), lengths)
        ends = np.cumsum(lengths)
        position = np.arange(len(row)) + np.repeat(indptr[chunk] - (ends - lengths), lengths)
        index = torch.from_numpy(row).to(device), torch.from_numpy(masked.targets[position]).to(device)
        scores[index] = -torch.inf
        yield chunk, scores


def top_products(
    scorer: Scorer, users: NDArray[np.int64], masked: Pairs, *, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k best product rows [n, k] and their scores [n, k] for each user row, best first.

    A masked pair never appears; where fewer than k products are left, −1 and −inf fill up.
    """
    products = np.full((len(users), k), -1, np.int32)
    scores = np.full((len(users), k), -np.inf, np.float32)
    start = 0
    for chunk, chunk_scores in masked_scores(scorer, users, masked):
        best = chunk_scores.topk(min(k, chunk_scores.shape[1]), dim=1)
        values, rows = best.values.cpu().numpy(), best.indices.cpu().numpy()
        filled = slice(start, start + len(chunk)), slice(0, values.shape[1])
        products[filled] = np.where(np.isneginf(values), -1, rows)
        scores[filled] = values
        start += len(chunk)
    return products, scores


def full_ranking_metrics(scorer: Scorer, held_out: Pairs, masked: Pairs, *, k: int = 20) -> dict[str, float]:
    """`recall@k` and `ndcg@k` of the held-out pairs among all products but the masked, means over users.

    Recall is hits / number of held-out products; NDCG's ideal has min(k, that number) hits on top.
    """
    if not len(held_out):
        return {}
    users, lengths = np.unique(held_out.sources, return_counts=True)
    best, _ = top_products(scorer, users, masked, k=k)
    return ranking_metrics(best, users, lengths, held_out, num_products=len(scorer.products))


def ranking_metrics(
    best: NDArray[np.integer],
    users: NDArray[np.int64],
    num_held_out: NDArray[np.integer],
    held_out: Pairs,
    *,
    num_products: int,
) -> dict[str, float]:
    """`recall@k` and `ndcg@k` of best[n, k], the ranked product rows of users[n] (−1 pads)."""
    k = best.shape[1]
    relevant = held_out.sources * num_products + held_out.targets
    hits = np.isin(users[:, None] * num_products + best, relevant) & (best >= 0)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(num_held_out, k) - 1]
    return {
        f"recall@{k}": float(np.mean(hits.sum(axis=1) / num_held_out)),
        f"ndcg@{k}": float(np.mean((hits * discounts).sum(axis=1) / ideal)),
    }
