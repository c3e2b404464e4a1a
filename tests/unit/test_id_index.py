"""Rows by id: found by hash as by a search through all."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lsec.core.id_index import IdIndex

IDS = st.text(st.characters(codec="utf-8"), max_size=12)


def index(ids: list[str]) -> IdIndex:
    packed = np.array([id_.encode() for id_ in ids] or np.empty(0, "S1"))
    return IdIndex(packed, np.argsort(packed, kind="stable"))


def hashed_index(ids: list[str]) -> IdIndex:
    found = index(ids)
    found.hash()
    return found


def without_nuls(packed: bytes) -> str:
    return packed.decode().rstrip("\0")


def taken(found: IdIndex) -> NDArray[np.bool_]:
    assert found.slots is not None
    return np.frombuffer(found.slots, np.int32) >= 0


@given(st.lists(IDS, max_size=40), st.lists(IDS, max_size=10))
def test_a_row_is_the_first_that_has_the_id(ids: list[str], others: list[str]) -> None:
    searched, hashed = index(ids), hashed_index(ids)
    # What numpy keeps of an id with NULs at its end is another id.
    kept = [id_.rstrip("\0") for id_ in ids]
    for id_ in [*ids, *others, "x" * 50]:
        is_there = id_ in kept and not id_.endswith("\0")
        expected = kept.index(id_) if is_there else None
        assert searched.row(id_) == hashed.row(id_) == expected
    asked = np.array([id_.encode() for id_ in [*ids, *others, "x" * 50]])
    expected_rows = [kept.index(id_) if id_ in kept else -1 for id_ in map(without_nuls, asked.tolist())]
    assert searched.find(asked).tolist() == expected_rows


def test_ids_that_follow_on_each_other_do_not_crowd() -> None:
    for form in ("u{}", "user-{:08d}", "{:x}", "shop:{}:7"):
        found = hashed_index([form.format(number) for number in range(100_000)])
        is_taken = taken(found)
        ends = np.flatnonzero(np.diff(is_taken, prepend=False, append=False))
        assert (ends[1::2] - ends[::2]).max() < 60
        assert all(found.row(form.format(number)) == number for number in range(0, 100_000, 997))


def test_many_rows_without_an_id_are_no_hindrance() -> None:
    found = hashed_index([""] * 50_000 + ["u1", "u2"])
    assert [found.row(id_) for id_ in ("", "u1", "u2", "u3")] == [0, 50_000, 50_001, None]
    assert np.count_nonzero(taken(found)) == 3
