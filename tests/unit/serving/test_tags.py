"""Tags answer as a dictionary of sets would, whatever is changed and moved."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lsec.serving.tags import Tags

NUM_ROWS = 6
names = st.lists(st.sampled_from("abcde"), max_size=3, unique=True)


@given(
    filled=st.dictionaries(st.integers(0, NUM_ROWS - 1), names),
    put=st.lists(st.tuples(st.integers(0, NUM_ROWS + 2), names)),
    order=st.permutations(range(NUM_ROWS + 3)),
    dropped=st.sets(st.integers(0, NUM_ROWS + 2)),
)
def test_tags_answer_as_a_dictionary_of_sets_would(
    filled: dict[int, list[str]],
    put: list[tuple[int, list[str]]],
    order: list[int],
    dropped: set[int],
) -> None:
    tags = Tags(NUM_ROWS)
    tags.fill(filled, num_rows=NUM_ROWS)
    model = {row: set(has) for row, has in filled.items()}
    for row, has in put:
        tags.put(row, has)
        model[row] = set(has)
    check(tags, model)
    new_row = np.array([-1 if row in dropped else place for row, place in enumerate(order)])
    moved = tags.moved(new_row, num_rows=len(order))
    check(moved, {order[row]: has for row, has in model.items() if row not in dropped})
    assert {moved.of(order[row]) for row in model if row not in dropped} == {
        tags.of(row) for row in model if row not in dropped
    }


def check(tags: Tags, model: dict[int, set[str]]) -> None:
    for wanted in ("a", "bc", "abcde", "z"):
        expected = sorted(row for row, has in model.items() if has.intersection(wanted))
        assert tags.rows_with(wanted).tolist() == expected
    assert all(len(tags.of(row)) == len(has) for row, has in model.items())
