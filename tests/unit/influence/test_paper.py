"""The paper's table against brute force over every pair of small graphs."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsec.core.errors import InvalidInput
from lsec.influence import paper
from lsec.influence.paper import Tripartite, catalogue_shares, followed_catalogues, purchase_probabilities

USERS, STREAMERS, PRODUCTS = 9, 5, 11
Pairs = set[tuple[int, int]]


def columns(pairs: Pairs) -> tuple[Any, Any]:
    rows = np.array(sorted(pairs, key=lambda pair: hash(pair)), np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def drawn(seed: int) -> tuple[Tripartite, dict[str, Pairs]]:
    rng = np.random.default_rng(seed)
    shapes = {
        "follows": (USERS, STREAMERS, 0.3),
        "sells": (STREAMERS, PRODUCTS, 0.3),
        "before": (USERS, PRODUCTS, 0.3),
        "after": (USERS, PRODUCTS, 0.2),
    }
    pairs: dict[str, Pairs] = {}
    for name, (num_sources, num_targets, density) in shapes.items():
        found = np.argwhere(rng.random((num_sources, num_targets)) < density)
        pairs[name] = {(int(source), int(target)) for source, target in found}
    pairs["follows"] |= {(0, 0)}
    pairs["follows"] -= {(USERS - 1, streamer) for streamer in range(STREAMERS)}
    pairs["after"] |= {(0, 0), (0, 1)}
    pairs["before"] -= {(0, 0), (0, 1)}
    graph = Tripartite(USERS, STREAMERS, PRODUCTS, **{name: columns(found) for name, found in pairs.items()})
    return graph, pairs


def sellers(pairs: dict[str, Pairs], user: int, item: int) -> int:
    return sum((user, s) in pairs["follows"] and (s, item) in pairs["sells"] for s in range(STREAMERS))


def alike(own: int, measures: dict[int, int]) -> list[int]:
    """The others of the same measure, or those of the nearest."""
    others = [other for other in measures if other != own]
    nearest = min(abs(measures[other] - measures[own]) for other in others)
    return [other for other in others if abs(measures[other] - measures[own]) == nearest]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_shares_equal_those_counted_pair_by_pair(seed: int) -> None:
    graph, pairs = drawn(seed)
    follows = {u: sum((u, s) in pairs["follows"] for s in range(STREAMERS)) for u in range(USERS)}
    popularity = {i: sum((u, i) in pairs["before"] for u in range(USERS)) for i in range(PRODUCTS)}
    followers = {u: number for u, number in follows.items() if number}
    if len(followers) < 2:
        return
    new = [(u, i) for u, i in pairs["after"] - pairs["before"] if follows[u]]
    own, popular, other, random = [], [], [], []
    for user, item in new:
        own.append(sellers(pairs, user, item) > 0)
        popular.append(np.mean([sellers(pairs, user, i) > 0 for i in alike(item, popularity)]))
        other.append(np.mean([sellers(pairs, u, item) > 0 for u in alike(user, followers)]))
        random.append(np.mean([sellers(pairs, user, i) > 0 for i in range(PRODUCTS)]))
    found = catalogue_shares(graph)
    assert found.num_purchases == len(new)
    assert found.purchases.mean == pytest.approx(np.mean(own))
    assert found.popular_product.mean == pytest.approx(np.mean(popular))
    assert found.other_user.mean == pytest.approx(np.mean(other))
    assert found.random_product.mean == pytest.approx(np.mean(random))


def test_with_neighbours_the_controls_are_the_next_in_the_order() -> None:
    graph, pairs = drawn(3)
    follows = [sum((u, s) in pairs["follows"] for s in range(STREAMERS)) for u in range(USERS)]
    popularity = [sum((u, i) in pairs["before"] for u in range(USERS)) for i in range(PRODUCTS)]
    by_popularity = sorted(range(PRODUCTS), key=lambda i: popularity[i])
    by_follows = sorted((u for u in range(USERS) if follows[u]), key=lambda u: follows[u])

    def near(order: list[int], own: int) -> list[int]:
        place = order.index(own)
        return [order[min(max(place + step, 0), len(order) - 1)] for step in (-2, -1, 1, 2)]

    new = [(u, i) for u, i in pairs["after"] - pairs["before"] if follows[u]]
    popular = [sellers(pairs, u, j) > 0 for u, i in new for j in near(by_popularity, i)]
    other = [sellers(pairs, v, i) > 0 for u, i in new for v in near(by_follows, u)]
    found = catalogue_shares(graph, neighbours=2)
    assert found.popular_product.mean == pytest.approx(np.mean(popular))
    assert found.other_user.mean == pytest.approx(np.mean(other))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_the_table_equals_one_counted_pair_by_pair(seed: int, last: int) -> None:
    graph, pairs = drawn(seed)
    followers = [u for u in range(USERS) if any((u, s) in pairs["follows"] for s in range(STREAMERS))]
    popularity = [sum((u, i) in pairs["before"] for u in range(USERS)) for i in range(PRODUCTS)]
    is_sold = [any((s, i) in pairs["sells"] for s in range(STREAMERS)) for i in range(PRODUCTS)]
    new = pairs["after"] - pairs["before"]
    num_pairs, bought, expected = (dict.fromkeys(range(-1, last + 1), 0.0) for _ in range(3))
    for user in followers:
        open_to = [i for i in range(PRODUCTS) if (user, i) not in pairs["before"]]
        total = sum(popularity[i] for i in open_to)
        num_new = sum((user, i) in new for i in open_to)
        for item in open_to:
            kind = min(sellers(pairs, user, item), last) if is_sold[item] else -1
            num_pairs[kind] += 1
            bought[kind] += (user, item) in new
            expected[kind] += num_new * popularity[item] / total if total else 0
    rows = purchase_probabilities(graph, max_followed_sellers=last)
    assert [row.num_followed_sellers for row in rows] == list(range(-1, last + 1))
    for row in rows:
        kind = row.num_followed_sellers
        assert (row.num_pairs, row.num_purchases) == (num_pairs[kind], bought[kind])
        if num_pairs[kind]:
            assert row.probability == pytest.approx(bought[kind] / num_pairs[kind])
            assert row.expected == pytest.approx(expected[kind] / num_pairs[kind], abs=1e-12)
        if expected[kind] > 1e-9:
            assert row.ratio.mean == pytest.approx(bought[kind] / expected[kind])


@pytest.mark.parametrize("chunk", [1, 3, 10**6])
def test_catalogues_are_the_same_in_chunks_of_any_size(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    graph, pairs = drawn(11)
    monkeypatch.setattr(paper, "EXPANDED_PER_CHUNK", chunk)
    users, products, number = followed_catalogues(graph)
    found = dict(zip(zip(users.tolist(), products.tolist(), strict=True), number.tolist(), strict=True))
    every = {pair: sellers(pairs, *pair) for pair in product(range(USERS), range(PRODUCTS))}
    assert found == {pair: num for pair, num in every.items() if num}


def test_where_popularity_alone_decides_the_ratios_are_one_and_another_user_has_the_same_share() -> None:
    rng = np.random.default_rng(12)
    users, products = 3000, 60
    weights = np.arange(1, products + 1) ** -0.7
    weights /= weights.sum()
    before = np.unique(rng.integers(0, users, 9000) * products + rng.choice(products, 9000, p=weights))
    follows = np.unique(rng.integers(0, users, 9000) * 20 + rng.integers(0, 20, 9000))
    sells = np.unique(rng.integers(0, 20, 80) * products + rng.choice(products, 80, p=weights))
    after = rng.integers(0, users, 6000) * products + rng.choice(products, 6000, p=weights)
    graph = Tripartite(
        users,
        20,
        products,
        follows=(follows // 20, follows % 20),
        sells=(sells // products, sells % products),
        before=(before // products, before % products),
        after=(after // products, after % products),
    )
    rows = purchase_probabilities(graph, max_followed_sellers=2)
    assert all(row.ratio.low - 0.03 < 1 < row.ratio.high + 0.03 for row in rows), rows
    shares = catalogue_shares(graph)
    assert shares.other_user.low < shares.purchases.mean < shares.other_user.high


def test_without_a_new_purchase_by_a_follower_there_is_nothing_to_explain() -> None:
    graph, _ = drawn(13)
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64))
    for after in (nothing, graph.before):
        bare = Tripartite(
            USERS, STREAMERS, PRODUCTS, graph.follows, graph.sells, before=graph.before, after=after
        )
        with pytest.raises(InvalidInput, match="new purchase"):
            catalogue_shares(bare)
        with pytest.raises(InvalidInput, match="new purchase"):
            purchase_probabilities(bare)


def test_without_anything_sold_no_catalogue_holds_a_purchase() -> None:
    graph, _ = drawn(14)
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64))
    bare = Tripartite(
        USERS, STREAMERS, PRODUCTS, graph.follows, sells=nothing, before=graph.before, after=graph.after
    )
    assert catalogue_shares(bare).purchases.mean == 0
    assert [row.num_pairs > 0 for row in purchase_probabilities(bare)] == [True, *[False] * 5]
