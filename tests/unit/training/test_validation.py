"""The validation split never leaks and never empties a user."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.markets import interactions, market, write_edges, write_snapshot
from workers.training.data import Interactions, Pairs, read_timeline
from workers.training.evaluation import popularity_scorer, selection_report
from workers.training.hyperparameters import Hyperparameters
from workers.training.pair_hash import id_hashes, mixed
from workers.training.time_split import cutoff_by_share
from workers.training.validation import (
    hold_out,
    sampled_lists,
    validation_by_time,
    validation_of,
    validation_split,
)

KNOWN_IDS = ["0xd56a4e3f684d9992", "0xaeda853274429b7a"]
KNOWN_PAIRS = ["0xeef1a2030ec3aa06", "0x4fdbc6f73578cd43"]

purchases = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 7)), min_size=1, max_size=60)


def named(data: Interactions, pairs: Pairs) -> set[tuple[bytes, bytes]]:
    """The pairs by their ids."""
    users, products = data.user_ids[pairs.sources].tolist(), data.product_ids[pairs.targets].tolist()
    return set(zip(users, products, strict=True))


@given(purchases, st.floats(0, 0.5), st.integers(0, 1000))
def test_a_split_parts_the_purchases_of_users_of_whom_it_knows_some(
    pairs: list[tuple[int, int]], share: float, salt: int
) -> None:
    data = interactions(pairs, num_users=10, num_products=8)
    train, held_out = hold_out(data, share=share, salt=salt)
    kept, taken = named(data, train.buys), named(data, held_out)
    assert not kept & taken
    unknown = named(data, data.buys) - kept - taken
    assert {user for user, _ in taken} <= {user for user, _ in kept}
    assert not {user for user, _ in unknown} & {user for user, _ in kept}


@given(purchases, purchases, st.randoms(use_true_random=False))
def test_a_purchase_keeps_its_side_whatever_else_is_bought_and_in_whichever_row(
    pairs: list[tuple[int, int]], later: list[tuple[int, int]], random: Random
) -> None:
    before = interactions(pairs, num_users=10, num_products=8)
    # The same market later: more users, products and purchases, and everyone in another row.
    users, products = random.sample(range(14), 14), random.sample(range(11), 11)
    moved = [(users.index(user), products.index(product)) for user, product in (*pairs, *later)]
    after = replace(
        interactions(moved, num_users=14, num_products=11),
        user_ids=np.array([f"u{user}" for user in users], np.bytes_),
        product_ids=np.array([f"p{product}" for product in products], np.bytes_),
    )
    (earlier, _), (now, held_out) = (hold_out(data, share=0.4) for data in (before, after))
    learned = named(before, earlier.buys)
    assert learned <= named(after, now.buys)
    assert not learned & named(after, held_out)


def test_a_greater_share_holds_out_all_that_a_smaller_one_does(tmp_path: Path) -> None:
    data = market(tmp_path)
    trains = [named(data, hold_out(data, share=share)[0].buys) for share in (0.1, 0.3)]
    assert trains[1] < trains[0]


def test_the_ids_have_their_known_hashes() -> None:
    """Releases of other versions of this code hold out the same: these numbers never change."""
    users, products = id_hashes(np.array([b"u1", b"u2"])), id_hashes(np.array([b"p1", b"u1"]))
    assert [hex(value) for value in users] == KNOWN_IDS
    assert [hex(value) for value in mixed(users, products)] == KNOWN_PAIRS
    assert not set(mixed(users, products, salt=1).tolist()) & set(mixed(users, products).tolist())


def test_about_the_share_is_held_out(tmp_path: Path) -> None:
    data = market(tmp_path, num_users=300, num_products=200, num_buys=6000)
    for share in (0.1, 0.35):
        _, held_out = hold_out(data, share=share)
        assert len(held_out) / len(data.buys) == pytest.approx(share, abs=0.02)


@given(purchases, st.integers(2, 9), st.integers(0, 1000))
def test_lists_hold_the_positives_among_products_never_bought(
    pairs: list[tuple[int, int]], num_candidates: int, seed: int
) -> None:
    data = interactions(pairs, num_users=10, num_products=8)
    train, held_out = hold_out(data, share=0.4, salt=seed)
    lists = sampled_lists(train, held_out, num_candidates=num_candidates, max_users=6, seed=seed)
    assert len(lists) <= 6
    taken = set(zip(held_out.sources.tolist(), held_out.targets.tolist(), strict=True))
    for row, user in enumerate(lists.users.tolist()):
        listed = lists.products[row][lists.is_valid[row]]
        labels = lists.is_positive[row][lists.is_valid[row]]
        positives, negatives = set(listed[labels].tolist()), set(listed[~labels].tolist())
        assert positives == {product for u, product in taken if u == user}
        assert not {(user, product) for product in negatives} & set(pairs)
        num_never_bought = 8 - len({product for u, product in pairs if u == user})
        assert len(negatives) == min(max(num_candidates - len(positives), 1), num_never_bought)
        assert len(listed) == len(set(listed.tolist()))


def test_of_the_seed_are_the_products_of_the_lists_alone(tmp_path: Path) -> None:
    data = market(tmp_path)
    hp = Hyperparameters(num_candidates=20)
    first, again, other = (validation_split(data, hp, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.lists.products, again.lists.products)
    assert not np.array_equal(first.lists.products, other.lists.products)
    assert named(data, first.held_out) == named(data, other.held_out)
    salted = validation_split(data, hp, seed=1, salt=1)
    assert named(data, first.held_out) != named(data, salted.held_out)


def test_users_without_a_purchase_left_are_counted_and_not_listed() -> None:
    data = interactions([(user, 0) for user in range(200)], num_users=200, num_products=5)
    split = validation_split(data, Hyperparameters(validation_share=0.5), seed=0)
    assert len(split.lists) == len(split.held_out) == 0
    assert split.num_unknown == 200 - len(split.train.buys)
    assert 60 < split.num_unknown < 140


def test_a_split_by_time_holds_out_the_latest_purchases(tmp_path: Path) -> None:
    timeline = read_timeline(write_snapshot(tmp_path / "snapshot", num_buys=600))
    hp = Hyperparameters(num_candidates=20)
    cutoff_ms = cutoff_by_share(timeline, hp.validation_share)
    split = validation_of(timeline, hp, split="time", seed=0)
    assert int((timeline.buys.at >= cutoff_ms).sum()) == 60
    assert (split.train.buys.last_at < cutoff_ms).all()
    assert (split.held_out.last_at >= cutoff_ms).all()
    assert 0 < len(split.held_out) <= 60 - split.num_unknown
    assert set(split.lists.users.tolist()) <= set(split.held_out.sources.tolist())
    report = selection_report(popularity_scorer(split.train), split)
    assert report["num_unknown_held_out"] == split.num_unknown
    assert report["candidates"] == report["popularity"]["candidates"]


def test_a_random_split_is_that_of_the_interactions(tmp_path: Path) -> None:
    timeline = read_timeline(write_snapshot(tmp_path / "snapshot"))
    found = validation_of(timeline, Hyperparameters(), split="random", seed=3)
    expected = validation_split(timeline.interactions(), Hyperparameters(), seed=3)
    assert np.array_equal(found.lists.products, expected.lists.products)
    assert np.array_equal(found.held_out.targets, expected.held_out.targets)


def test_purchases_of_one_moment_leave_nothing_to_validate_by_time(tmp_path: Path) -> None:
    folder = write_snapshot(tmp_path / "snapshot", num_buys=30)
    ends = np.arange(30) % 7, np.arange(30) % 11
    write_edges(folder, "buys", *ends, at_ms=np.full(30, 10**12))
    split = validation_by_time(read_timeline(folder), Hyperparameters(), seed=0)
    assert len(split.lists) == len(split.held_out) == 0


def test_a_held_out_purchase_leaves_no_view_behind(tmp_path: Path) -> None:
    data = market(tmp_path)
    viewed_too = replace(data, viewed=data.buys)
    train, held_out = hold_out(viewed_too, share=0.5)
    assert len(held_out)
    assert len(train.viewed) == len(train.buys)
    assert len(held_out.without(train.viewed)) == len(held_out)
