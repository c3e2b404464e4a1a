"""The validation split: purchases held out, and candidate lists that hold them."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from lsec.core.metrics import CandidateLists, candidate_lists
from workers.training.data import Interactions, Pairs, Rows, Timeline, no_pairs
from workers.training.time_split import cutoff_by_share, time_split

SplitKind = Literal["random", "time"]


class SplitSettings(Protocol):
    """What hyperparameters of any model say of the split and its lists."""

    @property
    def validation_share(self) -> float:
        """Share of the purchases to hold out."""

    @property
    def num_candidates(self) -> int:
        """Products in a list."""

    @property
    def max_validation_users(self) -> int:
        """Lists at most."""


@dataclass(frozen=True, slots=True)
class Validation:
    """`train` has the held-out purchases taken out of its buys; the lists are of some of their users.

    num_unknown purchases of a split by time are not held out, since nothing was known of their user or
    product.
    """

    train: Interactions
    held_out: Pairs
    lists: CandidateLists
    num_unknown: int = 0


def validation_split(data: Interactions, hyperparameters: SplitSettings, *, seed: int) -> Validation:
    """The random split by the hyperparameters; its lists are empty when nothing can be held out."""
    train, held_out = hold_out(data, share=hyperparameters.validation_share, seed=seed)
    return Validation(train, held_out, _lists(train, held_out, hyperparameters, seed=seed))


def validation_by_time(timeline: Timeline, hyperparameters: SplitSettings, *, seed: int) -> Validation:
    """The split at the moment from which on the latest `validation_share` of the purchases was made.

    Its training part knows nothing of later, see `time_split`. The lists are empty when nothing was known
    before that moment, as when all purchases have the same time.
    """
    split = time_split(timeline, cutoff_by_share(timeline, hyperparameters.validation_share))
    held_out = split.held_out if len(split.train.buys) else no_pairs()
    lists = _lists(split.train, held_out, hyperparameters, seed=seed)
    return Validation(split.train, held_out, lists, split.num_unknown)


def validation_of(
    timeline: Timeline, hyperparameters: SplitSettings, *, split: SplitKind, seed: int
) -> Validation:
    """The validation split of this kind."""
    if split == "time":
        return validation_by_time(timeline, hyperparameters, seed=seed)
    return validation_split(timeline.interactions(), hyperparameters, seed=seed)


def _lists(train: Interactions, held_out: Pairs, hp: SplitSettings, *, seed: int) -> CandidateLists:
    return sampled_lists(
        train, held_out, num_candidates=hp.num_candidates, max_users=hp.max_validation_users, seed=seed
    )


def hold_out(data: Interactions, *, share: float, seed: int) -> tuple[Interactions, Pairs]:
    """What is left, and about this share of each user's purchased products at random, never a user's last.

    The share is rounded at random for each user: those with few purchases take part too, and the expected
    number is exactly the share. Views of the held-out pairs go too: who buys a product has just viewed it.
    """
    rng = np.random.default_rng([seed, 1])
    degrees = np.bincount(data.buys.sources, minlength=data.num_users)
    wanted = np.floor(degrees * share + rng.random(data.num_users)).astype(np.int64)
    num_held_out = np.minimum(wanted, np.maximum(degrees - 1, 0))
    shuffled = np.lexsort((rng.random(len(data.buys)), data.buys.sources))
    place = np.empty(len(data.buys), np.int64)
    place[shuffled] = np.arange(len(data.buys)) - data.buys.indptr(data.num_users)[data.buys.sources]
    is_held_out = place < num_held_out[data.buys.sources]
    buys, held_out = data.buys[~is_held_out], data.buys[is_held_out]
    return replace(data, buys=buys, viewed=data.viewed.without(held_out)), held_out


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
