"""A split by time: nothing at or after the cutoff has any influence on the training part."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.training.data import COLUMNS, DAY_MS, Interactions, Pairs, Records, Timeline
from workers.training.time_split import cutoff_by_share, time_split

HOUR_MS = DAY_MS // 24
CUTOFF_MS = 3 * DAY_MS + 7 * HOUR_MS

Event = tuple[str, int, int, int, int]
"""Relation, number of the source and of the target, hour, and how much."""


def events(first_hour: int, last_hour: int) -> st.SearchStrategy[list[Event]]:
    small = st.integers(0, 4)
    hours = st.integers(first_hour, last_hour)
    return st.lists(st.tuples(st.sampled_from(list(COLUMNS)), small, small, hours, st.integers(1, 3)))


before = events(0, CUTOFF_MS // HOUR_MS - 1)
after = events(CUTOFF_MS // HOUR_MS, 6 * 24)


def timeline(happened: Iterable[Event], *, seed: int = 0) -> Timeline:
    """What a snapshot holds after these events, of the nodes they name, in any order of nodes and records."""
    rng = np.random.default_rng(seed)
    named: dict[str, set[int]] = {"user": set(), "product": set(), "streamer": set()}
    records: dict[str, dict[tuple[int, ...], list[tuple[int, int]]]] = {name: {} for name in COLUMNS}
    for number, (relation, source, target, hour, amount) in enumerate(happened):
        named[COLUMNS[relation][0]].add(source)
        named[COLUMNS[relation][1]].add(target)
        at = hour * HOUR_MS
        # A purchase and a following is a record of its own, the others are counters: by day, or of all time.
        apart = {"buys": number, "follows": number, "sells": 0}.get(relation, at // DAY_MS)
        records[relation].setdefault((source, target, apart), []).append((at, amount))
    nodes = {kind: rng.permutation(sorted(numbers)) for kind, numbers in named.items()}
    rows = {kind: {int(n): row for row, n in enumerate(numbers)} for kind, numbers in nodes.items()}
    users, products, streamers = (
        np.array([f"{kind}-{n}" for n in numbers] or [""], np.bytes_)[: len(numbers)]
        for kind, numbers in nodes.items()
    )
    relations = {name: _records(name, found, rows, rng) for name, found in records.items()}
    return Timeline(users, products, streamers, **relations)


def _records(
    relation: str,
    found: dict[tuple[int, ...], list[tuple[int, int]]],
    rows: dict[str, dict[int, int]],
    rng: np.random.Generator,
) -> Records:
    source, target = COLUMNS[relation][:2]
    by_day = relation in ("watched", "viewed")
    table = []
    for (left, right, _), each in found.items():
        times = [at for at, _ in each]
        first, last = (min(times), max(times)) if not by_day else 2 * (min(times) // DAY_MS * DAY_MS,)
        counts = 1 if relation in ("buys", "follows") else sum(amount for _, amount in each)
        table.append((rows[source][left], rows[target][right], counts, first, last))
    columns = np.array(table, np.int64).reshape(-1, 5)[rng.permutation(len(table))]
    return Records(*columns.T)


def contents(data: Interactions) -> dict[str, Any]:
    """All of it as plain values."""
    values: dict[str, Any] = {}
    for field in fields(data):
        value = getattr(data, field.name)
        if isinstance(value, Pairs):
            value = np.stack([value.sources, value.targets, value.counts, value.last_at])
        values[field.name] = value.tolist()
    return values


@given(before, after, after, st.integers(0, 99))
def test_nothing_at_or_after_the_cutoff_changes_the_training_part(
    past: list[Event], future: list[Event], another_future: list[Event], seed: int
) -> None:
    one = time_split(timeline([*past, *future]), CUTOFF_MS)
    other = time_split(timeline([*past, *another_future], seed=seed), CUTOFF_MS)
    assert contents(one.train) == contents(other.train)


@given(before, after)
def test_what_is_held_out_was_first_bought_at_or_after_the_cutoff(
    past: list[Event], future: list[Event]
) -> None:
    split = time_split(timeline([*past, *future]), CUTOFF_MS)
    train, held_out = split.train, split.held_out
    bought = [{(u, p) for relation, u, p, *_ in some if relation == "buys"} for some in (past, future)]
    users, products = train.user_ids, train.product_ids
    found = {(users[u], products[p]) for u, p in zip(held_out.sources, held_out.targets, strict=True)}
    first = {(f"user-{u}".encode(), f"product-{p}".encode()) for u, p in bought[1] - bought[0]}
    known = {(u, p) for u, p in first if u in users and p in products}
    assert found == known
    assert split.num_unknown == len(first - known)
    assert len(held_out) == len(found)
    assert (held_out.last_at >= CUTOFF_MS).all()
    assert np.array_equal(np.lexsort((held_out.targets, held_out.sources)), np.arange(len(held_out)))


@given(before)
def test_without_a_future_only_a_day_that_is_not_over_is_missing(past: list[Event]) -> None:
    def is_over(event: Event) -> bool:
        return event[0] not in ("watched", "viewed") or event[3] < CUTOFF_MS // DAY_MS * 24

    whole = timeline([event for event in past if is_over(event)]).interactions()
    split = time_split(timeline(past), CUTOFF_MS)
    for relation in COLUMNS:
        pairs, expected = getattr(split.train, relation), getattr(whole, relation)
        assert len(pairs) == len(expected)
        if relation != "sells":  # whose counter of all time is not told
            assert sorted(pairs.counts.tolist()) == sorted(expected.counts.tolist())
    assert split.num_unknown == len(split.held_out) == 0


def test_the_counter_of_what_a_streamer_sells_is_not_told() -> None:
    past = [("sells", 0, 0, 1, 2), ("sells", 0, 0, 5, 2)]
    train = time_split(timeline([*past, ("sells", 0, 0, 100, 9)]), CUTOFF_MS).train
    assert (train.sells.counts.tolist(), train.sells.last_at.tolist()) == ([1], [HOUR_MS])


@pytest.mark.parametrize(("share", "num_later"), [(0.0, 0), (0.1, 1), (0.3, 3), (1.0, 10)])
def test_the_cutoff_parts_the_purchases_by_their_share(share: float, num_later: int) -> None:
    found = timeline([("buys", 0, 0, hour, 1) for hour in range(10)])
    assert int((found.buys.at >= cutoff_by_share(found, share)).sum()) == num_later


def test_purchases_of_one_moment_are_not_parted() -> None:
    found = timeline([("buys", n % 5, n % 3, 7, 1) for n in range(10)])
    assert (found.buys.at >= cutoff_by_share(found, 0.2)).all()
