"""How fast the influence queries answer over HTTP on a simulated market, and beside them as first written.

`python -m bench.influence [--quick] [--json FILE]`: a stack of its own, whose graph is imported instead of
ingested, which is faster by far and gives the same graph: 200,000 users, 2,000 streamers, 20,000 products
and 5 million relationships of eleven days, or a tenth of each with --quick. Milliseconds are of requests one
after the other, when each was made before and the plan is compiled. `over_naive` is the time of the naive
statement over that of ours, both at the driver; of an estimate, which has many statements, over that of the
request. Both must give the same answer: where they do not, the benchmark gives the figures that it has by
then, and ends.
"""

import tempfile
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from statistics import median
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode

import neo4j
from rich.console import Console

from bench.influence_asks import FULL, QUICK, Ask, Sizes, asks_of, percentile, route_of
from bench.influence_naive import check_same, naive_of
from bench.influence_plans import ESTIMATES, plan_of, statement_of, statement_parameters
from bench.influence_rows import rows_of
from bench.load import Target
from bench.market_graph import import_market
from bench.market_rows import MarketRows, market_rows
from bench.report import Json, parser, show, write_json
from bench.stack import make_key, serving
from graph_schema.queries import load_query
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from lsec.local import running_stack
from lsec.simulate.market import Market
from workers.graph import open_driver
from workers.migrate import migrate

P = ParamSpec("P")
T = TypeVar("T")

PAGE_CACHE_MB = 2048
NUM_NAIVE = 5
"""Requests that are made by the naive statements too."""
LONG_S = 2.0
"""A statement that takes so long runs once."""
INDEX_TIMEOUT_S = 900
WARM_UP_S = 5.0
"""Neo4j compiles a plan that runs often: its first answers are not those of a shop that is open."""


def ask_all(target: Target, route: str, asks: list[Ask]) -> tuple[list[float], list[dict[str, Any]]]:
    """Seconds of each request, after all were made once and the plan is compiled, and the answers."""
    connection = target.connection()
    paths = [f"/v1/influence/{route}?{urlencode(ask)}" for ask in asks]
    seconds, answers = [], []
    warm_until = time.perf_counter() + WARM_UP_S
    for path in dict.fromkeys(paths):
        target.ask(connection, "GET", path, None)
    for path in takewhile(lambda _: time.perf_counter() < warm_until, paths):
        target.ask(connection, "GET", path, None)
    for path in paths:
        started = time.perf_counter()
        answers.append(target.ask(connection, "GET", path, None))
        seconds.append(time.perf_counter() - started)
    return seconds, answers


def measured(target: Target, driver: neo4j.Driver, name: str, asks: list[Ask]) -> dict[str, Any]:
    """The figures of one query, and its plan in words. SystemExit if the naive answer is another."""
    # First, as a plan that is made for the first time takes seconds, and requests have a limit.
    plan = plan_of(driver, name, asks[0])
    seconds, answers = ask_all(target, route_of(name), asks)
    every = max(1, len(asks) // NUM_NAIVE)
    ours_s: list[float] = []
    naive_s: list[float] = []
    for ask, answer in list(zip(asks, answers, strict=True))[::every]:
        if sum(naive_s) > LONG_S:
            break
        found, naive_took = timed(naive_of(name), driver, ask)
        check_same(name, ask, answer["rows"], found)
        naive_s.append(naive_took)
        if name not in ESTIMATES:
            parameters = statement_parameters(name, statement_of(name), ask)
            ours_s.append(timed(rows_of, driver, load_query(statement_of(name)).text, parameters)[1])
    return {
        "p50_ms": median(seconds) * 1000,
        "p95_ms": percentile(seconds, 0.95) * 1000,
        "naive_ms": median(naive_s) * 1000,
        "over_naive": median(naive_s) / median(ours_s or seconds),
        "db_hits": float(plan.db_hits),
        "plan": plan.operators,
    }


def timed(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """What the work gives, and its seconds the second time; the first warms up, unless it takes long."""
    for _ in range(2):
        started = time.perf_counter()
        found = work(*args, **kwargs)
        seconds = time.perf_counter() - started
        if seconds > LONG_S:
            break
    return found, seconds


def run(sizes: Sizes, data_dir: Path, figures: dict[str, dict[str, Any]]) -> None:
    """Measure on a stack in `data_dir`, and keep each query's figures in `figures` as they come."""
    market = market_rows(
        Market(
            num_users=sizes.num_users,
            num_streamers=sizes.num_streamers,
            num_products=sizes.num_products,
            num_days=sizes.num_days,
        ),
        users_each=sizes.users_each,
    )
    num_attributed = min(sizes.num_attributed, len(market.whole["BOUGHT"]["at"]))
    started = time.perf_counter()
    import_market(market, data_dir)
    settings = Settings(
        data_dir=data_dir, bolt_port=0, valkey_port=0, log_format="text", neo4j_page_cache_mb=PAGE_CACHE_MB
    )
    with running_stack(settings, services=("valkey", "neo4j")) as stack:
        migrate(stack.settings)
        with open_driver(stack.settings) as driver:
            driver.execute_query("CALL db.awaitIndexes($timeout_s)", timeout_s=INDEX_TIMEOUT_S)
            _tell(driver, market, time.perf_counter() - started)
            with serving(stack.settings, make_key(stack.settings, Scope.ADMIN)) as (target, _):
                for name, asks in asks_of(market, sizes).items():
                    figures[name] = measured(target, driver, name, asks)
                    if name.startswith("attribution"):
                        figures[name]["purchases/s"] = num_attributed / figures[name]["p50_ms"] * 1000
                    print(f"{name}: p95 {figures[name]['p95_ms']:.1f} ms", flush=True)


def _tell(driver: neo4j.Driver, market: MarketRows, seconds: float) -> None:
    found, _, _ = driver.execute_query("MATCH ()-[r]->() RETURN count(r) AS num")
    print(
        f"{market.num_users:,} users, {found[0]['num']:,} relationships, imported in {seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    """Measure and print; where a query ends the benchmark, print those before it."""
    chosen = parser(__doc__).parse_args()
    figures: dict[str, dict[str, Any]] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
            run(QUICK if chosen.quick else FULL, Path(folder), figures)
    finally:
        if figures:
            give(figures, chosen.json)


def give(figures: dict[str, dict[str, Any]], path: Path | None) -> None:
    """Print the figures of each query and its plan, and write them to the file if there is one."""
    numbers = {
        name: {key: value for key, value in of_query.items() if key != "plan"}
        for name, of_query in figures.items()
    }
    show("Influence queries over HTTP", numbers, rows_are_objects=True)
    for name, of_query in figures.items():
        Console().print(f"[bold]{name}[/bold]: {of_query['plan']}", highlight=False)
    with_plans: dict[str, Json] = dict(figures)
    write_json(with_plans, path)


if __name__ == "__main__":
    main()
