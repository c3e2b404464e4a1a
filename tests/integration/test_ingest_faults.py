"""What the ingester does with bad data, broken statements, foreign logs and rivals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import neo4j
import neo4j.exceptions
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from graph_schema.events import Event, UserBought, UserUpserted
from lsec.core.errors import LogMismatch
from lsec.core.event_log import decode_event, encode_chunk
from lsec.core.ledger import DeadLetter
from lsec.core.settings import Settings
from tests.integration.graph_dump import dump_graph
from tests.integration.ingest_stack import AT, KEYS, MAX_COUNT, IngestStack, views
from tests.unit.ingest.expected_graph import expected_graph
from workers.ingest.entries import WHOLE_CHUNK, LoggedEvent
from workers.ingest.faults import DataFault, fault_of
from workers.ingest.letters import dead_letter, store_dead_letters


def test_a_chunk_that_cannot_be_decoded_becomes_one_dead_letter(stack: IngestStack) -> None:
    stack.append(views(3))
    entry_id = stack.append_raw(4, b"\xc1 not msgpack")
    stack.append(views(3, prefix="w"))
    stack.drain()
    (letter,) = stack.dead_letters()
    assert (letter.entry_id, letter.position, letter.shard) == (entry_id, WHOLE_CHUNK, 0)
    assert letter.payload == b"\xc1 not msgpack"
    assert dump_graph(stack.driver) == expected_graph(views(3) + views(3, prefix="w"))
    assert stack.committed_total() == 10


@pytest.mark.parametrize("num_events", [-2, 2**32])
def test_a_number_of_events_that_no_chunk_has_stops_nothing(stack: IngestStack, num_events: int) -> None:
    stack.append(views(3))
    stack.append_raw(num_events, encode_chunk(views(1, prefix="lost")))
    stack.append(views(3, prefix="w"))
    stack.drain()
    assert [letter.position for letter in stack.dead_letters()] == [WHOLE_CHUNK]
    assert dump_graph(stack.driver) == expected_graph(views(3) + views(3, prefix="w"))


def test_an_entry_of_another_writer_stops_nothing(stack: IngestStack) -> None:
    stack.append(views(3))
    stack.client.xadd(KEYS.log, {"hello": "world"})
    stack.append(views(3, prefix="w"))
    stack.drain(batch_events=1)
    assert [letter.position for letter in stack.dead_letters()] == [WHOLE_CHUNK]
    assert stack.committed_total() == 6


def test_a_damaged_event_leaves_its_chunk_alone(stack: IngestStack) -> None:
    first, second, third = (encode_chunk([event]) for event in views(3))
    stack.append_raw(3, first + second.replace(b"user.viewed", b"user.flewed") + third)
    stack.drain()
    (letter,) = stack.dead_letters()
    assert letter.position == 1
    assert "user.flewed" in letter.reason
    assert dump_graph(stack.driver) == expected_graph([views(3)[0], views(3)[2]])


def test_events_that_the_graph_refuses_are_kept_and_the_others_go_in(stack: IngestStack) -> None:
    stack.append(views(6))
    ingester = stack.drain()
    stack.set_view_counts(MAX_COUNT, users=["u2", "u4"])
    stack.append(views(6, prefix="w"))
    stack.append([UserUpserted(event_id="n", at=AT, user_id="u9", name="Nine")])
    stack.drain(ingester)
    letters = stack.dead_letters()
    assert [letter.event_id for letter in letters] == ["w2", "w4"]
    assert [decode_event(letter.payload) for letter in letters] == [views(6, prefix="w")[i] for i in (2, 4)]
    graph = dump_graph(stack.driver)
    assert graph["User", "u9"]["name"] == "Nine"
    assert [graph["VIEWED", f"u{i}", "p", "", "", AT.date()]["count"] for i in (0, 1, 3, 5)] == [2] * 4
    assert stack.committed_total() == 13


def test_an_isolation_that_is_done_again_keeps_one_dead_letter(stack: IngestStack) -> None:
    stack.append_raw(1, b"\xc1")
    stack.drain()
    stack.driver.execute_query("MATCH (o:IngestOffset) SET o.position = '0-0', o.num_events = 0")
    stack.drain()
    assert len(stack.dead_letters()) == 1


def test_a_letter_goes_when_its_batch_was_not_committed_and_the_graph_takes_the_event_after_all(
    stack: IngestStack,
) -> None:
    stack.drain()
    first, second = views(2)
    entry_id = stack.append([first, second]).entry_id
    assert entry_id is not None
    epoch = stack.client.get(KEYS.epoch).decode()
    for index, event in ((0, first), (1, second)):
        logged = LoggedEvent(entry_id, index, encode_chunk([event]), event)
        store_dead_letters(stack.engine, [dead_letter(logged, "was refused", epoch=epoch, shard=0)])
    stack.drain()
    assert stack.dead_letters() == []
    assert dump_graph(stack.driver) == expected_graph([first, second])


def test_a_letter_that_was_corrected_and_replayed_stays_so_when_its_batch_is_isolated_again(
    stack: IngestStack,
) -> None:
    stack.append_raw(2, encode_chunk(views(1)) + b"\xc1")
    stack.drain()
    with Session(stack.engine) as session, session.begin():
        session.execute(update(DeadLetter).values(payload=b"corrected", fixed_at=AT, replayed_at=AT))
    stack.driver.execute_query("MATCH (o:IngestOffset) SET o.position = '0-0', o.num_events = 0")
    stack.drain()
    (letter,) = stack.dead_letters()
    assert (letter.payload, letter.fixed_at, letter.replayed_at) == (b"corrected", AT, AT)


def test_what_can_be_read_of_a_damaged_event_is_its_id_and_a_reason_without_nul(stack: IngestStack) -> None:
    damaged = encode_chunk(views(1)).replace(b"user.viewed", b"user.view\x00d")
    stack.append_raw(1, damaged)
    stack.drain()
    (letter,) = stack.dead_letters()
    assert (letter.event_id, letter.payload) == ("v0", damaged)
    assert "user.view\ufffdd" in letter.reason


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UNWIND $rows AS row MERGE (n:Test {id: row.id} SET n.x = 1", type(None)),
        ("UNWIND $rows AS row RETURN rows.id", type(None)),
        ("UNWIND $missing AS row RETURN row", type(None)),
        ("CALL no.such.procedure($rows)", type(None)),
        ("UNWIND $rows AS row RETURN row.largest + 1", DataFault),
        ("UNWIND $rows AS row RETURN date({year: row.largest})", DataFault),
        ("UNWIND $rows AS row CREATE (:Test {id: row})", DataFault),
        ("UNWIND $rows AS row RETURN datetime({epochMillis: row.id})", DataFault),
    ],
)
def test_a_broken_statement_is_no_fault_of_the_data(
    neo4j_driver: neo4j.Driver, statement: str, kind: type
) -> None:
    with neo4j_driver.session() as session, session.begin_transaction() as tx:
        with pytest.raises(neo4j.exceptions.Neo4jError) as caught:
            tx.run(statement, rows=[{"id": "a", "largest": 2**63 - 1}]).consume()
        tx.rollback()
    assert type(fault_of(caught.value)) is kind, caught.value.code


def test_a_write_in_a_session_for_reading_is_no_fault_of_the_data(neo4j_driver: neo4j.Driver) -> None:
    reading = neo4j_driver.session(default_access_mode=neo4j.READ_ACCESS)
    with reading as session, pytest.raises(neo4j.exceptions.Neo4jError) as caught:
        session.run("CREATE (:Test)").consume()
    assert fault_of(caught.value) is None


def test_a_request_with_repeated_events_keeps_each_once(stack: IngestStack) -> None:
    result = stack.append(views(3) + views(2) + views(1, prefix="w"))
    assert (result.num_accepted, result.total, result.duplicates) == (4, 4, [3, 4])
    again = stack.append(views(3))
    assert (again.entry_id, again.num_accepted, again.total, again.duplicates) == (None, 0, 4, [0, 1, 2])
    assert stack.client.xlen(KEYS.log) == 1


def test_a_new_log_under_an_old_graph_stops_the_ingester(stack: IngestStack) -> None:
    stack.append(views(3))
    stack.drain()
    stack.client.flushdb()
    with pytest.raises(LogMismatch, match=r"empty.*--adopt-log"):
        stack.ingester()
    stack.append(views(3, prefix="w"))
    with pytest.raises(LogMismatch, match="--adopt-log"):
        stack.ingester()
    stack.drain(stack.ingester(adopt_log=True))
    assert dump_graph(stack.driver) == expected_graph(views(3) + views(3, prefix="w"))
    assert stack.committed_total() == 3
    stack.drain()


def test_a_running_ingester_notices_a_new_log(stack: IngestStack) -> None:
    stack.append(views(3))
    ingester = stack.drain()
    stack.client.flushdb()
    stack.append(views(2, prefix="w"))
    with pytest.raises(LogMismatch):
        stack.drain(ingester)
    assert dump_graph(stack.driver) == expected_graph(views(3))


@pytest.mark.parametrize("later", [0, 2])
def test_a_gap_in_the_log_stops_the_ingester_until_it_is_adopted(stack: IngestStack, later: int) -> None:
    stack.append(views(3))
    stack.drain()
    stack.append(views(4, prefix="lost"))
    stack.client.xtrim(KEYS.log, maxlen=0, approximate=False)
    if later:
        stack.append(views(later, prefix="w"))
    with pytest.raises(LogMismatch, match="4 events"):
        stack.drain()
    stack.drain(stack.ingester(adopt_log=True))
    assert dump_graph(stack.driver) == expected_graph(views(3) + views(later, prefix="w"))


def test_a_new_graph_under_a_trimmed_log_stops_the_ingester(stack: IngestStack) -> None:
    stack.append(views(3))
    stack.client.xtrim(KEYS.log, maxlen=0, approximate=False)
    stack.append(views(3, prefix="w"))
    with pytest.raises(LogMismatch, match="3 events missing"):
        stack.ingester()


def test_two_ingesters_of_one_shard_apply_each_event_once(stack: IngestStack) -> None:
    purchases: list[Event] = [
        UserBought(event_id=f"b{i}", at=AT, user_id=f"u{i % 5}", product_id="p") for i in range(20)
    ]
    everything = views(40) + purchases
    for start in range(0, len(everything), 3):
        stack.append(everything[start : start + 3])
    rivals = [stack.ingester(batch_events=7), stack.ingester(batch_events=4)]
    for turn in range(200):
        rivals[turn % 2].step(block_ms=1)
        if stack.committed_total() == len(everything):
            break
    assert dump_graph(stack.driver) == expected_graph(everything)
    assert stack.committed_total() == len(everything)


@pytest.mark.slow
def test_the_process_drains_stands_by_takes_over_and_ends_on_sigterm(stack: IngestStack) -> None:
    first = _process(stack.settings)
    try:
        stack.append(views(50))
        _wait_until(lambda: stack.committed_total() == 50)
        second = _process(stack.settings)
        try:
            first.kill()
            first.wait()
            stack.append(views(50, prefix="w"))
            _wait_until(lambda: stack.committed_total() == 100)
            assert stack.client.exists(KEYS.ingester)
            second.send_signal(signal.SIGTERM)
            assert second.wait(timeout=20) == 0
            assert not stack.client.exists(KEYS.ingester)
        finally:
            second.kill()
            second.wait()
    finally:
        first.kill()
        first.wait()
    assert dump_graph(stack.driver) == expected_graph(views(50) + views(50, prefix="w"))


@pytest.mark.slow
def test_the_process_ends_with_two_when_log_and_graph_do_not_belong_together(stack: IngestStack) -> None:
    stack.append(views(3))
    stack.drain()
    stack.client.flushdb()
    process = _process(stack.settings)
    assert process.wait(timeout=60) == 2


def _process(settings: Settings) -> subprocess.Popen[bytes]:
    environment = {
        "LSEC_NEO4J_URL": settings.neo4j_url,
        "LSEC_NEO4J_USER": settings.neo4j_user,
        "LSEC_NEO4J_PASSWORD": settings.neo4j_password.get_secret_value(),
        "LSEC_LOG_URL": settings.log_url.get_secret_value(),
        "LSEC_SQL_URL": settings.ledger_url,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return subprocess.Popen([sys.executable, "-m", "workers.ingest"], env=os.environ | environment)


def _wait_until(condition: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the ingester did not get there in time"
        time.sleep(0.05)
