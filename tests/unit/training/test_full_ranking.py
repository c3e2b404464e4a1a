"""The full ranking against a plain loop, with masks and in chunks, and against the candidate protocol."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from lsec.core.metrics import CandidateLists, ranked_positives
from workers.training.data import Pairs, distinct_pairs, no_pairs
from workers.training.full_ranking import full_ranking, full_ranking_metrics
from workers.training.ranking import SCORES_PER_CHUNK, Scorer

NUM_USERS, NUM_PRODUCTS = 30, 17


def scorer(num_users: int = NUM_USERS, num_products: int = NUM_PRODUCTS) -> Scorer:
    generator = torch.Generator().manual_seed(0)
    sizes = (num_users, 4), (num_products, 4), (num_products,)
    users, products, bias = (torch.randn(size, generator=generator) for size in sizes)
    return Scorer(users, products, bias, 0.5)


def random_pairs(seed: int, num: int) -> set[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, NUM_USERS, num).tolist(), rng.integers(0, NUM_PRODUCTS, num).tolist()
    return set(zip(*ends, strict=True))


def as_pairs(pairs: set[tuple[int, int]]) -> Pairs:
    return distinct_pairs(*np.array(sorted(pairs)).T)


def ranked(
    held_out: set[tuple[int, int]], masked: set[tuple[int, int]]
) -> Iterator[tuple[set[int], list[int]]]:
    """Each user's held-out products, and all products that are not masked, best first."""
    s = scorer()
    for user in sorted({user for user, _ in held_out}):
        scores = s.all_products(torch.tensor([user]))[0].tolist()
        allowed = [p for p in range(NUM_PRODUCTS) if (user, p) not in masked]
        yield {p for u, p in held_out if u == user}, sorted(allowed, key=lambda p: -scores[p])


@pytest.mark.parametrize("k", [1, 4, 17, 25])
def test_the_figures_equal_a_plain_loop(k: int) -> None:
    masked = random_pairs(1, 100)
    held_out = random_pairs(2, 80) - masked
    recalls, gains = [], []
    for relevant, order in ranked(held_out, masked):
        recalls.append(len(relevant & set(order[:k])) / len(relevant))
        gain = sum(1 / np.log2(place + 2) for place, product in enumerate(order[:k]) if product in relevant)
        gains.append(gain / sum(1 / np.log2(place + 2) for place in range(min(k, len(relevant)))))
    found = full_ranking(scorer(), as_pairs(held_out), as_pairs(masked), k=k)
    figures = found.figures(cutoffs=(k,))
    assert figures[f"recall@{k}"] == pytest.approx(recalls)
    assert figures[f"ndcg@{k}"] == pytest.approx(gains)
    means = full_ranking_metrics(scorer(), as_pairs(held_out), as_pairs(masked), k=k)
    assert means == pytest.approx({f"recall@{k}": np.mean(recalls), f"ndcg@{k}": np.mean(gains)})


def test_recall_of_some_products_counts_them_alone() -> None:
    masked = random_pairs(1, 100)
    held_out = random_pairs(2, 80) - masked
    is_counted = np.arange(NUM_PRODUCTS) % 3 == 0
    found = full_ranking(scorer(), as_pairs(held_out), as_pairs(masked), k=6).recall(is_counted, k=4)
    expected = []
    for relevant, order in ranked(held_out, masked):
        counted = {p for p in relevant if is_counted[p]}
        expected.append(len(counted & set(order[:4])) / len(counted) if counted else np.nan)
    assert np.isnan(expected).any()
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_short_cutoff_of_a_long_list_equals_a_short_list() -> None:
    held_out = as_pairs(random_pairs(2, 80))
    long, short = (full_ranking(scorer(), held_out, no_pairs(), k=k) for k in (10, 3))
    for name, values in short.figures(cutoffs=(3,)).items():
        assert np.array_equal(long.figures(cutoffs=(3, 10))[name], values)


def test_it_equals_the_candidate_protocol_with_all_products_listed() -> None:
    held_out = random_pairs(2, 80)
    users = np.unique([user for user, _ in held_out])
    products = np.tile(np.arange(NUM_PRODUCTS), (len(users), 1))
    is_positive = np.array([[(user, p) in held_out for p in range(NUM_PRODUCTS)] for user in users.tolist()])
    lists = CandidateLists(users, products, is_positive)
    candidates = ranked_positives(lists, scorer().candidates(lists)).figures(cutoffs=(5,))
    found = full_ranking(scorer(), as_pairs(held_out), no_pairs(), k=5).figures(cutoffs=(5,))
    for name, values in found.items():
        assert candidates[name] == pytest.approx(values)


def test_chunks_give_what_single_users_give() -> None:
    num_users, num_products = 700, 13_000
    assert num_users * num_products > SCORES_PER_CHUNK
    rng = np.random.default_rng(0)
    held_out = distinct_pairs(
        np.repeat(np.arange(num_users), 3), rng.integers(0, num_products, 3 * num_users)
    )
    whole = full_ranking(scorer(num_users, num_products), held_out, no_pairs(), k=5)
    for user in (0, 350, 699):
        alone = held_out[held_out.sources == user]
        single = full_ranking(scorer(num_users, num_products), alone, no_pairs(), k=5)
        assert np.array_equal(whole.top[user], single.top[0])


def test_nothing_held_out_gives_no_figures() -> None:
    assert full_ranking_metrics(scorer(), no_pairs(), no_pairs()) == {}
