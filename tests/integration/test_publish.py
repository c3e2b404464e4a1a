"""Publications on a real graph: cut off, repeated, against each other; and the collecting of old ones."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import neo4j
import pytest

from bench.memory_release import artifact_in_memory
from bench.publish import fill, random_arrays
from lsec.core.artifact import Artifact
from lsec.core.erasures import user_hash
from lsec.core.errors import Conflict
from workers.collect import collect, collect_release, superseded
from workers.graph import read_rows, write_rows
from workers.publish import active_release, flip, publish

pytestmark = pytest.mark.usefixtures("clean_stack")

NUM_USERS, NUM_PRODUCTS = 4_500, 1_200
"""Three transactions of slates, and two of vectors."""
HELD = """
MATCH (r:Release {id: $id})
RETURN r.is_complete AS is_complete, r.num_slates AS num_slates,
  COUNT { MATCH (u:User)-[:HAS_SLATE]->(s:Slate {release_id: r.id}) WHERE s.user_id = u.id } AS num_linked,
  COUNT { MATCH (s:Slate) WHERE s.release_id = r.id } AS slates,
  COUNT { MATCH (v:Vector) WHERE v.release_id = r.id } AS vectors
"""
WHOLE = {"is_complete": True, "num_linked": NUM_USERS, "slates": NUM_USERS, "vectors": NUM_PRODUCTS}


class CutOff(Exception):
    """Ends a publication between two of its transactions."""


def release(release_id: str, **fields: Any) -> Artifact:
    arrays = random_arrays(NUM_USERS, NUM_PRODUCTS, dimensions=4)
    return artifact_in_memory(arrays, release_id=release_id, **fields)


def held(driver: neo4j.Driver, release_id: str) -> dict[str, Any]:
    """What the graph holds of a release."""
    records, _, _ = driver.execute_query(HELD, id=release_id)
    return records[0].data() if records else {}


def after(num_transactions: int, shares: list[float] | None = None) -> Callable[..., None]:
    """A check that cuts off what it checks after so many transactions, and notes the shares it is told."""
    left = iter(range(num_transactions))

    def check(share: float = 0.0) -> None:
        if next(left, None) is None:
            raise CutOff
        if shares is not None:
            shares.append(share)

    return check


def pointer(driver: neo4j.Driver) -> tuple[str | None, list[str]]:
    """The active release, and those before."""
    [row] = read_rows(driver, "publish/pointers")
    return row["release_id"], row["previous_ids"]


def test_a_publication_that_was_cut_off_goes_on_where_it_was_and_shows_nothing_before_its_end(
    neo4j_driver: neo4j.Driver,
) -> None:
    fill(neo4j_driver, NUM_USERS, NUM_PRODUCTS)
    first, second = release("rel_1"), release("rel_2")
    publish(neo4j_driver, first)
    shares: list[float] = []
    for _ in range(5):
        with pytest.raises(CutOff):
            publish(neo4j_driver, second, check=after(1, shares))
        assert active_release(neo4j_driver) == "rel_1"
    publish(neo4j_driver, second, check=shares.append)
    # Each attempt began where the one before had ended.
    assert shares == sorted(set(shares))
    assert (len(shares), shares[-1]) == (6, 1.0)
    assert held(neo4j_driver, "rel_2").items() >= (WHOLE | {"num_slates": NUM_USERS}).items()
    assert pointer(neo4j_driver) == ("rel_2", ["rel_1"])


def test_the_slates_are_the_artifacts(neo4j_driver: neo4j.Driver) -> None:
    fill(neo4j_driver, NUM_USERS, NUM_PRODUCTS)
    artifact = release("rel_1")
    artifact.slates[7, 3:] = -1
    publish(neo4j_driver, artifact)
    records, _, _ = neo4j_driver.execute_query(
        "MATCH (s:Slate {release_id: 'rel_1'}) "
        "RETURN s.user_id AS user_id, s.product_ids AS ids, s.scores AS scores"
    )
    assert len(records) == NUM_USERS
    for record in records:
        row = artifact.user_row(record["user_id"])
        assert row is not None
        assert list(zip(record["ids"], record["scores"], strict=True)) == artifact.slate(row)
    vectors, _, _ = neo4j_driver.execute_query("MATCH (v:Vector) RETURN v.item_id AS id, v.values AS values")
    rows = {record["id"]: record["values"] for record in vectors}
    assert [rows[i.decode()] for i in artifact.product_ids.tolist()] == artifact.product_vectors.tolist()


def at_once(*actions: Callable[[], object]) -> list[Exception | None]:
    """What each action raised, all begun together."""
    raised: list[Exception | None] = [None] * len(actions)
    together = threading.Barrier(len(actions))

    def act(place: int) -> None:
        together.wait()
        try:
            actions[place]()
        except Conflict as error:
            raised[place] = error

    threads = [threading.Thread(target=act, args=(place,)) for place in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_two_publications_of_one_release_share_the_work(neo4j_driver: neo4j.Driver) -> None:
    fill(neo4j_driver, NUM_USERS, NUM_PRODUCTS)
    artifact = release("rel_1")
    assert at_once(*[lambda: publish(neo4j_driver, artifact)] * 3) == [None] * 3
    assert held(neo4j_driver, "rel_1").items() >= (WHOLE | {"num_slates": NUM_USERS}).items()
    assert pointer(neo4j_driver) == ("rel_1", [])


def test_of_two_releases_published_at_once_one_wins_and_the_other_names_it(
    neo4j_driver: neo4j.Driver,
) -> None:
    fill(neo4j_driver, NUM_USERS, NUM_PRODUCTS)
    both = [release("rel_1"), release("rel_2")]
    raised = at_once(*(partial(publish, neo4j_driver, artifact) for artifact in both))
    winner = active_release(neo4j_driver)
    [conflict] = [error for error in raised if error is not None]
    loser = both[raised.index(conflict)].manifest.release_id
    assert {winner, loser} == {"rel_1", "rel_2"}
    assert str(winner) in str(conflict)
    assert pointer(neo4j_driver) == (winner, [])
    # Both are whole: the loser is a flip away from being active, for who says so.
    assert held(neo4j_driver, loser).items() >= WHOLE.items()
    publish(neo4j_driver, both[raised.index(conflict)], replaces=winner)
    assert pointer(neo4j_driver) == (loser, [winner])


def test_a_publication_that_is_repeated_late_takes_back_nothing(neo4j_driver: neo4j.Driver) -> None:
    fill(neo4j_driver, NUM_USERS, NUM_PRODUCTS)
    first, second, third = release("rel_1"), release("rel_2"), release("rel_3")
    with pytest.raises(CutOff):
        publish(neo4j_driver, first, check=after(2))
    publish(neo4j_driver, second)
    # It was to replace nothing, not what came while its worker was away.
    with pytest.raises(Conflict, match="rel_2 became active while rel_1"):
        publish(neo4j_driver, first)
    publish(neo4j_driver, third)
    publish(neo4j_driver, second)
    assert pointer(neo4j_driver) == ("rel_3", ["rel_2"])


def test_a_rollback_goes_back_along_what_was_active(neo4j_driver: neo4j.Driver) -> None:
    write = (
        "UNWIND ['a', 'b', 'c'] AS id CREATE (:Release {id: id, created_at: datetime(), is_complete: true})"
    )
    neo4j_driver.execute_query(write)
    for before, after_it in ((None, "a"), ("a", "b"), ("b", "c")):
        flip(neo4j_driver, after_it, expected=before)
    assert pointer(neo4j_driver) == ("c", ["b", "a"])
    flip(neo4j_driver, "b", expected="c", is_rollback=True)
    assert pointer(neo4j_driver) == ("b", ["a"])
    flip(neo4j_driver, "c", expected="b")
    assert pointer(neo4j_driver) == ("c", ["b", "a"])
    flip(neo4j_driver, "a", expected="c")
    assert pointer(neo4j_driver) == ("a", ["c", "b"])


def test_a_user_who_is_erased_while_slates_are_written_has_none(neo4j_driver: neo4j.Driver) -> None:
    fill(neo4j_driver, NUM_USERS, NUM_PRODUCTS)

    def erase(share: float) -> None:
        # As an erasure that had looked for the user's slates just before this one was written.
        if share > 0.5:
            rows = [{"user_hash": user_hash("U1"), "until": neo4j.time.Date(2026, 6, 1)}]
            write_rows(neo4j_driver, "ingest/set_tombstones", batch={"rows": rows})

    publish(neo4j_driver, release("rel_1"), check=erase)
    publish(neo4j_driver, release("rel_2"))
    records, _, _ = neo4j_driver.execute_query("MATCH (s:Slate {user_id: 'U1'}) RETURN s.release_id AS id")
    assert records == []
    assert held(neo4j_driver, "rel_2")["slates"] == NUM_USERS - 1


def test_a_release_that_is_being_collected_cannot_become_active_and_is_written_anew_when_asked(
    neo4j_driver: neo4j.Driver,
) -> None:
    fill(neo4j_driver, NUM_USERS, NUM_PRODUCTS)
    first, second = release("rel_1"), release("rel_2")
    publish(neo4j_driver, first)
    assert not collect_release(neo4j_driver, "rel_1")
    publish(neo4j_driver, second)
    with pytest.raises(CutOff):
        collect_release(neo4j_driver, "rel_1", check=after(3))
    assert 0 < held(neo4j_driver, "rel_1")["slates"] < NUM_USERS
    with pytest.raises(Conflict, match="rel_1 is not whole"):
        flip(neo4j_driver, "rel_1", expected="rel_2")
    publish(neo4j_driver, first, replaces="rel_2")
    assert pointer(neo4j_driver) == ("rel_1", ["rel_2"])
    assert held(neo4j_driver, "rel_1").items() >= WHOLE.items()
    with pytest.raises(CutOff):
        collect_release(neo4j_driver, "rel_2", check=after(0))
    # What has begun goes on, whatever is to be kept.
    assert collect(neo4j_driver, keep=9, pause=False) == ["rel_2"]
    assert held(neo4j_driver, "rel_2") == {}


def test_what_is_shown_was_shown_before_or_is_being_written_is_not_superseded(
    neo4j_driver: neo4j.Driver,
) -> None:
    neo4j_driver.execute_query(
        "UNWIND range(1, 6) AS i CREATE (:Release {id: 'r' + i, created_at: datetime({epochMillis: i}), "
        "is_complete: true, written_at: datetime()}) "
        "WITH count(*) AS _ UNWIND [['new', 0], ['left', 2]] AS each CREATE (:Release {id: each[0], "
        "created_at: datetime({epochMillis: 0}), is_complete: false, "
        "written_at: datetime() - duration({hours: each[1]})})"
    )
    flip(neo4j_driver, "r1", expected=None)
    flip(neo4j_driver, "r2", expected="r1")
    neo4j_driver.execute_query(
        "MATCH (r:Release {id: 'r3'}) CREATE (:ActivePointer {name: 'challenger'})-[:ACTIVE]->(r)"
    )
    assert superseded(neo4j_driver, keep=1) == ["left", "r5", "r4"]
