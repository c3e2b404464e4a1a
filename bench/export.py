"""How fast a snapshot is exported, against a row per edge by the plain driver, and how much memory it takes.

`python -m bench.export [--quick] [--json FILE]`: a stack of its own for each of two simulated markets, one
with four times the users and edges of the other. Both exports read all relations of the same graph, in turns;
the one of a row per edge only counts what it reads, ours writes the snapshot's files too. `over_row_per_edge`
is the median of the ratios of their times. `peak_mb` is the most memory that a process of its own has held
that only exports: that of the larger market over that of the smaller is `peak_over_smaller`.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import neo4j

from bench.fresh_process import run_fresh
from bench.market_graph import import_market
from bench.market_rows import market_rows
from bench.report import parser, show, write_json
from lsec.core.settings import Settings
from lsec.local import DATABASES, running_stack
from lsec.simulate.market import Market
from workers.graph import open_driver
from workers.migrate import migrate_graph
from workers.snapshot import Scope, export_snapshot

PAGE_CACHE_MB = 1024
INDEX_TIMEOUT_S = 900
TIMES_LARGER = 4
ROW_PER_EDGE = (
    "MATCH (u:User)-[b:BOUGHT]->(p:Product) WHERE b.refunded_at IS NULL "
    "RETURN u.id AS user, p.id AS product, b.at.epochMillis AS at_ms",
    "MATCH (u:User)-[f:FOLLOWS]->(s:Streamer) "
    "RETURN u.id AS user, s.id AS streamer, f.at.epochMillis AS at_ms",
    "MATCH (s:Streamer)-[r:SELLS]->(p:Product) RETURN s.id AS streamer, p.id AS product, r.count AS count, "
    "r.first_at.epochMillis AS first_at_ms, r.last_at.epochMillis AS last_at_ms",
    "MATCH (u:User)-[w:WATCHED]->(s:Streamer) "
    "RETURN u.id AS user, s.id AS streamer, w.seconds AS seconds, w.first_at.epochMillis AS at_ms",
    "MATCH (u:User)-[v:VIEWED]->(p:Product) "
    "RETURN u.id AS user, p.id AS product, v.count AS count, v.first_at.epochMillis AS at_ms",
)
"""The export that everyone writes first."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The smaller market, and how often both exports of the larger one are timed."""

    num_users: int
    num_products: int
    repetitions: int


QUICK, FULL = Sizes(750, 1_000, 3), Sizes(5_000, 10_000, 3)


def row_per_edge(driver: neo4j.Driver) -> int:
    """Read every edge as a row with string ids, and keep none; the number of edges."""
    num_edges = 0
    with driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
        for statement in ROW_PER_EDGE:
            num_edges += sum(1 for _ in session.run(statement))
    return num_edges


def measure(market: Market, folder: Path, *, repetitions: int) -> dict[str, float]:
    """The figures of a market on a stack of its own; no times without repetitions."""
    settings = Settings(
        data_dir=folder / "stack", bolt_port=0, valkey_port=0, neo4j_page_cache_mb=PAGE_CACHE_MB
    )
    import_market(market_rows(market), settings.data_dir)
    with running_stack(settings, services=DATABASES) as stack, open_driver(stack.settings) as driver:
        migrate_graph(driver)
        driver.execute_query("CALL db.awaitIndexes($timeout_s)", timeout_s=INDEX_TIMEOUT_S)
        driver.execute_query(
            "CREATE (:IngestOffset {shard: 0, epoch: 'b', position: '1-0', seq: 1, num_events: 1})"
        )
        password = stack.settings.neo4j_password.get_secret_value()
        fresh = run_fresh("bench.export_once", stack.settings.neo4j_url, password, folder / "fresh")
        figures = {"users": market.num_users, "edges": row_per_edge(driver), "peak_mb": fresh["peak_mb"]}
        if repetitions:
            figures |= times(driver, folder, repetitions)
    if repetitions:
        figures["edges_per_s"] = figures["edges"] / figures["export_s"]
    return figures


def times(driver: neo4j.Driver, folder: Path, repetitions: int) -> dict[str, float]:
    """Medians of the seconds of both exports, and of their ratios, taken in turns; the first warms up."""
    pairs = [
        (
            seconds(partial(row_per_edge, driver)),
            seconds(partial(export_snapshot, driver, folder / f"snapshot-{turn}", Scope())),
        )
        for turn in range(1 + repetitions)
    ][1:]
    return {
        "row_per_edge_s": median(plain for plain, _ in pairs),
        "export_s": median(ours for _, ours in pairs),
        "over_row_per_edge": median(plain / ours for plain, ours in pairs),
    }


def seconds(action: Callable[[], object]) -> float:
    """How long the action took."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main() -> None:
    """Measure and report."""
    options = parser(__doc__).parse_args()
    sizes = QUICK if options.quick else FULL
    found = {}
    for name, times_larger, repetitions in (("smaller", 1, 0), ("export", TIMES_LARGER, sizes.repetitions)):
        market = Market(
            num_users=sizes.num_users * times_larger,
            num_streamers=200,
            num_products=sizes.num_products,
            num_days=10,
        )
        with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
            found[name] = measure(market, Path(folder), repetitions=repetitions)
    found["export"]["peak_over_smaller"] = found["export"]["peak_mb"] / found["smaller"]["peak_mb"]
    show("Export of a snapshot", found)
    of_smaller = {f"smaller_{name}": value for name, value in found["smaller"].items()}
    write_json(found["export"] | of_smaller, options.json)


if __name__ == "__main__":
    main()
