"""The validation split: purchases held out, and candidate lists that hold them."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from lsec.core.metrics import CandidateLists, candidate_lists
from workers.training.data import Interactions, Pairs, Rows, Timeline, no_pairs
from workers.training.pair_hash import HeldOutRule
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

    num_unknown purchases are in neither: nothing is known of their user, or in a split by time of their
    product.
    """

    train: Interactions
    held_out: Pairs
    lists: CandidateLists
    num_unknown: int = 0


def validation_split(
    data: Interactions, hyperparameters: SplitSettings, *, seed: int, salt: int = 0
) -> Validation:
    """The random split by the hyperparameters; its lists are empty when nothing can be held out.

    Of the seed are only the products that fill up the lists. Whoever selects by other purchases than those by
    which releases are judged gives another salt.
    """
    train, held_out = hold_out(data, share=hyperparameters.validation_share, salt=salt)
    num_unknown = len(data.buys) - len(train.buys) - len(held_out)
    return Validation(train, held_out, _lists(train, held_out, hyperparameters, seed=seed), num_unknown)


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


def hold_out(data: Interactions, *, share: float, salt: int = 0) -> tuple[Interactions, Pairs]:
    """What is left, and the purchases that are held out: about this share of them, by a hash of their ids.

    Each pair's side depends on its two ids alone, see `HeldOutRule`: not on other pairs, for else a pair that
    an earlier training learned from might be held out of a later one. So a user may be left without a
    purchase. The training part has lost theirs, like any held out; but as it knows nothing of what they buy,
    theirs are not among the held-out pairs. Views of all that is taken go too: who buys a product has just
    viewed it.
    """
    buys = data.buys
    rule = HeldOutRule(share, salt)
    is_taken = rule.holds_out(data.user_ids, data.product_ids, buys.sources, buys.targets)
    kept, taken = buys[~is_taken], buys[is_taken]
    is_known = np.bincount(kept.sources, minlength=data.num_users) > 0
    train = replace(data, buys=kept, viewed=data.viewed.without(taken))
    return train, taken[is_known[taken.sources]]


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
