"""Pruning leaves exactly what is younger than the horizon, however often and whenever it is cut off."""

import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import neo4j
from hypothesis import HealthCheck, given, settings

from graph_schema.events import Event, ProductUpserted, UserBought, UserRefunded, UserViewed, UserWatched
from graph_schema.queries import load_query
from tests.integration.graph_dump import dump_graph
from tests.integration.ingest_stack import IngestStack
from tests.unit.ingest.event_lists import MOMENTS, event_lists
from tests.unit.ingest.expected_graph import Graph, expected_graph, utc_day
from workers.upkeep import retention
from workers.upkeep.retention import DONE, STEPS, count, prune, prune_all, read_cursor

HORIZON = date(2026, 6, 2)
"""Of the moments of the event lists, some are before and some after."""
IDLE = ("User", "Streamer", "Product")
on_services = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


def younger(graph: Graph) -> Graph:
    """The graph without what is of before the horizon, straight from the rules."""

    def is_old(at_ms: int | None) -> bool:
        return at_ms is not None and utc_day(at_ms) < HORIZON

    def goes(key: tuple[Any, ...], record: dict[str, Any]) -> bool:
        match key[0]:
            case "WATCHED" | "ENGAGED" | "VIEWED" | "CARTED" | "IMPRESSED":
                return bool(key[-1] < HORIZON)
            case "BOUGHT" | "UNFOLLOWED":
                return is_old(record["at"])
            case "Minute" | "HAS_MINUTE":
                return is_old(key[-1])
            case _:
                return False

    left = {key: record for key, record in graph.items() if not goes(key, record)}
    bought = {key[3] for key in graph if key[0] == "BOUGHT"}
    kept_bought = {key[3] for key in left if key[0] == "BOUGHT"}
    for key in [key for key in left if key[0] == "Refund"]:
        if key[1] in bought - kept_bought or (key[1] not in bought and is_old(left[key]["at"])):
            del left[key]
    for key in [key for key in left if key[0] == "Stream"]:
        times = left[key]
        ended = times.get("ended_at", times.get("started_at"))
        has_minute = any(each[0] == "Minute" and each[1] == key[1] for each in left)
        shown = [left[each]["last_at"] for each in left if each[0] == "SHOWCASED" and each[1] == key[1]]
        if (ended is None or is_old(ended)) and not has_minute and all(map(is_old, shown)):
            del left[key]
            for each in [e for e in left if (e[0] == "SHOWCASED" and e[1] == key[1]) or e == key]:
                del left[each]
            for each in [e for e in left if e[0] == "HOSTED" and e[2] == key[1]]:
                del left[each]
    ends = {(name, each) for key in left for name, each in _ends(key)}
    # A purchase names its streamer by id alone.
    ends |= {("Streamer", left[key]["streamer_id"]) for key in left if key[0] == "BOUGHT"}
    for key in [key for key in left if key[0] in IDLE and len(key) == 2]:
        record_at = left[key].get("record_at")
        if key not in ends and (record_at is None or is_old(record_at)):
            del left[key]
            for each in [e for e in left if e[0] == "IN" and ("Product", e[1]) == key]:
                del left[each]
    return left


def _ends(key: tuple[Any, ...]) -> list[tuple[str, str]]:
    match key[0]:
        case "WATCHED" | "ENGAGED" | "FOLLOWS" | "UNFOLLOWED":
            return [("User", key[1]), ("Streamer", key[2])]
        case "VIEWED" | "CARTED" | "IMPRESSED" | "BOUGHT" | "DISMISSED":
            return [("User", key[1]), ("Product", key[2])]
        case "SELLS":
            return [("Streamer", key[1]), ("Product", key[2])]
        case "HOSTED":
            return [("Streamer", key[1])]
        case "SHOWCASED":
            return [("Product", key[2])]
        case _:
            return []


@on_services
@given(event_lists(erasures=False, max_size=60))
def test_exactly_what_is_younger_stays(stack: IngestStack, events: list[Event]) -> None:
    stack.wipe()
    stack.append(events)
    stack.drain()
    before = dump_graph(stack.driver)
    counted = count(stack.driver, horizon=HORIZON)
    assert dump_graph(stack.driver) == before
    deleted = prune_all(stack.driver, horizon=HORIZON)
    assert dump_graph(stack.driver) == younger(expected_graph(events))
    assert {step: counted[step] for step in ("acts",)} == {step: deleted[step] for step in ("acts",)}
    assert not any(prune_all(stack.driver, horizon=HORIZON).values())


def market(num_users: int) -> list[Event]:
    """Each user did something before the horizon, and every third also after it."""
    events: list[Event] = []
    for n in range(num_users):
        for at in (MOMENTS[0], MOMENTS[-1])[: 2 if n % 3 == 0 else 1]:
            name = f"{n}-{at:%d}"
            events += [
                UserViewed(event_id=f"v{name}", at=at, user_id=f"u{n}", product_id=f"p{n % 7}"),
                UserWatched(event_id=f"w{name}", at=at, user_id=f"u{n}", streamer_id="s", seconds=1),
                UserBought(event_id=f"b{name}", at=at, user_id=f"u{n}", product_id=f"p{n % 7}"),
                UserRefunded(event_id=f"r{name}", at=at, user_id=f"u{n}", purchase_event_id=f"b{name}"),
            ]
    return events


def test_a_pruning_that_is_cut_off_goes_on_where_it_was(stack: IngestStack) -> None:
    events = market(5000)
    stack.append(events)
    stack.drain()
    steps, num_runs = [], 0
    while (cursor := read_cursor(stack.driver, HORIZON)).step != DONE:
        steps.append((cursor.step, cursor.start))
        prune(stack.driver, horizon=HORIZON, budget_s=0.001)
        num_runs += 1
    assert num_runs > len(STEPS)
    order = [*STEPS]
    assert steps == sorted(steps, key=lambda step: (order.index(step[0]), step[1]))
    assert max(start for step, start in steps if step == "acts") == 5000 - retention.NODES_PER_RANGE
    assert dump_graph(stack.driver) == younger(expected_graph(events))
    # What comes late is pruned with the next horizon, which begins anew.
    stack.append([UserViewed(event_id="late", at=MOMENTS[0], user_id="late", product_id="p1")])
    stack.drain()
    assert not any(prune(stack.driver, horizon=HORIZON, budget_s=60).values())
    later = prune(stack.driver, horizon=HORIZON + timedelta(days=1), budget_s=60)
    assert later["acts"] > 0
    assert not dump_graph(stack.driver)


def test_ingestion_goes_on_meanwhile(stack: IngestStack) -> None:
    rounds: list[list[Event]] = [
        [
            UserViewed(event_id=f"{n}-{i}", at=MOMENTS[-(i % 2)], user_id=f"u{i}", product_id=f"p{i}")
            for i in range(40)
        ]
        for n in range(30)
    ]
    stopped = threading.Event()
    failures: list[BaseException] = []
    num_prunings = [0]

    def keep_pruning() -> None:
        try:
            while not stopped.is_set():
                prune_all(stack.driver, horizon=HORIZON)
                num_prunings[0] += 1
        except BaseException as failure:  # noqa: BLE001 - the test tells of any
            failures.append(failure)

    ingester = stack.drain()
    pruner = threading.Thread(target=keep_pruning)
    pruner.start()
    try:
        for events in rounds:
            stack.append(events)
            stack.drain(ingester)
    finally:
        stopped.set()
        pruner.join()
    assert not failures
    assert num_prunings[0] > 1
    assert not [letter.reason for letter in stack.dead_letters()]
    prune_all(stack.driver, horizon=HORIZON)
    everything: Sequence[Event] = [event for events in rounds for event in events]
    assert dump_graph(stack.driver) == younger(expected_graph(everything))


def test_a_node_that_an_ingester_is_about_to_use_stays(stack: IngestStack) -> None:
    stack.driver.execute_query(
        "UNWIND ['record', 'act', 'idle'] AS id CREATE (:User {id: id, index: size(id)}) "
        "WITH count(*) AS _ CREATE (:Product {id: 'p', index: 0}), (:Stream {id: 't'}), "
        "(:IndexCounter {label: 'User', next: 9}), (:IndexCounter {label: 'Product', next: 1})"
    )
    deleted: list[dict[str, int]] = []
    pruner = threading.Thread(target=lambda: deleted.append(prune_all(stack.driver, horizon=HORIZON)))
    with stack.driver.session() as session, session.begin_transaction() as tx:
        # It holds the nodes; the pruning has seen them idle by the time that it gets to them.
        tx.run(
            "MATCH (r:User {id: 'record'}), (a:User {id: 'act'}), (p:Product), (t:Stream) "
            "SET r.record_at = $at, t.ended_at = $at CREATE (a)-[:VIEWED {day: date($at)}]->(p)",
            at=MOMENTS[-1],
        ).consume()
        pruner.start()
        pruner.join(timeout=2)
        assert pruner.is_alive()
        tx.commit()
    pruner.join()
    left, _, _ = stack.driver.execute_query("MATCH (n:User|Product|Stream) RETURN n.id AS id ORDER BY id")
    assert [record["id"] for record in left] == ["act", "p", "record", "t"]
    assert sum(deleted[0].values()) == 1


def test_a_streamer_stays_as_long_as_a_purchase_names_it(stack: IngestStack) -> None:
    stack.append(
        [
            UserBought(event_id=f"b{at:%d}", at=at, user_id="u", product_id="p", streamer_id=f"s{at:%d}")
            for at in (MOMENTS[0], MOMENTS[-1])
        ]
    )
    stack.drain()
    prune_all(stack.driver, horizon=HORIZON)
    assert [key[1] for key in dump_graph(stack.driver) if key[0] == "Streamer"] == [f"s{MOMENTS[-1]:%d}"]


def test_purchases_of_an_idle_streamer_are_looked_up_in_their_index(stack: IngestStack) -> None:
    query = load_query("retention/idle_streamers")
    result = stack.driver.execute_query("EXPLAIN " + query.text, dict.fromkeys(query.parameters))
    plan = str(result.summary.plan)
    assert plan.count("INDEX ()-[:BOUGHT(streamer_id, at)]->()") == 2


def test_a_category_keeps_no_product(stack: IngestStack) -> None:
    for product_id, at in (("old", MOMENTS[0]), ("new", MOMENTS[-1])):
        stack.append(
            [ProductUpserted(event_id=product_id, at=at, product_id=product_id, categories=("tea",))]
        )
    stack.drain()
    assert prune_all(stack.driver, horizon=HORIZON)["idle_products"] == 1
    assert {key for key in dump_graph(stack.driver) if key[0] == "IN"} == {("IN", "new", "tea")}


def test_releases_and_tombstones_stay(stack: IngestStack) -> None:
    stack.driver.execute_query(
        "CREATE (:User {id: 'u', index: 0})-[:HAS_SLATE]->(:Slate {release_id: 'r', user_id: 'u'}), "
        "(:Tombstone {user_hash: 'h', until: date('2020-01-01')}), (:IndexCounter {label: 'User', next: 1})"
    )
    assert not any(prune_all(stack.driver, horizon=HORIZON).values())
    assert labels(stack.driver) == {"IndexCounter", "Slate", "Tombstone", "User", "Retention"}


def labels(driver: neo4j.Driver) -> set[str]:
    records, _, _ = driver.execute_query(
        "MATCH (n) WHERE NOT (n:__Neo4jMigration OR n:MigrationLock OR n:TestDatabase) "
        "RETURN DISTINCT labels(n)[0] AS label"
    )
    return {record["label"] for record in records}


def test_the_horizon_is_a_whole_day(stack: IngestStack) -> None:
    midnight = datetime(2026, 6, 2, tzinfo=UTC)
    ends = [midnight - timedelta(milliseconds=1), midnight]
    stack.append(
        [UserBought(event_id=f"b{n}", at=at, user_id="u", product_id="p") for n, at in enumerate(ends)]
    )
    stack.drain()
    prune_all(stack.driver, horizon=HORIZON)
    assert [key[3] for key in dump_graph(stack.driver) if key[0] == "BOUGHT"] == ["b1"]
