"""The sampled objective: one edge of every source, uniform negatives, and its loss."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from workers.training.paper.objective import binary_cross_entropy, edge_of_each_source, epoch_batches


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(0, 2**31))
def test_an_epoch_has_one_edge_of_every_source_that_has_any(rows: list[int], seed: int) -> None:
    sources = torch.tensor(sorted(rows), dtype=torch.int64)
    edges = edge_of_each_source(sources, 10, generator(seed))
    assert sources[edges].tolist() == sorted(set(rows))


def test_every_edge_of_a_source_is_as_likely() -> None:
    sources = torch.tensor([0, 0, 0, 0, 2])
    drawn = np.concatenate([edge_of_each_source(sources, 3, generator(seed)) for seed in range(4000)])
    counts = np.bincount(drawn, minlength=5)
    assert counts[4] == 4000
    assert np.abs(counts[:4] - 1000).max() < 150


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_batches_hold_each_edge_of_the_epoch_once_with_its_negatives(batch_size: int) -> None:
    sources = [torch.arange(6), torch.tensor([0, 1, 1])]
    batches = list(
        epoch_batches(sources, [6, 2], [5, 3], batch_size=batch_size, num_negatives=4, generator=generator())
    )
    assert all(sum(len(sample.edges) for sample in batch) <= batch_size for batch in batches)
    for relation, (num_sources, num_targets) in enumerate(((6, 5), (2, 3))):
        edges = torch.cat([batch[relation].edges for batch in batches])
        negatives = torch.cat([batch[relation].negatives for batch in batches])
        assert sorted(sources[relation][edges].tolist()) == list(range(num_sources))
        assert negatives.shape == (num_sources, 4)
        assert 0 <= negatives.min() <= negatives.max() < num_targets


def test_the_loss_is_the_mean_cross_entropy_over_all_pairs() -> None:
    positive, negative = torch.randn(6, generator=generator()), torch.randn(6, 4, generator=generator(1))
    scores = torch.cat([positive, negative.flatten()])
    labels = torch.cat([torch.ones(6), torch.zeros(24)])
    expected = functional.binary_cross_entropy_with_logits(scores, labels)
    torch.testing.assert_close(binary_cross_entropy(positive, negative), expected)
