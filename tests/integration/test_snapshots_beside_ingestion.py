"""A snapshot that is exported while the ingester writes holds exactly the purchases up to its position."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

import pyarrow.parquet as pq

from graph_schema.events import (
    Event,
    UserBought,
    UserErased,
    UserFollowed,
    UserRefunded,
    UserUnfollowed,
)
from tests.integration.ingest_stack import AT, IngestStack
from workers.graph import read_rows
from workers.snapshot import Scope, export_snapshot
from workers.snapshot_ranges import NODES_PER_RANGE, RANGES_AHEAD

NUM_RANGES = RANGES_AHEAD + 4
MANY = 25


def bought(number: int, *, user_id: str) -> UserBought:
    """A purchase that its moment tells from all others."""
    at = AT + timedelta(milliseconds=number)
    return UserBought(event_id=f"b{number}", at=at, user_id=user_id, product_id=f"p{number % 5}", amount=1)


def fill(stack: IngestStack) -> None:
    """Users at the begin and at the end of a long index; of some of them nothing may be exported."""
    early: list[Event] = [bought(n, user_id=f"early{n % MANY}") for n in range(MANY)]
    early += [bought(1000, user_id="refunder"), bought(1001, user_id="erased"), bought(1002, user_id="fan")]
    early += [
        UserFollowed(event_id="f1", at=AT, user_id="fan", streamer_id="s"),
        UserFollowed(event_id="f2", at=AT, user_id="early0", streamer_id="s"),
    ]
    stack.append(early)
    stack.drain()
    stack.driver.execute_query(
        "MATCH (c:IndexCounter {label: 'User'}) SET c.next = $next", next=NUM_RANGES * NODES_PER_RANGE
    )
    later = AT + timedelta(minutes=1)
    stack.append([bought(2000 + n, user_id=f"late{n}") for n in range(MANY)])
    stack.append(
        [
            UserRefunded(event_id="r", at=later, user_id="refunder", purchase_event_id="b1000"),
            UserUnfollowed(event_id="f3", at=later, user_id="fan", streamer_id="s"),
            UserErased(event_id="e", at=later, user_id="erased"),
        ]
    )
    stack.drain()


@contextmanager
def ingesting(stack: IngestStack) -> Iterator[None]:
    """Inside, an ingester commits purchases of all users, new ones too, batch after batch."""
    stop = threading.Event()
    faults: list[BaseException] = []

    def ingest() -> None:
        try:
            ingester = stack.ingester(batch_events=10)
            for number in count(10_000, 10):
                if stop.is_set():
                    return
                users = [f"early{n}" for n in range(5)] + [f"late{n}" for n in range(4)] + [f"new{number}"]
                stack.append([bought(number + n, user_id=user) for n, user in enumerate(users)])
                stack.drain(ingester)
        except BaseException as fault:
            faults.append(fault)
            raise

    thread = threading.Thread(target=ingest)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not faults


def test_purchases_are_those_up_to_the_position_though_ingestion_goes_on(
    stack: IngestStack, tmp_path: Path
) -> None:
    fill(stack)

    def seq() -> int:
        return int(read_rows(stack.driver, "export/positions")[0]["seq"])

    def wait_for_a_batch(_: float) -> None:
        before = seq()
        while seq() < before + 1:
            pass

    with ingesting(stack):
        manifest = export_snapshot(stack.driver, tmp_path / "snapshot", Scope(), check=wait_for_a_batch)
    [position] = manifest["positions"]
    # Batches came in while it was read: at least one for each range.
    assert seq() >= position["seq"] + NUM_RANGES
    records, _, _ = stack.driver.execute_query(
        "MATCH (u:User)-[b:BOUGHT]->(p) WHERE b.seq <= $seq AND b.refunded_at IS NULL "
        "RETURN u.id AS user, p.id AS product, b.at.epochMillis AS at_ms",
        seq=position["seq"],
    )
    expected = {(record["user"], record["product"], record["at_ms"]) for record in records}
    tables = {name: pq.read_table(tmp_path / "snapshot" / f"{name}.parquet") for name in manifest["counts"]}
    users, products = (tables[name]["id"].to_pylist() for name in ("users", "products"))
    rows = [
        (users[row["user"]], products[row["product"]], row["at_ms"]) for row in tables["buys"].to_pylist()
    ]
    assert len(rows) == len(set(rows))
    assert set(rows) == expected
    assert len(expected) >= 2 * MANY
    assert not {"refunder", "erased"} & set(users)
    assert [users[row["user"]] for row in tables["follows"].to_pylist()] == ["early0"]
