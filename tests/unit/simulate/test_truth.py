"""The truth about a market's streamers: honest by twin markets, and seen by who compares rightly."""

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest

from lsec.simulate import Market, Rows, Truth, observe, true_influence
from lsec.simulate.columns import names
from lsec.simulate.world import FAKER, PERSON, WATCHER

MARKET = Market(num_users=600, num_streamers=20, num_products=300, num_days=8)
WIDE = Market(num_users=2000, num_streamers=40, num_days=20)


@pytest.fixture(scope="module")
def observed() -> tuple[Rows, Truth]:
    return observe(MARKET)


def num_bought(rows: Rows) -> int:
    return len(rows.purchases.user)


def test_without_one_streamer_the_very_purchases_are_missing_that_the_truth_says(
    observed: tuple[Rows, Truth],
) -> None:
    rows, truth = observed
    order = np.argsort(truth.effect)
    for streamer in (int(order[0]), int(order[-1]), int(order[-2])):
        twin, rest = observe(dataclasses.replace(MARKET, silenced=(streamer,)))
        missing = num_bought(rows) - num_bought(twin)
        assert missing == truth.num_incremental[streamer] != 0
        kept = (~rows.purchases.is_refunded).sum() - (~twin.purchases.is_refunded).sum()
        assert kept == truth.num_incremental_kept[streamer]
        assert np.sign(missing) == np.sign(truth.effect[streamer])
        assert rest.effect[streamer] == rest.num_incremental[streamer] == 0


def test_without_one_streamer_all_that_is_no_purchase_stays_but_for_coming_back(
    observed: tuple[Rows, Truth],
) -> None:
    rows, truth = observed
    twin = observe(dataclasses.replace(MARKET, silenced=(int(np.argmax(truth.effect)),)))[0]
    for name in ("streams", "showcases", "visits", "engagements", "follows", "unfollows"):
        there, here = getattr(rows, name), getattr(twin, name)
        assert all(np.array_equal(getattr(there, column), getattr(here, column)) for column in names(there))


def test_changes_say_who_changed_when_and_what(observed: tuple[Rows, Truth]) -> None:
    rows, truth = observed
    changes = truth.changes
    assert set(changes.change.tolist()) == {-1, 1}
    totals = np.bincount(changes.streamer, changes.change, minlength=MARKET.num_streamers)
    assert totals.tolist() == truth.num_incremental.tolist()
    bought = set(
        zip(
            rows.purchases.user.tolist(),
            rows.purchases.product.tolist(),
            rows.purchases.at.tolist(),
            strict=True,
        )
    )
    visits = set(zip(rows.visits.user.tolist(), rows.visits.streamer.tolist(), strict=True))
    columns = (changes.user, changes.product, changes.at, changes.streamer, changes.change)
    for user, product, at, streamer, change in zip(*(c.tolist() for c in columns), strict=True):
        assert ((user, product, at) in bought) == (change == 1)
        assert (user, streamer) in visits


def test_a_market_without_influence_has_a_truth_of_zero() -> None:
    rows, truth = observe(dataclasses.replace(MARKET, influence=0.0))
    assert not truth.effect.any()
    assert not truth.num_incremental.any()
    assert len(truth.changes.user) == 0
    assert (rows.purchases.stream >= 0).any()


def test_effects_differ_from_streamer_to_streamer_and_follow_the_seed() -> None:
    effect = true_influence(dataclasses.replace(MARKET, num_days=1)).effect
    assert (effect == 0).sum() == 6
    assert (effect < 0).sum() == 2
    assert (effect >= 1).sum() == 6
    assert effect.max() <= 2
    half = true_influence(dataclasses.replace(MARKET, num_days=1, influence=0.5)).effect
    assert np.allclose(half, effect / 2)
    assert not np.array_equal(effect, true_influence(dataclasses.replace(MARKET, num_days=1, seed=8)).effect)


def comparison(market: Market) -> tuple[float, float]:
    """The plain difference of exposed and unexposed in purchases, and the true one, a user and streamer."""
    rows, truth = observe(market)
    bought = np.bincount(rows.purchases.user, minlength=market.num_users)
    is_exposed = np.zeros((market.num_users, market.num_streamers), dtype=np.bool_)
    is_exposed[rows.visits.user, rows.visits.streamer] = True
    assert is_exposed.sum(axis=0).tolist() == truth.num_exposed.tolist()
    plain = [
        bought[each].mean() - bought[~each].mean() if 0 < each.sum() < len(each) else 0.0
        for each in is_exposed.T
    ]
    weight = truth.num_exposed / truth.num_exposed.sum()
    return float(plain @ weight), float(truth.num_incremental.sum() / truth.num_exposed.sum())


def test_where_watching_is_by_lot_a_plain_comparison_is_right() -> None:
    found = np.array(
        [comparison(dataclasses.replace(WIDE, seed=s, confounding=0.0, bots=0.0)) for s in range(8)]
    )
    plain, true = found.mean(axis=0)
    error = found[:, 0].std() / len(found) ** 0.5
    assert true > 0.05
    assert abs(plain - true) < 3 * error
    assert error < 0.5 * true


def test_where_taste_activity_and_season_decide_a_plain_comparison_is_far_too_high() -> None:
    plain, true = comparison(WIDE)
    assert 0.05 < true < plain / 5
    plain, true = comparison(dataclasses.replace(WIDE, influence=0.0))
    assert true == 0
    assert plain > 0.5


def test_watching_alone_moves_purchases_and_makes_none() -> None:
    """Whoever is kept from a stream buys as much elsewhere: by lot, those who watch more buy no more."""
    slopes = []
    for seed in range(8):
        rows, _ = observe(
            dataclasses.replace(WIDE, seed=seed, confounding=0.0, bots=0.0, influence=0.0, num_days=10)
        )
        bought = np.bincount(rows.purchases.user, minlength=WIDE.num_users)
        slopes.append(np.polyfit(np.bincount(rows.visits.user, minlength=WIDE.num_users), bought, 1)[0])
    assert abs(np.mean(slopes)) < 3 * np.std(slopes) / len(slopes) ** 0.5
    assert abs(np.mean(slopes)) < 0.05


def test_bots_watch_and_open_a_lot_and_keep_nothing() -> None:
    market = dataclasses.replace(WIDE, num_users=1000, num_days=8, bots=0.2)
    rows, truth = observe(market)
    kind = truth.user_kind
    assert truth.bots.tolist() == np.flatnonzero(kind != PERSON).tolist()
    assert len(truth.bots) / market.num_users == pytest.approx(0.2, abs=0.04)
    for part in (rows.visits, rows.views):
        num = np.bincount(part.user, minlength=market.num_users)
        assert num[kind != PERSON].mean() > 2 * num[kind == PERSON].mean()
    bought = rows.purchases
    assert not (kind[bought.user] == WATCHER).any()
    by_faker = kind[bought.user] == FAKER
    assert by_faker.any()
    assert bought.is_refunded[by_faker & (bought.at < rows.end - 6 * 86_400_000)].all()
    assert not np.isin(truth.changes.user, truth.bots).any()


def test_without_bots_there_are_none() -> None:
    assert len(true_influence(dataclasses.replace(MARKET, num_days=1, bots=0.0)).bots) == 0


def test_refunds_depend_on_the_streamer() -> None:
    rows, truth = observe(dataclasses.replace(WIDE, bots=0.0, num_users=3000))
    bought = rows.purchases
    early = (bought.at < rows.end - 6 * 86_400_000) & (bought.streamer >= 0)
    num = np.bincount(bought.streamer[early], minlength=WIDE.num_streamers)
    refunded = np.bincount(bought.streamer[early & bought.is_refunded], minlength=WIDE.num_streamers)
    expected = truth.refund_rate * num
    assert np.corrcoef(refunded / num, truth.refund_rate)[0, 1] > 0.6
    assert np.all(np.abs(refunded - expected) < 5 * np.sqrt(expected + 1))


def test_the_truth_is_the_same_with_and_without_the_rows(observed: tuple[Rows, Truth]) -> None:
    _, truth = observed
    assert true_influence(MARKET).as_json() == truth.as_json()


def test_the_truth_as_json_names_streamers_and_bots_as_the_events_do(observed: tuple[Rows, Truth]) -> None:
    _, truth = observed
    written: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(truth.as_json()))
    assert [each["streamer_id"] for each in written["streamers"]] == [f"streamer-{n}" for n in range(20)]
    assert [each["num_incremental"] for each in written["streamers"]] == truth.num_incremental.tolist()
    assert written["bots"] == [f"user-{row}" for row in truth.bots]
    first = written["streamers"][0]
    assert first["effect_on_exposed"] == pytest.approx(first["num_incremental"] / first["num_exposed"])
