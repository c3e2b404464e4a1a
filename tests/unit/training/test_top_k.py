"""The top k with ties against a stable sort."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from workers.training.top_k import top_k


@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from([1, 3, 50]))
def test_equal_scores_stand_in_column_order(seed: int, k: int, num_values: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, num_values, (6, 12), generator=generator).float()
    values, columns = top_k(scores, k)
    expected = scores.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, expected.values[:, :k])
    assert torch.equal(columns, expected.indices[:, :k])


def test_what_is_masked_comes_last() -> None:
    scores = torch.tensor([[-torch.inf, 2.0, -torch.inf, -torch.inf, 2.0]])
    values, columns = top_k(scores, 3)
    assert columns[0, :2].tolist() == [1, 4]
    assert values[0].tolist() == [2.0, 2.0, -torch.inf]
