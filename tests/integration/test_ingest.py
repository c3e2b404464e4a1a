"""The ingester on real services: what events make of the graph, once each."""

from datetime import datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph_schema.events import Event, UserBought, UserErased, UserUpserted, UserViewed, UserWatched
from lsec.core.event_log import decode_changes
from tests.integration.graph_dump import dump_graph
from tests.integration.ingest_stack import AT, KEYS, IngestStack
from tests.unit.ingest.event_lists import MOMENTS, event_lists
from tests.unit.ingest.expected_graph import OF_MINUTES, expected_graph
from workers.ingest.apply import GraphWriter, Offset
from workers.ingest.prepare import prepare

on_services = settings(
    max_examples=12,
    deadline=None,
    # `wipe` gives each example a fresh graph and log on the same services.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


def views_of_few(num: int, *, prefix: str = "v") -> list[Event]:
    return [
        UserViewed(event_id=f"{prefix}{i}", at=AT, user_id=f"u{i % 7}", product_id=f"p{i % 3}")
        for i in range(num)
    ]


@on_services
@given(st.data(), event_lists(erasures=False, max_size=60), st.integers(1, 20), st.integers(1, 12))
def test_any_order_repetition_and_batching_give_the_same_graph(
    stack: IngestStack, data: st.DataObject, events: list[Event], batch_events: int, chunk: int
) -> None:
    stack.wipe()
    shuffled = data.draw(st.permutations(events + events))
    for start in range(0, len(shuffled), chunk):
        stack.append(shuffled[start : start + chunk])
    stack.drain(batch_events=batch_events)
    assert dump_graph(stack.driver) == expected_graph(events)


@on_services
@given(st.data(), event_lists(erasures=True, max_size=60), st.integers(1, 20))
def test_an_erasure_may_come_at_any_place(
    stack: IngestStack, data: st.DataObject, events: list[Event], batch_events: int
) -> None:
    stack.wipe()
    shuffled = data.draw(st.permutations(events))
    for start in range(0, len(shuffled), 5):
        stack.append(shuffled[start : start + 5])
    stack.drain(batch_events=batch_events)
    found = {key: record for key, record in dump_graph(stack.driver).items() if key[0] not in OF_MINUTES}
    expected = expected_graph(events)
    assert found == {key: record for key, record in expected.items() if key[0] not in OF_MINUTES}


def test_indexes_are_dense_from_zero(stack: IngestStack) -> None:
    stack.append(views_of_few(20))
    ingester = stack.drain()
    stack.append(views_of_few(40, prefix="w"))
    stack.append([UserUpserted(event_id="n", at=AT, user_id="new")])
    stack.drain(ingester)
    for label, num in (("User", 8), ("Product", 3)):
        rows, _, _ = stack.driver.execute_query(
            "MATCH (n) WHERE labels(n)[0] = $label RETURN n.index AS index ORDER BY index", label=label
        )
        assert [row["index"] for row in rows] == list(range(num))


def test_a_kill_between_commit_and_mirror_changes_nothing_but_is_told(stack: IngestStack) -> None:
    stack.append(views_of_few(10))
    stack.drain()
    mirror, changes = stack.client.hgetall(KEYS.committed), stack.client.xlen(KEYS.changes)
    stack.append(views_of_few(10, prefix="w"))
    stack.drain()
    before = dump_graph(stack.driver)
    stack.client.delete(KEYS.committed)
    stack.client.hset(KEYS.committed, mapping=mirror)
    stack.client.xtrim(KEYS.changes, maxlen=changes, approximate=False)
    stack.drain()
    assert dump_graph(stack.driver) == before
    assert stack.committed_total() == 20
    told = stack.client.xrange(KEYS.changes)
    assert len(told) == changes + 1
    told_of = decode_changes(told[-1][1][b"c"])
    # Nobody knows any more which products it made, so all that it mentions are told.
    assert [change for change in told_of if change[0] != "product"] == [("user", f"u{i}") for i in range(7)]
    assert {kind for kind, _ in told_of} == {"product", "user"}


def test_a_retry_past_the_window_repeats_no_purchase(stack: IngestStack) -> None:
    purchase = UserBought(event_id="b", at=AT, user_id="u", product_id="p", stream_id="t", amount=5)
    stack.append([purchase])
    ingester = stack.drain()
    stack.client.delete(KEYS.id_prefix + "b")
    assert stack.append([purchase]).num_accepted == 1
    stack.drain(ingester)
    assert dump_graph(stack.driver) == expected_graph([purchase])


def test_purchases_carry_their_batch_and_shard(stack: IngestStack) -> None:
    for name in ("a", "b"):
        stack.append([UserBought(event_id=name, at=AT, user_id="u", product_id="p")])
    stack.drain(batch_events=1)
    rows, _, _ = stack.driver.execute_query(
        "MATCH ()-[b:BOUGHT]->() RETURN b.seq AS seq, b.shard AS shard ORDER BY b.event_id"
    )
    assert [(row["seq"], row["shard"]) for row in rows] == [(1, 0), (2, 0)]
    offset, _, _ = stack.driver.execute_query(
        "MATCH (o:IngestOffset) RETURN o.seq AS seq, o.num_events AS num"
    )
    assert dict(offset[0]) == {"seq": 2, "num": 2}


def test_nodes_that_are_gone_are_made_again(stack: IngestStack) -> None:
    stack.append(views_of_few(5))
    ingester = stack.drain()
    stack.driver.execute_query("MATCH (n:User|Product) DETACH DELETE n")
    again = views_of_few(5, prefix="w")
    stack.append(again)
    stack.drain(ingester)
    assert dump_graph(stack.driver) == expected_graph(again)


def test_a_purchase_of_nodes_that_are_gone_makes_them_again(stack: IngestStack) -> None:
    stack.append([UserBought(event_id="b", at=MOMENTS[0], user_id="u", product_id="p")])
    ingester = stack.drain()
    stack.driver.execute_query("MATCH (n:User|Product) DETACH DELETE n")
    again = UserBought(event_id="c", at=MOMENTS[0], user_id="u", product_id="p")
    stack.append([again])
    stack.drain(ingester)
    assert stack.dead_letters() == []
    assert dump_graph(stack.driver) == expected_graph([again])


def test_an_erased_user_comes_back_with_newer_events_only(stack: IngestStack) -> None:
    old = UserViewed(event_id="old", at=MOMENTS[0], user_id="u", product_id="p")
    new = UserWatched(event_id="new", at=MOMENTS[-1], user_id="u", streamer_id="s", seconds=1)
    erasure = UserErased(event_id="x", at=MOMENTS[1], user_id="u")
    stack.append([old])
    ingester = stack.drain()
    stack.driver.execute_query(
        "MATCH (u:User) CREATE (u)-[:HAS_SLATE]->(:Slate {release_id: 'r', user_id: u.id})"
    )
    for events in (
        [erasure],
        [new],
        [UserViewed(event_id="late", at=MOMENTS[0], user_id="u", product_id="p")],
    ):
        stack.append(events)
        stack.drain(ingester)
    assert dump_graph(stack.driver) == expected_graph([old, erasure, new])
    counts, _, _ = stack.driver.execute_query("MATCH (s:Slate) RETURN count(s) AS num")
    assert counts[0]["num"] == 0


def test_erased_data_stays_away_after_the_known_ids_were_forgotten(stack: IngestStack) -> None:
    writer = GraphWriter(stack.driver, shard=0, pause=lambda _: True, max_known=4)
    held = Offset("epoch", "0-0", 0)
    writer.adopt(held)

    def visit(event_id: str, user_id: str, at: datetime) -> Event:
        return UserViewed(event_id=event_id, at=at, user_id=user_id, product_id="p")

    erased = UserErased(event_id="x", at=MOMENTS[1], user_id="u")
    back = visit("back", "u", MOMENTS[-1])
    crowd = [visit(f"c{i}", f"c{i}", MOMENTS[-1]) for i in range(4)]
    # The last but one batch finds more known than is kept, and is about the erased user.
    again = visit("again", "u", MOMENTS[-1])
    late = visit("late", "u", MOMENTS[0])
    batches: list[list[Event]] = [[visit("old", "u", MOMENTS[0])], [erased], [back], crowd, [again], [late]]
    for number, events in enumerate(batches, start=1):
        moved = Offset("epoch", f"{number}-0", held.num_events + len(events))
        writer.apply(prepare(events), held=held, moved=moved)
        held = moved
    found, expected = dump_graph(stack.driver), expected_graph([erased, back, *crowd, again])
    assert found == expected


def test_a_full_batch_takes_whole_chunks(stack: IngestStack) -> None:
    for name, num in (("a", 2), ("b", 3), ("c", 12), ("d", 1)):
        stack.append(views_of_few(num, prefix=name))
    ingester = stack.ingester(batch_events=5)
    assert [ingester.step(block_ms=1) for _ in range(4)] == [2, 1, 1, 0]


def test_committed_chunks_are_trimmed_and_others_are_not(stack: IngestStack) -> None:
    eager = IngestStack(
        stack.settings.model_copy(update={"log_retention_s": 0}), stack.driver, stack.client, stack.engine
    )
    for i in range(300):
        stack.append(views_of_few(1, prefix=f"{i}-"))
    ingester = eager.drain(eager.ingester(batch_events=100))
    stack.append(views_of_few(5, prefix="late"))
    ingester.trim()
    held = stack.client.xrange(KEYS.log)
    assert held[-1][1][b"n"] == b"5"
    assert len(held) < 200
    stack.drain()
    assert stack.committed_total() == 305
