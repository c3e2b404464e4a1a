"""One stack for all tests of this folder; each streams a ledger of its own through it."""

from collections.abc import Iterator

import pytest

from tests.faults.faulty_stack import FaultyStack, faulty_stack


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyStack]:
    with faulty_stack(tmp_path_factory.mktemp("faulty")) as faulty:
        yield faulty
