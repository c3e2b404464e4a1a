"""The paper's sampled objective: which edges an epoch scores, against which others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Sample:
    """Places among the pairs of one relation [B], and for each the rows of negative targets [B, K]."""

    edges: Tensor
    negatives: Tensor


def edge_of_each_source(sources: Tensor, num_sources: int, generator: torch.Generator) -> Tensor:
    """The place of one random edge of every source that has any; sources [E] are sorted."""
    degrees = torch.bincount(sources, minlength=num_sources)
    starts = degrees.cumsum(0) - degrees
    drawn = (torch.rand(num_sources, generator=generator) * degrees).long().minimum(degrees - 1)
    return (starts + drawn)[degrees > 0]


def epoch_batches(
    sources: Sequence[Tensor],
    num_sources: Sequence[int],
    num_targets: Sequence[int],
    *,
    batch_size: int,
    num_negatives: int,
    generator: torch.Generator,
) -> Iterator[list[Sample]]:
    """Batches of an epoch over several relations, for each relation a sample, which may be empty.

    The epoch is one random edge of every source and relation, all shuffled together. The negatives are
    uniform: among them may be a target that the source has an edge to, as in the authors' code.
    """
    drawn = [
        edge_of_each_source(rows, num, generator) for rows, num in zip(sources, num_sources, strict=True)
    ]
    edges = torch.cat(drawn)
    relations = torch.repeat_interleave(torch.tensor([len(places) for places in drawn]))
    shuffled = torch.randperm(len(edges), generator=generator)
    for batch in torch.split(shuffled, batch_size):
        yield [
            _sample(edges[batch[relations[batch] == number]], num, num_negatives, generator)
            for number, num in enumerate(num_targets)
        ]


def _sample(edges: Tensor, num_targets: int, num_negatives: int, generator: torch.Generator) -> Sample:
    shape = (len(edges), num_negatives)
    return Sample(edges, torch.randint(max(num_targets, 1), shape, generator=generator))


def binary_cross_entropy(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean over all pairs of the cross-entropy of positive[B] scores with 1 and negative[B, K] with 0."""
    total = functional.softplus(-positive).sum() + functional.softplus(negative).sum()
    return total / (positive.numel() + negative.numel())
