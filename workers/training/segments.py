"""For whom and for what a model works: figures by segments of users and of products.

Segments come from the training part alone. The bounds are fixed numbers for users, so that a segment means
the same in all data, and shares of purchases for products, whose numbers depend on the size of the market.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lsec.core.metrics import Figures
from workers.training.data import Interactions, Rows

LIGHT_FROM = 5
HEAVY_FROM = 20

Mask = NDArray[np.bool_]


def user_segments(train: Interactions) -> dict[str, Mask]:
    """Which users [U] are new (fewer than 5 distinct products bought), light, heavy (20 or more), followers.

    `non_followers` follow no streamer.
    """
    num_bought = np.bincount(train.buys.sources, minlength=train.num_users)
    is_follower = np.bincount(train.follows.sources, minlength=train.num_users) > 0
    return {
        "new": num_bought < LIGHT_FROM,
        "light": (num_bought >= LIGHT_FROM) & (num_bought < HEAVY_FROM),
        "heavy": num_bought >= HEAVY_FROM,
        "followers": is_follower,
        "non_followers": ~is_follower,
    }


def product_segments(train: Interactions) -> dict[str, Mask]:
    """Which products [P] are the head, the most bought ones that make up a third of all purchases, and so on.

    `middle` makes up the second third and `tail` the last, with the products that were never bought. The
    product in which a third ends belongs to the segment before.
    """
    purchases = train.purchases()
    order = train.popular_order()
    share_before = np.empty(train.num_products)
    share_before[order] = np.cumsum(purchases[order]) - purchases[order]
    share_before /= max(purchases.sum(), 1)
    is_tail = (share_before >= 2 / 3) | (purchases == 0)
    is_head = (share_before < 1 / 3) & ~is_tail
    return {"head": is_head, "middle": ~is_head & ~is_tail, "tail": is_tail}


def figures_by_user_segment(
    segments: Mapping[str, Mask], users: Rows, figures: Figures
) -> dict[str, dict[str, Any]]:
    """Means of the figures, each [n] for the user rows[n], over each segment, beside its `num_users`."""
    table = {}
    for name, is_in in segments.items():
        chosen = is_in[users]
        num = int(chosen.sum())
        table[name] = {"num_users": num} | (
            {figure: float(values[chosen].mean()) for figure, values in figures.items()} if num else {}
        )
    return table


def recall_by_product_segment(
    segments: Mapping[str, Mask], recalls: Mapping[str, Callable[[Mask], NDArray[np.float64]]]
) -> dict[str, dict[str, Any]]:
    """Mean recalls of the held-out products of each segment, over its `num_users`: those with one in it.

    Each of the recalls gives every user's recall of the products in a mask [P], NaN where the user has none.
    """
    table: dict[str, dict[str, Any]] = {}
    for segment, is_in in segments.items():
        table[segment] = {"num_users": 0}
        for name, recall in recalls.items():
            values = recall(is_in)
            known = values[~np.isnan(values)]
            if len(known):
                table[segment] |= {"num_users": len(known), name: float(known.mean())}
    return table
