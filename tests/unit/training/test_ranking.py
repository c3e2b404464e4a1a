"""Exact top-k lists against brute force."""

import numpy as np
import pytest
import torch

from lsec.core.metrics import candidate_lists
from tests.unit.training.markets import interactions
from workers.training import ranking
from workers.training.ranking import Scorer, top_products

NUM_USERS, NUM_PRODUCTS = 30, 17


def scorer() -> Scorer:
    generator = torch.Generator().manual_seed(0)
    vectors = (
        torch.randn(NUM_USERS, 4, generator=generator),
        torch.randn(NUM_PRODUCTS, 4, generator=generator),
    )
    return Scorer(*vectors, torch.randn(NUM_PRODUCTS, generator=generator), 0.5)


def brute_force(user: int, masked: set[tuple[int, int]]) -> list[int]:
    s = scorer()
    scores = (s.users[user] @ s.products.T / s.temperature + s.bias).tolist()
    allowed = [p for p in range(NUM_PRODUCTS) if (user, p) not in masked]
    return sorted(allowed, key=lambda p: -scores[p])


def random_pairs(seed: int, num: int) -> set[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    return set(
        zip(
            rng.integers(0, NUM_USERS, num).tolist(), rng.integers(0, NUM_PRODUCTS, num).tolist(), strict=True
        )
    )


@pytest.mark.parametrize("k", [1, 5, NUM_PRODUCTS, 40])
def test_the_slates_equal_brute_force_without_what_was_bought(k: int) -> None:
    masked = random_pairs(1, 150)
    pairs = interactions(sorted(masked), num_users=NUM_USERS, num_products=NUM_PRODUCTS).buys
    users = np.array([4, 0, 29, 7])
    products, scores = top_products(scorer(), users, pairs, k=k)
    for row, user in enumerate(users.tolist()):
        expected = brute_force(user, masked)[:k]
        assert products[row].tolist() == expected + [-1] * (k - len(expected))
        assert np.isneginf(scores[row, len(expected) :]).all()
        assert np.isfinite(scores[row, : len(expected)]).all()


def test_many_small_chunks_give_the_same_as_one() -> None:
    pairs = interactions(sorted(random_pairs(1, 150)), num_users=NUM_USERS, num_products=NUM_PRODUCTS).buys
    users = np.arange(NUM_USERS)
    whole = top_products(scorer(), users, pairs, k=5)
    parts = [top_products(scorer(), users[i : i + 1], pairs, k=5) for i in range(NUM_USERS)]
    assert np.array_equal(whole[0], np.concatenate([products for products, _ in parts]))
    chunks = list(ranking.masked_scores(scorer(), users, pairs, scores_per_chunk=3 * NUM_PRODUCTS))
    assert [len(chunk) for chunk, _ in chunks] == [3] * 10


def test_many_short_lists_have_the_scores_that_all_products_have() -> None:
    num_users, num_products, width = ranking.VECTORS_PER_CHUNK // 3 + 100, 200, 3
    assert num_products > ranking.DENSE_FACTOR * width, "the listed vectors are gathered"
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    users, products = (torch.randn(num, 4, generator=generator) for num in (num_users, num_products))
    short = Scorer(users, products, torch.randn(num_products, generator=generator), 0.5)
    listed = rng.integers(0, num_products - width, num_users)[:, None] + np.arange(width)
    rows = np.repeat(np.arange(num_users), width)
    lists = candidate_lists(rows, listed.ravel(), np.zeros(listed.size, np.bool_))
    expected = short.all_products(torch.arange(num_users)).gather(1, torch.from_numpy(lists.products))
    np.testing.assert_allclose(short.candidates(lists), expected.numpy(), rtol=1e-5, atol=1e-5)
