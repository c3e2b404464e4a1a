"""The simulated market as a data set: nothing of what is to be foretold is in what is learnt from."""

import numpy as np
import pytest

from bench.layout import DataSet
from bench.market_set import TEST_DAY, VAL_DAY, kept_purchases, known, market_set
from lsec.simulate import Market, observe
from lsec.simulate.market import DAY_MS

MARKET = Market(num_users=150, num_streamers=12, num_products=600, num_days=20)


@pytest.fixture(scope="module")
def data() -> DataSet:
    return market_set(MARKET, name="small")


def test_all_that_is_learnt_from_is_older_than_the_first_day_to_foretell(data: DataSet) -> None:
    rows, _ = observe(MARKET)
    until = rows.start + VAL_DAY * DAY_MS
    for name in ("buys", "follows", "sells", "watched", "viewed"):
        pairs = getattr(data.train, name)
        assert until - 2 * DAY_MS < pairs.last_at.max() < until, name


def test_a_following_that_has_ended_is_none_until_it_begins_again() -> None:
    rows, _ = observe(MARKET)
    until = rows.start + VAL_DAY * DAY_MS
    is_following: dict[tuple[int, int], bool] = {}
    changes = [
        (int(at), is_begun, int(user), int(streamer))
        for is_begun, each in ((True, rows.follows), (False, rows.unfollows))
        for user, streamer, at in zip(each.user, each.streamer, each.at, strict=True)
        if at < until
    ]
    for _at, is_begun, user, streamer in sorted(changes):
        is_following[user, streamer] = is_begun
    expected = {pair for pair, follows in is_following.items() if follows}
    follows = known(rows, MARKET, until).follows
    assert set(zip(follows.sources.tolist(), follows.targets.tolist(), strict=True)) == expected
    assert not all(is_following.values()), "some have ended"


def test_the_lists_hold_what_was_bought_for_the_first_time_on_their_days(data: DataSet) -> None:
    rows, _ = observe(MARKET)
    bought = set(zip(data.train.buys.sources.tolist(), data.train.buys.targets.tolist(), strict=True))
    days = ((VAL_DAY, TEST_DAY), (TEST_DAY, MARKET.num_days))
    for lists, (first, end) in zip((data.val, data.test), days, strict=True):
        assert lists is not None
        later = kept_purchases(rows, rows.start + first * DAY_MS, rows.start + end * DAY_MS)
        pairs = set(zip(later.sources.tolist(), later.targets.tolist(), strict=True)) - bought
        users = np.repeat(lists.users, lists.products.shape[1]).reshape(lists.products.shape)
        listed = users[lists.is_positive].tolist(), lists.products[lists.is_positive].tolist()
        assert set(zip(*listed, strict=True)) == pairs
        bought |= pairs
