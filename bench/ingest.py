"""API-to-graph events per second beside the plain driver's, on a stack of its own.

`python -m bench.ingest [--quick] [--json FILE]`: the mix of a flash sale through `POST /v1/events`, 500
events a request, against the like by the plain driver (`bench/plain_driver.py`). Generator, API, log,
ingester and Neo4j share this machine's cores, so compare the ratios. Rounds alternate, each on new ids;
the first ones warm both up. Then a burst, the lag at half of the sustained rate, single events, a graph
that hangs, and worst cases.
"""

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import neo4j
import psutil
import redis

from bench.load import (
    PER_REQUEST,
    POLL_S,
    Sent,
    Target,
    bodies,
    burst,
    fill,
    paced_lags,
    single_latencies,
    takes,
)
from bench.plain_driver import LEAN, write_plainly
from bench.report import parser, show, write_json
from bench.sale import Sale, sale
from bench.stack import make_key, serving
from lsec.core.settings import MIB, Settings
from lsec.local import running_stack
from workers.graph import open_driver
from workers.migrate import migrate

SINGLES_PER_S = 500.0
SETTLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Events of each part, and rounds of the main one."""

    round_events: int
    num_warm_up: int
    num_rounds: int
    burst_events: int
    lag_s: float
    case_events: int
    backlog_events: int


FULL = Sizes(
    round_events=100_000,
    num_warm_up=3,
    num_rounds=5,
    burst_events=500_000,
    lag_s=20.0,
    case_events=50_000,
    backlog_events=1_000_000,
)
QUICK = Sizes(
    round_events=5_000,
    num_warm_up=1,
    num_rounds=1,
    burst_events=20_000,
    lag_s=3.0,
    case_events=5_000,
    backlog_events=20_000,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all parts share."""

    settings: Settings
    secret: str
    driver: neo4j.Driver
    sizes: Sizes


def sustained(bench: Bench, target: Target) -> dict[str, float]:
    """The medians of the rounds after those that warm up: Java compiles the statements as it goes."""
    num = bench.sizes.round_events
    rates: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(bench.sizes.num_warm_up + bench.sizes.num_rounds):
        plain_s = write_plainly(bench.driver, sale(num, of=Sale(f"plain{number}")))
        lean_s = write_plainly(bench.driver, sale(num, of=Sale(f"lean{number}")), statements=LEAN)
        sent = burst(target, sale(num, of=Sale(f"api{number}")))
        if number >= bench.sizes.num_warm_up:
            rates["plain"].append(num / plain_s)
            rates["lean"].append(num / lean_s)
            rates["committed"].append(num / sent.committed_s)
            rates["accepted"].append(num / sent.accepted_s)
    return {name: statistics.median(of_name) for name, of_name in rates.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def costs(
    processes: dict[str, psutil.Process], before: dict[str, float], num_events: int
) -> dict[str, float]:
    """CPU microseconds an event, by process, since `before`."""
    return {name: (cpu_s(processes[name]) - before[name]) / num_events * 1e6 for name in processes}


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds that the process has used."""
    used = process.cpu_times()
    return float(used.user + used.system)


def case(bench: Bench, of: Sale, *, old: bool = False, **changes: int) -> dict[str, float]:
    """One case's rates, and the ratio to the plain driver's on the like of it.

    Plain driver and API get their own users and streams; with `old` the case is what comes after a
    round that has made all of its nodes and most of its relationships.
    """
    num = bench.sizes.case_events
    plain, ours = replace(of, run=f"{of.run}-plain"), replace(of, run=f"{of.run}-api")
    with serving(bench.settings, bench.secret, **changes) as (target, _):
        if old:
            write_plainly(bench.driver, sale(num, of=plain))
            burst(target, sale(num, of=ours))
            plain, ours = (replace(each, event_run=f"{each.run}-again") for each in (plain, ours))
        plain_s = write_plainly(bench.driver, sale(num, of=plain))
        sent: Sent = burst(target, sale(num, of=ours))
    return {
        "plain driver/s": num / plain_s,
        "committed/s": num / sent.committed_s,
        "accepted/s": num / sent.accepted_s,
        "committed over driver": plain_s / sent.committed_s,
    }


def cases(bench: Bench) -> dict[str, dict[str, float]]:
    """The worst cases, and what the settings change."""
    quick = bench.sizes is QUICK
    found = {
        "the sale": case(bench, Sale("case-sale")),
        "one dense streamer": case(bench, Sale("case-streamer", audience_share=1.0)),
        "one dense product": case(bench, Sale("case-product", product_share=0.9)),
        "all new nodes": case(bench, Sale("case-new", new_nodes=True)),
        "all old nodes": case(bench, Sale("case-old"), old=True),
        "no repetition": case(bench, Sale("case-single", longest_burst=1, num_users=1_000_000)),
    }
    for size in (1_000,) if quick else (500, 1_000, 2_000, 10_000, 20_000):
        of = Sale(f"case-batch-{size}")
        found[f"batches of {size:,}"] = case(bench, of, ingest_batch_events=size)
    found["2 shards"] = case(bench, Sale("case-shards"), shards=2)
    return found


def back_pressure(bench: Bench, neo4j_process: psutil.Process) -> dict[str, float]:
    """Neo4j hangs, events come at full rate until the limit; then it goes on, and so does all by itself."""
    limit = bench.sizes.backlog_events
    requests = bodies(sale(limit * 3 // 2, of=Sale("backlog", num_users=limit // 5)))
    log_url = bench.settings.log_url.get_secret_value()
    with (
        serving(bench.settings, bench.secret, max_backlog_events=limit) as (target, own),
        redis.Redis.from_url(log_url) as client,
    ):
        neo4j_process.suspend()
        try:
            num_taken, seconds = fill(target, requests)
            memory: dict[str, int] = client.info("memory")
            resident = {name: process.memory_info().rss / MIB for name, process in own.items()}
        finally:
            neo4j_process.resume()
        started = time.perf_counter()
        while not takes(target, requests[num_taken]):
            time.sleep(POLL_S)
        recovered_s = time.perf_counter() - started
        while target.backlog():
            time.sleep(POLL_S)
        drained_s = time.perf_counter() - started
    return {
        "events_until_503": num_taken * PER_REQUEST,
        "accepted_per_s": num_taken * PER_REQUEST / seconds,
        "log_memory_mb": memory["used_memory"] / MIB,
        "log_bytes_per_event": memory["used_memory"] / (num_taken * PER_REQUEST),
        **{f"{name}_memory_mb": size for name, size in resident.items()},
        "until_202_again_s": recovered_s,
        "until_drained_s": drained_s,
    }


def main_parts(bench: Bench, neo4j_process: psutil.Process) -> dict[str, dict[str, float]]:
    """Sustained rate, burst, lag and single events, on one API and one ingester."""
    sizes = bench.sizes
    with serving(bench.settings, bench.secret) as (target, own):
        rates = sustained(bench, target)
        processes = own | {"neo4j": neo4j_process}
        before = {name: cpu_s(process) for name, process in processes.items()}
        large = burst(target, sale(sizes.burst_events, of=Sale("burst", num_users=sizes.burst_events // 5)))
        cpu = costs(processes, before, sizes.burst_events)
        half = rates["committed"] / 2
        lags = paced_lags(
            target, bench.driver, sale(int(half * sizes.lag_s), of=Sale("lag")), per_second=half
        )
        time.sleep(SETTLE_S)
        singles = sale(int(SINGLES_PER_S * sizes.lag_s), of=Sale("single"))
        latencies = single_latencies(target, singles, per_second=SINGLES_PER_S)
    accepted = sizes.burst_events / large.accepted_s
    return {
        "ingest": {
            "sustained_over_driver": rates["committed"] / rates["plain"],
            "accepted_over_driver": accepted / rates["plain"],
            "sustained_over_lean_driver": rates["committed"] / rates["lean"],
            "accepted_over_lean_driver": accepted / rates["lean"],
            "lag_p99_s": percentile(lags, 0.99),
            "single_p99_ms": percentile(latencies, 0.99) * 1000,
        },
        "events_per_s": {
            "plain_driver": rates["plain"],
            "lean_plain_driver": rates["lean"],
            "committed": rates["committed"],
            "accepted": rates["accepted"],
            "burst_accepted": accepted,
            "burst_committed": sizes.burst_events / large.committed_s,
            "lag_run": half,
        },
        "latency": {
            "lag_p50_s": percentile(lags, 0.5),
            "single_p50_ms": percentile(latencies, 0.5) * 1000,
        },
        "cpu_us_per_event": cpu,
    }


def run(sizes: Sizes, data_dir: Path, *, with_cases: bool) -> dict[str, dict[str, float]]:
    """All figures, on a stack in `data_dir`."""
    settings = Settings(data_dir=data_dir, bolt_port=0, valkey_port=0, log_format="text")
    with running_stack(settings, services=("valkey", "neo4j")) as stack:
        migrate(stack.settings)
        secret = make_key(stack.settings)
        pids = {child.spec.name: child.record.pid for child in stack.supervisor.children}
        with open_driver(stack.settings) as driver:
            bench = Bench(stack.settings, secret, driver, sizes)
            neo4j_process = psutil.Process(pids["neo4j"])
            figures = main_parts(bench, neo4j_process)
            show("Ingestion", figures)
            figures["graph_away"] = back_pressure(bench, neo4j_process)
            show("Neo4j hangs until the backlog is full", {"": figures["graph_away"]})
            if with_cases:
                of_cases = cases(bench)
                show(f"Worst cases, {sizes.case_events:,} events each", of_cases, rows_are_objects=True)
                figures |= {f"case {name}": of_case for name, of_case in of_cases.items()}
    return figures


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--no-cases", action="store_true", help="leave the table of worst cases out")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
        figures = run(QUICK if chosen.quick else FULL, Path(folder), with_cases=not chosen.no_cases)
    write_json({**figures.pop("ingest"), **figures}, chosen.json)


if __name__ == "__main__":
    main()
