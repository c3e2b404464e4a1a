"""The validation split never leaks and never empties a user."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.markets import interactions, market, write_edges, write_snapshot
from workers.training.data import read_timeline
from workers.training.evaluation import popularity_scorer, selection_report
from workers.training.hyperparameters import Hyperparameters
from workers.training.time_split import cutoff_by_share
from workers.training.validation import (
    hold_out,
    sampled_lists,
    validation_by_time,
    validation_of,
    validation_split,
)

purchases = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 7)), min_size=1, max_size=60)


@given(purchases, st.floats(0, 0.5), st.integers(0, 1000))
def test_a_split_parts_the_purchases_and_never_empties_a_user(
    pairs: list[tuple[int, int]], share: float, seed: int
) -> None:
    train, held_out = hold_out(interactions(pairs, num_users=10, num_products=8), share=share, seed=seed)
    kept = set(zip(train.buys.sources.tolist(), train.buys.targets.tolist(), strict=True))
    taken = set(zip(held_out.sources.tolist(), held_out.targets.tolist(), strict=True))
    assert kept | taken == set(pairs)
    assert not kept & taken
    assert {user for user, _ in kept} == {user for user, _ in pairs}


def test_about_the_share_is_held_out(tmp_path: Path) -> None:
    data = market(tmp_path, num_users=300, num_products=200, num_buys=6000)
    _, held_out = hold_out(data, share=0.1, seed=3)
    assert 0.08 < len(held_out) / len(data.buys) < 0.12


@given(purchases, st.integers(2, 9), st.integers(0, 1000))
def test_lists_hold_the_positives_among_products_never_bought(
    pairs: list[tuple[int, int]], num_candidates: int, seed: int
) -> None:
    data = interactions(pairs, num_users=10, num_products=8)
    train, held_out = hold_out(data, share=0.4, seed=seed)
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


def test_the_split_depends_on_the_seed_alone(tmp_path: Path) -> None:
    data = market(tmp_path)
    first, again, other = (validation_split(data, Hyperparameters(), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.held_out.targets, again.held_out.targets)
    assert np.array_equal(first.lists.products, again.lists.products)
    assert not np.array_equal(first.held_out.targets, other.held_out.targets)


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
    train, held_out = hold_out(viewed_too, share=0.5, seed=0)
    assert len(held_out)
    assert len(train.viewed) == len(train.buys)
    assert len(held_out.without(train.viewed)) == len(held_out)
