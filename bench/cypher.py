"""What the worst ad-hoc statements cost the ingester: its rate before, with and after each one.

`python -m bench.cypher [--quick] [--json FILE]`: on a stack of its own, the log is filled, and while the
ingester works it off a statement of an analyst runs into its timeout. The rate with it and from two seconds
after it are given as shares of the rate before it.
"""

import http.client
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import redis

from bench.load import Target, burst
from bench.report import parser, show, write_json
from bench.sale import Sale, sale
from bench.stack import make_key, serving
from lsec.core.event_log import LogKeys, parse_committed
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from lsec.local import running_stack
from workers.migrate import migrate

STATEMENTS = {
    "count rows without end": "UNWIND range(1, 1000000000000) AS x WITH x WHERE x < 0 RETURN count(x)",
    "sort until memory ends": "UNWIND range(1, 100000000) AS x RETURN x, rand() AS r ORDER BY r",
    "collect until memory ends": "UNWIND range(1, 100000000) AS x RETURN size(collect('name ' + x)) AS n",
    "paths without end": "MATCH p = (:Streamer)-[*1..12]-() RETURN count(p)",
    "tell rows apart": "MATCH (u:User)-[b:BOUGHT]->(p)<-[c]-(v)-->(q) RETURN count(DISTINCT [b, c, v, q])",
}
SAMPLE_S = 0.05
SETTLED_S = 2.0
"""After a statement the ingester has so long to be back at its rate."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Events that wait for each statement, and seconds of each stretch."""

    backlog_events: int
    stretch_s: float


FULL = Sizes(backlog_events=1_100_000, stretch_s=4.0)
QUICK = Sizes(backlog_events=150_000, stretch_s=1.5)


@dataclass(slots=True)
class Curve:
    """How many events the graph held, moment by moment."""

    moments: list[float] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)

    def rate(self, start: float, end: float) -> float:
        """Events a second between two moments; a batch counts evenly from the commit before to its own."""
        grows = np.flatnonzero(np.diff(self.totals)) + 1
        moments, totals = np.array(self.moments)[grows], np.array(self.totals)[grows]
        held = np.interp([start, end], moments, totals)
        return float(held[1] - held[0]) / (end - start)


@contextmanager
def watching(settings: Settings) -> Iterator[Curve]:
    """The curve, which grows inside the block."""
    curve, done = Curve(), threading.Event()
    key = LogKeys(0).committed

    def watch() -> None:
        with redis.Redis.from_url(settings.log_url.get_secret_value()) as client:
            while not done.wait(SAMPLE_S):
                curve.totals.append(parse_committed(client.hgetall(key)).total)
                curve.moments.append(time.perf_counter())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield curve
    finally:
        done.set()
        thread.join()


def ask(target: Target, secret: str, statement: str) -> tuple[float, str]:
    """Seconds that the statement ran, and how it ended."""
    connection = http.client.HTTPConnection(target.settings.api_host, target.settings.api_port, timeout=60)
    started = time.perf_counter()
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/cypher", json.dumps({"statement": statement}), headers)
    lines = connection.getresponse().read().splitlines()
    last = json.loads(lines[-1])
    return time.perf_counter() - started, str(last.get("error", last).get("title", "done"))


def measured(target: Target, secret: str, statement: str, name: str, sizes: Sizes) -> dict[str, float]:
    """The ingester's rates around one statement."""
    with watching(target.settings) as curve:
        poster = threading.Thread(target=burst, args=(target, sale(sizes.backlog_events, of=Sale(name))))
        poster.start()
        # Accepting takes processors too; the stretches are of the ingester alone.
        while target.backlog() < sizes.backlog_events // 10 and poster.is_alive():
            time.sleep(SAMPLE_S)
        previous = -1
        while (now := target.num_committed() + target.backlog()) != previous:
            previous = now
            time.sleep(1.0)
        begin = time.perf_counter()
        time.sleep(sizes.stretch_s)
        asked = time.perf_counter()
        seconds, ending = ask(target, secret, statement)
        ended = time.perf_counter()
        time.sleep(SETTLED_S + sizes.stretch_s)
        end = time.perf_counter()
        is_busy = target.backlog() > 0
        poster.join()
    before = curve.rate(begin, asked)
    warning = "" if is_busy else "; THE LOG RAN OUT: not a measurement"
    print(f"{name}: {ending} after {seconds:.1f} s{warning}")
    return {
        "before/s": before,
        "share with it": curve.rate(asked, ended) / before,
        "share after it": curve.rate(ended + SETTLED_S, end) / before,
        "statement s": seconds,
        "busy": float(is_busy),
    }


def run(sizes: Sizes, data_dir: Path) -> dict[str, dict[str, float]]:
    """The figures of each statement."""
    settings = Settings(data_dir=data_dir, bolt_port=0, valkey_port=0, log_format="text")
    with running_stack(settings, services=("valkey", "neo4j")) as stack:
        migrate(stack.settings)
        analyst = make_key(stack.settings, Scope.ANALYST)
        with serving(stack.settings, make_key(stack.settings)) as (target, _):
            burst(target, sale(min(200_000, sizes.backlog_events), of=Sale("warm-up")))
            return {
                name: measured(target, analyst, statement, name.replace(" ", "-"), sizes)
                for name, statement in STATEMENTS.items()
            }


def main() -> None:
    """Measure and print."""
    chosen = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
        figures = run(QUICK if chosen.quick else FULL, Path(folder))
    show("The ingester beside an ad-hoc statement", figures, rows_are_objects=True)
    write_json(figures, chosen.json)


if __name__ == "__main__":
    main()
