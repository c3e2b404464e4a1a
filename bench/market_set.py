"""The simulated market with planted influence as a data set split by time, with candidate lists.

`docs/market.md` says how the market is made. What was known on the morning of the day `VAL_DAY` is the train
part; what was bought for the first time on the two days from then on, and kept, the val part, and on the two
days after those the test part. The streams of those days, in which half of it was shown, are unknown to the
training.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.layout import DataSet
from lsec.simulate import Market, Rows, observe
from lsec.simulate.columns import Follows, Purchases, keep
from lsec.simulate.market import DAY_MS, product_id, streamer_id, user_id
from workers.training.data import Ids, Interactions, Pairs, distinct_pairs
from workers.training.validation import sampled_lists

MARKET = Market(num_users=2000, num_streamers=60, num_products=1500, num_days=20)
VAL_DAY, TEST_DAY = 16, 18
NUM_CANDIDATES = 500


def market_set(market: Market = MARKET, *, name: str = "market") -> DataSet:
    """The market's train part, and lists of what was bought later among `NUM_CANDIDATES` products."""
    rows, _ = observe(market)
    val_at, test_at = (rows.start + day * DAY_MS for day in (VAL_DAY, TEST_DAY))
    train = known(rows, market, val_at)
    val = kept_purchases(rows, val_at, test_at).without(train.buys)
    test = kept_purchases(rows, test_at, rows.end).without(train.buys).without(val)
    val_lists, test_lists = (
        sampled_lists(
            train, pairs, num_candidates=NUM_CANDIDATES, max_users=market.num_users, seed=market.seed + place
        )
        for place, pairs in enumerate((val, test))
    )
    return DataSet(name, train, val=val_lists, test=test_lists)


def known(rows: Rows, market: Market, until: int) -> Interactions:
    """All that could be seen before this moment, in epoch milliseconds: its latest is older."""
    buys = keep(rows.purchases, (rows.purchases.at < until) & ~_is_refunded(rows.purchases, until))
    showcases = keep(rows.showcases, rows.showcases.at < until)
    visits = keep(rows.visits, rows.visits.at < until)
    views = keep(rows.views, rows.views.at < until)
    return Interactions(
        _ids(user_id, market.num_users),
        _ids(product_id, market.num_products),
        _ids(streamer_id, market.num_streamers),
        buys=distinct_pairs(buys.user, buys.product, buys.quantity, buys.at),
        follows=_followings(rows, until),
        sells=distinct_pairs(showcases.streamer, showcases.product, at=showcases.at),
        watched=distinct_pairs(visits.user, visits.streamer, visits.seconds, visits.at),
        viewed=distinct_pairs(views.user, views.product, at=views.at),
    )


def kept_purchases(rows: Rows, since: int, until: int) -> Pairs:
    """Who bought what in this time, and has it still at the market's end."""
    bought = rows.purchases
    kept = keep(bought, (bought.at >= since) & (bought.at < until) & ~bought.is_refunded)
    return distinct_pairs(kept.user, kept.product, kept.quantity, kept.at)


def _is_refunded(bought: Purchases, until: int) -> NDArray[np.bool_]:
    return bought.is_refunded & (bought.refunded_at < until)


def _followings(rows: Rows, until: int) -> Pairs:
    """Those that had begun, and had not ended since."""
    begun, ended = (_last(keep(each, each.at < until)) for each in (rows.follows, rows.unfollows))
    width = 1 + max(int(pairs.targets.max(initial=0)) for pairs in (begun, ended))
    keys, ended_keys = (pairs.sources * width + pairs.targets for pairs in (begun, ended))
    places = np.searchsorted(ended_keys, keys)
    has_ended = np.isin(keys, ended_keys)
    ended_at = np.full(len(keys), -1)
    ended_at[has_ended] = ended.last_at[places[has_ended]]
    return begun[begun.last_at > ended_at]


def _last(follows: Follows) -> Pairs:
    return distinct_pairs(follows.user, follows.streamer, at=follows.at)


def _ids(name: Callable[[int], str], num: int) -> Ids:
    return np.array([name(row).encode() for row in range(num)], np.bytes_)
