"""Scores of pairs: the parts made once give what the whole network gives, in both forms of ranking."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lsec.core.metrics import CandidateLists, candidate_lists
from workers.training.data import no_pairs
from workers.training.paper.ncf import Ncf
from workers.training.paper.predictor import InnerProduct, Mlp, PairRanker
from workers.training.paper.preset import PaperHyperparameters
from workers.training.ranking import top_products

NUM_USERS, NUM_PRODUCTS = 11, 300


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def lists() -> CandidateLists:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(NUM_USERS), 40)
    products = np.concatenate([rng.choice(NUM_PRODUCTS, 40, replace=False) for _ in range(NUM_USERS)])
    return candidate_lists(users, products, np.arange(len(users)) % 10 == 0)


def ranker_agrees(ranker: PairRanker, expected: Tensor) -> None:
    """Compares both forms of ranking with the scores [U, P]."""
    users = torch.arange(NUM_USERS)
    torch.testing.assert_close(ranker.all_products(users), expected)
    torch.testing.assert_close(ranker.all_products(users[3:4]), expected[3:4])
    found = ranker.candidates(lists())
    torch.testing.assert_close(torch.from_numpy(found), expected[users[:, None], lists().products])


def test_the_perceptron_in_parts_equals_it_on_joined_vectors() -> None:
    mlp = Mlp(6, 5, 7)
    users, products = torch.randn(NUM_USERS, 6), torch.randn(NUM_PRODUCTS, 5)
    joined = torch.cat(
        [users[:, None].expand(-1, NUM_PRODUCTS, -1), products[None].expand(NUM_USERS, -1, -1)], dim=2
    )
    whole = nn.Sequential(mlp.hidden, nn.ReLU(), mlp.output)
    with torch.no_grad():
        ranker_agrees(PairRanker(*mlp.parts(users, products), mlp), whole(joined)[..., 0])


def test_ncf_in_parts_equals_it_on_joined_embeddings() -> None:
    model = Ncf(NUM_USERS, NUM_PRODUCTS, PaperHyperparameters.from_mapping({"ncf_dimensions": 8}))
    users, products = model.users.weight[:, None], model.products.weight[None]
    perceptron = nn.Sequential(model.hidden, nn.ReLU(), model.middle, nn.ReLU(), model.last)
    shape = (NUM_USERS, NUM_PRODUCTS, -1)
    with torch.no_grad():
        deep = perceptron(torch.cat([users[..., 2:].expand(shape), products[..., 2:].expand(shape)], dim=2))
        whole = model.output(torch.cat([users[..., :2] * products[..., :2], deep], dim=2))[..., 0]
        parts = model.parts()["buy"]
    ranker_agrees(PairRanker(*parts, lambda left, right: model.score_pairs("buy", left, right)), whole)


@pytest.mark.parametrize("numbers_per_chunk", [1, 100, 2**20])
def test_chunks_of_any_size_give_the_same_top_products(numbers_per_chunk: int) -> None:
    mlp = Mlp(3, 3, 4)
    users, products = mlp.parts(torch.randn(NUM_USERS, 3), torch.randn(20, 3))
    ranker = PairRanker(users.detach(), products.detach(), mlp, numbers_per_chunk)
    best, scores = top_products(ranker, np.arange(NUM_USERS), no_pairs(), k=5)
    all_scores = ranker.all_products(torch.arange(NUM_USERS)).numpy()
    np.testing.assert_allclose(scores, np.sort(all_scores)[:, :-6:-1], rtol=1e-5)
    np.testing.assert_allclose(scores, np.take_along_axis(all_scores, best.astype(np.int64), 1), rtol=1e-5)


def test_a_ranker_says_that_a_network_scores() -> None:
    score: Callable[[Tensor, Tensor], Tensor] = InnerProduct()
    ranker = PairRanker(torch.randn(NUM_USERS, 2), torch.randn(NUM_PRODUCTS, 2), score)
    assert (ranker.scoring, ranker.num_users, ranker.num_products) == ("mlp", NUM_USERS, NUM_PRODUCTS)
