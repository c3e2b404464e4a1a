"""The validation split: purchases held out, and candidate lists that hold them."""

from dataclasses import dataclass, replace

import numpy as np

from lsec.core.metrics import CandidateLists, candidate_lists
from workers.training.data import Interactions, Pairs, Rows
from workers.training.hyperparameters import Hyperparameters


@dataclass(frozen=True, slots=True)
class Validation:
    """`train` has the held-out purchases taken out of its buys; the lists are of some of their users."""

    train: Interactions
    held_out: Pairs
    lists: CandidateLists


def validation_split(data: Interactions, hyperparameters: Hyperparameters, *, seed: int) -> Validation:
    """The split and its lists by the hyperparameters; the lists are empty when nothing can be held out."""
    hp = hyperparameters
    train, held_out = hold_out(data, share=hp.validation_share, seed=seed)
    lists = sampled_lists(
        train, held_out, num_candidates=hp.num_candidates, max_users=hp.max_validation_users, seed=seed
    )
    return Validation(train, held_out, lists)


def hold_out(data: Interactions, *, share: float, seed: int) -> tuple[Interactions, Pairs]:
    """What is left, and about this share of each user's purchased products at random, never a user's last.

    The share is rounded at random for each user: those with few purchases take part too, and the expected
    number is exactly the share.
    """
    rng = np.random.default_rng([seed, 1])
    degrees = np.bincount(data.buys.sources, minlength=data.num_users)
    wanted = np.floor(degrees * share + rng.random(data.num_users)).astype(np.int64)
    num_held_out = np.minimum(wanted, np.maximum(degrees - 1, 0))
    shuffled = np.lexsort((rng.random(len(data.buys)), data.buys.sources))
    place = np.empty(len(data.buys), np.int64)
    place[shuffled] = np.arange(len(data.buys)) - data.buys.indptr(data.num_users)[data.buys.sources]
    is_held_out = place < num_held_out[data.buys.sources]
    return replace(data, buys=data.buys[~is_held_out]), data.buys[is_held_out]


def sampled_lists(
    train: Interactions, held_out: Pairs, *, num_candidates: int, max_users: int, seed: int
) -> CandidateLists:
    """The held-out products of at most `max_users` users, each list filled up to `num_candidates`.

    The others are drawn at random from what the user never bought, or are all of it if that is fewer.
    """
    rng = np.random.default_rng([seed, 2])
    users = np.unique(held_out.sources)
    if not len(users):
        return candidate_lists(users, users, np.empty(0, np.bool_))
    if len(users) > max_users:
        users = np.sort(rng.choice(users, max_users, replace=False))
    train_indptr, held_out_indptr = (pairs.indptr(train.num_users) for pairs in (train.buys, held_out))
    is_bought = np.zeros(train.num_products, np.bool_)
    columns: list[Rows] = []
    for user in users:
        positives = held_out.targets[held_out_indptr[user] : held_out_indptr[user + 1]]
        bought = np.concatenate([positives, train.buys.targets[train_indptr[user] : train_indptr[user + 1]]])
        num_negatives = max(num_candidates - len(positives), 1)
        drawn = rng.choice(
            train.num_products, min(num_negatives + len(bought), train.num_products), replace=False
        )
        is_bought[bought] = True
        columns += [positives, drawn[~is_bought[drawn]][:num_negatives]]
        is_bought[bought] = False
    lengths = np.array([len(rows) for rows in columns])
    return candidate_lists(
        np.repeat(np.repeat(users, 2), lengths),
        np.concatenate(columns),
        np.repeat(np.tile([True, False], len(users)), lengths),
    )
