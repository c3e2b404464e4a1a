"""The export: exactly the purchases up to a position, within the scope, without refunds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import neo4j
import pyarrow.parquet as pq
import pytest

from workers.snapshot import Scope, export_snapshot
from workers.snapshot_ranges import NODES_PER_RANGE
from workers.training.data import read_timeline
from workers.training.time_split import time_split

pytestmark = pytest.mark.usefixtures("clean_stack")

GRAPH = """
CREATE (:IngestOffset {shard: 0, epoch: 'e', position: '5-0', seq: 2, num_events: 9})
CREATE (:IndexCounter {label: 'User', next: 3}), (:IndexCounter {label: 'Product', next: 3}),
       (:IndexCounter {label: 'Streamer', next: 1})
CREATE (u0:User {id: 'u0', index: 0}), (u1:User {id: 'u1', index: 1}), (u2:User {id: 'u2', index: 2})
CREATE (p0:Product {id: 'p0', index: 0}), (p1:Product {id: 'p1', index: 1}), (p2:Product {id: 'p2', index: 2})
CREATE (s0:Streamer {id: 's0', index: 0})
CREATE (p0)-[:IN]->(:Category {id: 'shoes'})
CREATE (s0)-[:SELLS {count: 4, first_at: datetime('2026-01-01T01:00:00Z'),
                     last_at: datetime('2026-01-03T00:00:00Z')}]->(p1)
CREATE (u0)-[:FOLLOWS {at: datetime('2026-01-01T00:00:00Z')}]->(s0)
CREATE (u2)-[:FOLLOWS {at: datetime('2026-01-01T00:00:00Z')}]->(s0)
CREATE (u1)-[:WATCHED {stream_id: 'x', day: date('2026-01-01'), seconds: 30,
                      first_at: datetime('2026-01-01T07:00:00Z'),
                      last_at: datetime('2026-01-01T07:10:00Z')}]->(s0)
CREATE (u1)-[:WATCHED {stream_id: 'y', day: date('2026-01-01'), seconds: 12,
                      first_at: datetime('2026-01-01T00:00:00Z'),
                      last_at: datetime('2026-01-01T23:59:59.999Z')}]->(s0)
CREATE (u1)-[:WATCHED {stream_id: 'y', day: date('2026-01-02'), seconds: 5,
                      first_at: datetime('2026-01-02T23:59:59.999Z'),
                      last_at: datetime('2026-01-02T23:59:59.999Z')}]->(s0)
CREATE (u0)-[:VIEWED {streamer_id: 's0', stream_id: 'x', day: date('2026-01-01'), count: 2,
                     first_at: datetime('2026-01-01T08:00:00Z'),
                     last_at: datetime('2026-01-01T09:00:00Z')}]->(p1)
CREATE (u0)-[:VIEWED {streamer_id: '', stream_id: '', day: date('2026-01-01'), count: 1,
                     first_at: datetime('2026-01-01T07:00:00Z'),
                     last_at: datetime('2026-01-01T07:00:00Z')}]->(p1)
WITH u0, u1, p0, p1, p2
UNWIND [
  [u0, p0, 'e1', '2026-01-01T00:00:00Z', '', 1, null],
  [u0, p1, 'e2', '2026-01-02T00:00:00Z', 's0', 2, null],
  [u1, p1, 'e3', '2026-01-03T00:00:00Z', '', 1, null],
  [u1, p2, 'e4', '2026-01-03T00:00:00Z', '', 1, '2026-01-04T00:00:00Z'],
  [u1, p0, 'e5', '2026-01-05T00:00:00Z', '', 3, null]
] AS row
WITH row[0] AS u, row[1] AS p, row
CREATE (u)-[:BOUGHT {event_id: row[2], at: datetime(row[3]), quantity: 1, amount: 1, streamer_id: row[4],
                     stream_id: '', seq: row[5], shard: 0, refunded_at: datetime(row[6])}]->(p)
"""


@pytest.fixture
def graph(neo4j_driver: neo4j.Driver) -> neo4j.Driver:
    neo4j_driver.execute_query(GRAPH)
    return neo4j_driver


def purchases(folder: Path) -> list[tuple[str, str]]:
    users = pq.read_table(folder / "users.parquet")["id"].to_pylist()
    products = pq.read_table(folder / "products.parquet")["id"].to_pylist()
    buys = pq.read_table(folder / "buys.parquet").to_pydict()
    return [(users[u], products[p]) for u, p in zip(buys["user"], buys["product"], strict=True)]


def test_a_snapshot_holds_the_purchases_up_to_its_position(graph: neo4j.Driver, tmp_path: Path) -> None:
    manifest = export_snapshot(graph, tmp_path / "snapshot", Scope())
    assert purchases(tmp_path / "snapshot") == [("u0", "p0"), ("u0", "p1"), ("u1", "p1")]
    assert manifest["positions"] == [{"shard": 0, "seq": 2, "position": "5-0"}]
    assert manifest["counts"] == {
        **{"users": 2, "products": 3, "streamers": 1},
        **{"buys": 3, "follows": 1, "sells": 1, "watched": 2, "viewed": 1},
    }


def test_counters_are_summed_by_day_and_every_row_has_its_time(graph: neo4j.Driver, tmp_path: Path) -> None:
    export_snapshot(graph, tmp_path / "snapshot", Scope())
    first = datetime(2026, 1, 1, tzinfo=UTC)

    def rows(relation: str) -> list[dict[str, int]]:
        return [dict(row) for row in pq.read_table(tmp_path / "snapshot" / f"{relation}.parquet").to_pylist()]

    def ms(**after: int) -> int:
        return int((first + timedelta(**after)).timestamp() * 1000)

    assert rows("watched") == [
        {"user": 1, "streamer": 0, "seconds": 42, "day_ms": ms()},
        {"user": 1, "streamer": 0, "seconds": 5, "day_ms": ms(days=1)},
    ]
    assert rows("viewed") == [{"user": 0, "product": 1, "count": 3, "day_ms": ms()}]
    assert rows("sells") == [
        {"streamer": 0, "product": 1, "count": 4, "first_at_ms": ms(hours=1), "last_at_ms": ms(days=2)}
    ]
    assert rows("follows") == [{"user": 0, "streamer": 0, "at_ms": ms()}]
    assert [row["at_ms"] for row in rows("buys")] == [ms(), ms(days=1), ms(days=2)]


def test_the_training_reads_what_was_exported(graph: neo4j.Driver, tmp_path: Path) -> None:
    export_snapshot(graph, tmp_path / "snapshot", Scope())
    timeline = read_timeline(tmp_path / "snapshot")
    assert timeline.user_ids.tolist() == [b"u0", b"u1"]
    data = timeline.interactions()
    assert data.watched.counts.tolist() == [47]
    assert data.viewed.counts.tolist() == [3]
    assert data.sells.counts.tolist() == [4]
    split = time_split(timeline, int(datetime(2026, 1, 2, tzinfo=UTC).timestamp() * 1000))
    assert split.train.user_ids.tolist() == [b"u0", b"u1"]
    assert split.train.product_ids.tolist() == [b"p0", b"p1"]
    assert split.train.buys.sources.tolist() == [0]
    assert split.train.watched.counts.tolist() == [42]
    held_out = zip(split.held_out.sources.tolist(), split.held_out.targets.tolist(), strict=True)
    assert list(held_out) == [(0, 1), (1, 1)]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"since": datetime(2026, 1, 2, tzinfo=UTC)}, [("u0", "p1"), ("u1", "p1")]),
        ({"until": datetime(2026, 1, 2, tzinfo=UTC)}, [("u0", "p0")]),
        ({"categories": ("shoes",)}, [("u0", "p0")]),
        ({"streamers": ("s0",)}, [("u0", "p1"), ("u1", "p1")]),
        ({"min_purchases": 2}, [("u0", "p0"), ("u0", "p1")]),
    ],
)
def test_a_scope_chooses_the_subgraph(
    graph: neo4j.Driver, tmp_path: Path, scope: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    export_snapshot(graph, tmp_path / "snapshot", Scope(**scope))
    assert purchases(tmp_path / "snapshot") == expected


def test_the_same_graph_gives_the_same_hash(graph: neo4j.Driver, tmp_path: Path) -> None:
    first = export_snapshot(graph, tmp_path / "a", Scope())
    second = export_snapshot(graph, tmp_path / "b", Scope())
    assert first["sha256"] == second["sha256"]


def test_rows_are_sorted_by_source_from_range_to_range(neo4j_driver: neo4j.Driver, tmp_path: Path) -> None:
    num_users = 2 * NODES_PER_RANGE + 100
    neo4j_driver.execute_query(
        "CREATE (:IngestOffset {shard: 0, epoch: 'e', position: '5-0', seq: 1, num_events: 9}) "
        "CREATE (:IndexCounter {label: 'User', next: $n}), (:IndexCounter {label: 'Product', next: 7}) "
        "WITH 1 AS _ UNWIND range(0, 6) AS i CREATE (:Product {id: 'p' + i, index: 6 - i}) "
        "WITH count(*) AS _ UNWIND range(0, $n - 1) AS i "
        # Every third user is gone, as after an erasure.
        "WITH i WHERE i % 3 > 0 CREATE (u:User {id: 'u' + i, index: i}) "
        "WITH u UNWIND range(0, u.index % 4) AS k MATCH (p:Product {index: (u.index * 5 + k * 3) % 7}) "
        "CREATE (u)-[:BOUGHT {event_id: u.id + '-' + k, at: datetime({epochMillis: u.index}), seq: 1, "
        "shard: 0, streamer_id: '', stream_id: '', quantity: 1, amount: 1}]->(p)",
        n=num_users,
    )
    manifest = export_snapshot(neo4j_driver, tmp_path / "snapshot", Scope(min_purchases=2))
    expected = [
        (f"u{i}", f"p{6 - (i * 5 + k * 3) % 7}")
        for i in range(num_users)
        if i % 3 and i % 4
        for k in sorted(range(i % 4 + 1), key=lambda k: (i * 5 + k * 3) % 7)
    ]
    assert purchases(tmp_path / "snapshot") == expected
    assert manifest["counts"]["buys"] == len(expected)
    users = pq.read_table(tmp_path / "snapshot" / "users.parquet")["index"].to_pylist()
    assert users == sorted(users)
    assert len(users) == len({user for user, _ in expected})


def test_a_finished_snapshot_is_kept(graph: neo4j.Driver, tmp_path: Path) -> None:
    first = export_snapshot(graph, tmp_path / "snapshot", Scope())
    graph.execute_query("MATCH ()-[b:BOUGHT]->() DELETE b")
    assert export_snapshot(graph, tmp_path / "snapshot", Scope()) == first


def test_an_empty_graph_gives_an_empty_snapshot(neo4j_driver: neo4j.Driver, tmp_path: Path) -> None:
    manifest = export_snapshot(neo4j_driver, tmp_path / "snapshot", Scope())
    assert set(manifest["counts"].values()) == {0}
