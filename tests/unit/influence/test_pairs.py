"""Sets of pairs against Python's own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lsec.influence.pairs import distinct, is_among, places_of, values_of

keys = st.lists(st.integers(-5, 20), max_size=30)


@given(keys, keys)
def test_keys_are_found_as_in_a_dictionary(given_keys: list[int], wanted: list[int]) -> None:
    found = distinct(np.array(given_keys, np.int64))
    asked = np.array(wanted, np.int64)
    assert found.tolist() == sorted(set(given_keys))
    places = {key: place for place, key in enumerate(found.tolist())}
    assert places_of(found, asked).tolist() == [places.get(key, -1) for key in wanted]
    assert is_among(found, asked).tolist() == [key in places for key in wanted]
    assert values_of(found, found + 100, asked).tolist() == [
        key + 100 if key in places else 0 for key in wanted
    ]
