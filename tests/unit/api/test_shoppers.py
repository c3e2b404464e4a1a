"""Who is served from a new release's slate at once, without a question to the graph."""

from typing import Any

import numpy as np
import pytest

from bench.memory_release import manifest
from lsec.api.stores.settled_users import still_settled
from lsec.api.stores.shoppers import Shoppers
from lsec.core.artifact import Artifact
from lsec.serving.catalog import Catalog
from lsec.serving.shelf import Shelf
from tests.unit.serving.market import artifact

PRODUCTS = [f"p{number}" for number in range(4)]


def release(users: str, *, seq: int = 5, shard: int = 0, position: str = "1000000-0") -> Artifact:
    """One whose users are letters, in this order, and all have a slate."""
    found: Any = artifact(
        PRODUCTS, bought={user: [0] for user in users}, slates={user: [1, 2] for user in users}
    )
    positions = [{"shard": shard, "seq": seq, "position": position}]
    object.__setattr__(found, "manifest", manifest(positions=positions))
    return found  # type: ignore[no-any-return]


def settled(before: Artifact, after: Artifact, heard_of: str = "") -> str:
    is_settled = np.array([user != b"c" for user in before.user_ids.tolist()])
    found = still_settled(after, before, is_settled, list(heard_of))
    return "".join(user.decode() for user in after.user_ids[found].tolist())


def test_who_was_settled_and_was_not_heard_of_still_is() -> None:
    assert settled(release("abcd"), release("dxba", seq=6, position="2000000-0")) == "dba"
    assert settled(release("abcd"), release("dxba"), heard_of="bxz") == "da"


@pytest.mark.parametrize("other", [{"seq": 4}, {"shard": 1}, {"position": "900000-0"}])
def test_of_an_earlier_snapshot_or_another_shard_nothing_follows(other: dict[str, Any]) -> None:
    assert settled(release("abcd"), release("abcd", **other)) == ""


async def test_a_settled_user_is_served_from_the_next_release_without_the_graph() -> None:
    # There is no graph: a question to it would raise.
    shoppers = Shoppers(None)  # type: ignore[arg-type]
    first, second = (Shelf(each, Catalog(each.products)) for each in (release("ab"), release("cba", seq=7)))
    shoppers.begin(first)
    shoppers._is_clean[:] = True
    shoppers.changed("b", has_new_taste=True)
    assert second.artifact is not None
    await shoppers.expect(second.artifact)
    shoppers.begin(second)
    known, is_current = await shoppers.known("a", second)
    assert is_current
    assert known.ranking is not None
    assert known.ranking.user_row == 2
    assert not shoppers._is_clean[:2].any()
    await shoppers.expect(release("a", seq=8))
    shoppers.begin(second, is_same_graph=False)
    assert not shoppers._is_clean.any()
