"""A made-up market of a second's training, as a data set of either protocol, to try a benchmark on."""

from dataclasses import replace

import numpy as np

from bench.layout import DataSet
from workers.training.data import Interactions, Pairs, distinct_pairs, no_pairs
from workers.training.validation import hold_out, sampled_lists

NUM_USERS, NUM_PRODUCTS, NUM_STREAMERS = 300, 200, 20
NUM_TASTES = 5
NUM_BUYS, NUM_FOLLOWS, NUM_SELLS = 5000, 900, 300
SHARE_BY_TASTE = 0.7
"""Of the pairs; the others are of any two."""


def small_sets() -> list[DataSet]:
    """The market twice: with candidate lists, and as a plain split."""
    market = small_market(seed=0)
    # Salts of their own: what a training holds out of its part must not be gone already.
    rest, test = hold_out(market, share=0.2, salt=101)
    train, val = hold_out(rest, share=0.1, salt=102)
    val_lists, test_lists = (
        sampled_lists(rest, pairs, num_candidates=100, max_users=NUM_USERS, seed=seed)
        for seed, pairs in enumerate((val, test))
    )
    plain = replace(rest, follows=no_pairs(), sells=no_pairs())
    return [
        DataSet("small", train, val=val_lists, test=test_lists),
        DataSet("small-split", plain, test_pairs=test),
    ]


def small_market(*, seed: int) -> Interactions:
    """Users mostly buy, and follow who sells, what is of their own taste; there are `NUM_TASTES`."""
    rng = np.random.default_rng(seed)

    def pairs(num: int, num_sources: int, num_targets: int) -> Pairs:
        sources, targets = rng.integers(0, num_sources, num), rng.integers(0, num_targets, num)
        alike = targets - targets % NUM_TASTES + sources % NUM_TASTES
        return distinct_pairs(sources, np.where(rng.random(num) < SHARE_BY_TASTE, alike, targets))

    return Interactions(
        user_ids=np.arange(NUM_USERS).astype(np.bytes_),
        product_ids=np.arange(NUM_PRODUCTS).astype(np.bytes_),
        streamer_ids=np.arange(NUM_STREAMERS).astype(np.bytes_),
        buys=pairs(NUM_BUYS, NUM_USERS, NUM_PRODUCTS),
        follows=pairs(NUM_FOLLOWS, NUM_USERS, NUM_STREAMERS),
        sells=pairs(NUM_SELLS, NUM_STREAMERS, NUM_PRODUCTS),
        watched=no_pairs(),
        viewed=no_pairs(),
    )
