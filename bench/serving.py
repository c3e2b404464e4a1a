"""Recommendations a second and their latency, beside a bare FastAPI app and the API's own ceiling.

`python -m bench.serving [--quick] [--json FILE]`: on a stack of its own with default settings and real keys,
100,000 users and 20,000 products (10 times fewer with --quick), whose graph and release are written
directly. Servers of all rows are up at once, with as many processes each, and the rounds alternate, so that
whatever else the machine does meets all of them: compare the ratios. First 16 connections ask again and
again. Then reads come at a steady rate, whatever becomes of those before, while the ingester is fed with half
of what it can take; users of these events are others than those who are asked for.
"""

import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import neo4j
import psutil

from bench.load import PER_REQUEST, Target, bodies, burst
from bench.read_load import closed_loop, get_request, open_loop
from bench.report import parser, show, write_json
from bench.sale import Sale, sale
from bench.serving_apps import CEILING_FILE
from bench.serving_market import RELEASE_ID, STREAM_ID, Market, fill
from bench.stack import make_key, serving
from lsec.core.ledger import Scope
from lsec.core.settings import MIB, Settings
from lsec.local import DATABASES, running_stack
from lsec.local.processes import log_tail
from lsec.local.services import environment
from lsec.local.sockets import free_port
from workers.graph import open_driver
from workers.migrate import migrate

NUM_REQUESTS = 20_000
"""Different ones, which come again."""
NUM_KEYS = 4
"""Front ends: of a key's limit each process allows its share, which the ceiling may pass in one of them."""
READS_PER_S = 1000.0
WARM_UP_S = 3.0
"""At least: Neo4j plans and compiles what it is asked for the first time."""
READY_WITHIN_S = 120.0
ALIASES = ("rps", "rps_over_bare", "rps_over_ceiling", "p99_ms", "p99_busy_ms")
QUERIES = {
    "plain": "",
    "explain": "?explain=true",
    "diversity": "?diversity=0.5",
    "stream_id": f"?stream_id={STREAM_ID}",
}
"""The rows that the API itself answers; the first is the one that counts."""

Row = tuple[int, list[bytes]]
"""The port of a row's server, and its requests."""


def rows_of(api: Target, secrets: Sequence[str], ports: dict[str, int], num_users: int) -> dict[str, Row]:
    """What is asked in each row, of users drawn at random, by the keys in turn."""
    draw = random.Random(0)
    users = [f"u{draw.randrange(num_users)}" for _ in range(NUM_REQUESTS)]

    def requests(form: str) -> list[bytes]:
        return [
            get_request(form.format(user), secrets[number % len(secrets)])
            for number, user in enumerate(users)
        ]

    path = "/v1/users/{}/recommendations"
    rows = {
        "bare": (ports["bare"], requests(path)),
        "ceiling": (ports["ceiling"], requests("/ceiling/{}/recommendations")),
    }
    return rows | {name: (api.settings.api_port, requests(path + query)) for name, query in QUERIES.items()}


def closed_rounds(rows: dict[str, Row], *, num_rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Medians over the rounds of each row's rate and latencies; a round before them warms up."""
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in rows}
    for number in range(num_rounds + 1):
        for name, (port, requests) in rows.items():
            latencies = closed_loop(port, requests, seconds=seconds if number else max(seconds, WARM_UP_S))
            if number:
                found[name]["rps"].append(latencies.per_second)
                found[name]["p50_ms"].append(latencies.ms(50))
                found[name]["p99_ms"].append(latencies.ms(99))
                found[name]["refused"].append(latencies.num_refused)
    return {
        name: {figure: statistics.median(values) for figure, values in of_row.items()}
        for name, of_row in found.items()
    }


def busy(
    reads: Target, feed: Target, requests: Sequence[bytes], *, num_events: int, seconds: float
) -> dict[str, float]:
    """Reads at a steady rate while half of the ingester's own rate comes in; both rates as they were held."""
    for run in ("warm-up", "warmer"):
        burst(feed, sale(num_events, of=Sale(run)))
    half = num_events / burst(feed, sale(num_events, of=Sale("measured"))).committed_s / 2
    coming = bodies(sale(int(half * seconds), of=Sale("busy")))
    feeder = threading.Thread(target=_feed, args=(feed, coming, half))
    started: list[float] = []

    def begin() -> None:
        started.append(time.perf_counter())
        feeder.start()

    before = feed.num_committed()
    port = reads.settings.api_port
    latencies = open_loop(port, requests, seconds=seconds, per_second=READS_PER_S, beside=begin)
    elapsed_s, committed = time.perf_counter() - started[0], feed.num_committed() - before
    feeder.join()
    return {
        "p50_busy_ms": latencies.ms(50),
        "p99_busy_ms": latencies.ms(99),
        "reads_per_s_busy": latencies.per_second,
        "refused_busy": latencies.num_refused,
        "events_per_s_wanted": half,
        "events_per_s_busy": committed / max(elapsed_s, seconds),
    }


def _feed(feed: Target, requests: Sequence[bytes], per_second: float) -> None:
    connection = feed.connection()
    started = time.perf_counter()
    for number, body in enumerate(requests):
        time.sleep(max(0.0, started + number * PER_REQUEST / per_second - time.perf_counter()))
        feed.post(connection, body)


@contextlib.contextmanager
def other_server(name: str, settings: Settings) -> Iterator[int]:
    """The port of one of `bench.serving_apps`, with as many processes as the API has."""
    own = settings.model_copy(update={"api_port": free_port()})
    with (settings.data_dir / f"bench-{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.serving_apps", name],
            env=os.environ | environment(own),
            stdout=log,
            stderr=log,
        )
    try:
        until = time.monotonic() + READY_WITHIN_S
        while not _answers(own.api_port):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"The server of {name} did not start:\n{log_tail(Path(log.name))}")
            time.sleep(0.1)
        yield own.api_port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def served(api: Target) -> bytes:
    """An answer of the API, once it is the release's."""
    connection = api.connection()
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until:
        connection.request("GET", "/v1/users/u1/recommendations", headers=api.headers)
        answer = connection.getresponse()
        body, degraded = answer.read(), answer.headers["X-LSEC-Degraded"]
        if answer.status == 200 and RELEASE_ID.encode() in body and not degraded:
            return body
        time.sleep(0.2)
    raise SystemExit("The release is not served; the log of the API tells why.")


def pss_mb(process: psutil.Process) -> float:
    """Proportional set sizes of a process and its children, summed up, in MiB."""
    family = [process, *process.children(recursive=True)]
    return float(sum(each.memory_full_info().pss for each in family)) / MIB


def measure(databases: Settings, market: Market, *, quick: bool) -> dict[str, dict[str, float]]:
    """The figures of each row, and those of all together as "serving"."""
    secrets = [make_key(databases, Scope.READ) for _ in range(NUM_KEYS)]
    with serving(databases, secrets[0]) as (api, processes), contextlib.ExitStack() as stack:
        (databases.data_dir / CEILING_FILE).write_bytes(served(api))
        ports = {name: stack.enter_context(other_server(name, databases)) for name in ("bare", "ceiling")}
        rows = rows_of(api, secrets, ports, market.users)
        figures = closed_rounds(rows, num_rounds=1 if quick else 5, seconds=1.0 if quick else 4.0)
        memory_mb = pss_mb(processes["api"])
        stack.close()
        feed = Target(api.settings, make_key(databases, Scope.INGEST))
        under_load = busy(
            api,
            feed,
            rows["plain"][1],
            num_events=5_000 if quick else 50_000,
            seconds=3.0 if quick else 20.0,
        )
    plain = figures["plain"]
    serving_figures = {
        "rps": plain["rps"],
        "rps_over_bare": plain["rps"] / figures["bare"]["rps"],
        "rps_over_ceiling": plain["rps"] / figures["ceiling"]["rps"],
        "p50_ms": plain["p50_ms"],
        "p99_ms": plain["p99_ms"],
        **under_load,
        "processes": databases.api_processes,
        "api_pss_mb": memory_mb,
    }
    return {"serving": serving_figures, **figures}


def run(market: Market, data_dir: Path, *, quick: bool) -> dict[str, dict[str, float]]:
    """All figures, on a stack in `data_dir`."""
    settings = Settings(data_dir=data_dir, bolt_port=0, valkey_port=0)
    with running_stack(settings, services=DATABASES) as stack:
        migrate(stack.settings)
        with open_driver(stack.settings) as driver:
            _fill(driver, market, stack.settings)
        return measure(stack.settings, market, quick=quick)


def _fill(driver: neo4j.Driver, market: Market, settings: Settings) -> None:
    fill(driver, market, settings.artifacts_path)
    # Statistics, which the planner needs, are sampled in the background.
    driver.execute_query("CALL db.prepareForReplanning()")


def main() -> None:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    market = Market(10_000, 2_000, 100) if options.quick else Market(100_000, 20_000, 1_000)
    with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
        figures = run(market, Path(folder), quick=options.quick)
    rows = {name: of_row for name, of_row in figures.items() if name != "serving"}
    show(f"{market.users:,} users, 16 connections", rows, rows_are_objects=True)
    show("Recommendations", {"serving": figures["serving"]})
    aliases = {name: figures["serving"][name] for name in ALIASES}
    write_json({**aliases, "serving": figures["serving"], "rows": rows}, options.json)


if __name__ == "__main__":
    main()
