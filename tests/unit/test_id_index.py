"""Rows by id: found by hash as by a search through all."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lsec.core.id_index import IdIndex

IDS = st.text(st.characters(codec="utf-8"), max_size=12)


def index(ids: list[str]) -> IdIndex:
    packed = np.array([id_.encode() for id_ in ids] or np.empty(0, "S1"))
    return IdIndex(packed, np.argsort(packed, kind="stable"))


@given(st.lists(IDS, max_size=40), st.lists(IDS, max_size=10))
def test_a_row_is_the_first_that_has_the_id(ids: list[str], others: list[str]) -> None:
    found = index(ids)
    # What numpy keeps of an id with NULs at its end is another id.
    kept = [id_.rstrip("\0") for id_ in ids]
    for id_ in [*ids, *others, "x" * 50]:
        is_there = id_ in kept and not id_.endswith("\0")
        assert found.row(id_) == (kept.index(id_) if is_there else None)


def test_ids_that_follow_on_each_other_do_not_crowd() -> None:
    for form in ("u{}", "user-{:08d}", "{:x}", "shop:{}:7"):
        found = index([form.format(number) for number in range(100_000)])
        is_taken = np.frombuffer(found._slots, np.int32) >= 0
        ends = np.flatnonzero(np.diff(is_taken, prepend=False, append=False))
        assert (ends[1::2] - ends[::2]).max() < 60
        assert all(found.row(form.format(number)) == number for number in range(0, 100_000, 997))


def test_many_rows_without_an_id_are_no_hindrance() -> None:
    found = index([""] * 50_000 + ["u1", "u2"])
    assert [found.row(id_) for id_ in ("", "u1", "u2", "u3")] == [0, 50_000, 50_001, None]
    assert np.count_nonzero(np.frombuffer(found._slots, np.int32) >= 0) == 3
