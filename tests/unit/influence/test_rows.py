"""The columns of purchases and touches are checked once, when they are put together."""

import dataclasses

import numpy as np
import pytest

from lsec.influence.rows import TouchKind
from tests.unit.influence.touch_rows import purchases, touches


def test_rows_know_their_number() -> None:
    assert len(purchases((0, 1), (1, 2))) == 2
    assert len(touches((0, 3, 1))) == 1
    assert len(purchases()) == len(touches()) == 0


@pytest.mark.parametrize("rows", [purchases((0, 1), (1, 2)), touches((0, 3, 1), (0, 2, 2))])
def test_columns_of_different_lengths_are_refused(rows: object) -> None:
    assert dataclasses.is_dataclass(rows)
    with pytest.raises(ValueError, match=r"user has shape \(3,\), at has \(2,\)"):
        dataclasses.replace(rows, user=np.zeros(3, np.int64))  # type: ignore[type-var]  # is an instance
    with pytest.raises(ValueError, match="shape"):
        dataclasses.replace(rows, user=np.zeros((2, 1), np.int64))  # type: ignore[type-var]  # the same


def test_columns_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="amount is no array of int64"):
        dataclasses.replace(purchases((0, 1)), amount=np.array([1.5]))
    with pytest.raises(ValueError, match="is_refunded is no array of bool"):
        dataclasses.replace(purchases((0, 1)), is_refunded=np.array([0]))
    with pytest.raises(ValueError, match="kind is no array of int8"):
        dataclasses.replace(touches((0, 1, 2)), kind=np.array([1]))
    with pytest.raises(ValueError, match="at is no array of int64"):
        dataclasses.replace(touches((0, 1, 2)), at=[0])  # type: ignore[arg-type]  # that is the point


def test_the_numbers_of_the_kinds_stand() -> None:
    assert {kind.name: kind.value for kind in TouchKind} == {"FOLLOW": 0, "WATCH": 1, "VIEW": 2, "ENGAGE": 3}
