"""What readers notice while an old release leaves the graph: their latency, with that and without, in turns.

`python -m bench.collecting [--quick] [--json FILE]`: on a stack of its own with default settings, 100,000
users and 20,000 products (10 times fewer with --quick), recommendations come at a steady rate, each tenth
with its reasons, which the graph is asked for. In every other round an old release of that size is collected
meanwhile, as the upkeep does it. `p99_over_quiet` is the median over the pairs of rounds.
"""

import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import neo4j
import numpy as np

from bench.load import Target
from bench.memory_release import artifact_in_memory
from bench.publish import random_arrays
from bench.read_load import Latencies, get_request, open_loop
from bench.report import parser, show, write_json
from bench.serving import served
from bench.serving_market import RELEASE_ID, Market, fill
from bench.stack import make_key, serving
from lsec.core.artifact import Artifact
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from lsec.local import DATABASES, running_stack
from workers.collect import collect_release
from workers.graph import open_driver
from workers.migrate import migrate
from workers.publish import flip, publish
from workers.releases import OutOfTime, until

READS_PER_S = 200.0
ONE_IN = 10
"""Of so many reads one wants reasons."""
NUM_REQUESTS = 5_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """A market, pairs of rounds, and seconds of each round."""

    market: Market
    num_rounds: int
    seconds: float


FULL = Sizes(Market(users=100_000, products=20_000, streamers=2_000), num_rounds=3, seconds=8)
QUICK = Sizes(Market(users=10_000, products=2_000, streamers=200), num_rounds=2, seconds=2)


def old_release(number: int, market: Market) -> Artifact:
    """A release of random slates and vectors of the market's users and products."""
    arrays = random_arrays(market.users, market.products)
    for kind, num in (("user", market.users), ("product", market.products)):
        arrays[f"{kind}_ids"] = np.array([f"{kind[0]}{row}".encode() for row in range(num)])
        arrays[f"{kind}_order"] = np.argsort(arrays[f"{kind}_ids"])
    return artifact_in_memory(arrays, release_id=f"rel_old{number}")


def collect_for(driver: neo4j.Driver, release_id: str, seconds: float) -> float:
    """Collect a release until it is gone or the time is over; the seconds that it took."""
    started = time.perf_counter()
    with contextlib.suppress(OutOfTime):
        if not collect_release(driver, release_id, check=until(seconds), pause=True):
            raise SystemExit(f"{release_id} is shown, and so not collected.")
    return time.perf_counter() - started


def requests_of(target: Target, num_users: int) -> list[bytes]:
    """What is asked, of users drawn at random."""
    draw = random.Random(0)
    return [
        get_request(
            f"/v1/users/u{draw.randrange(num_users)}/recommendations"
            + ("" if number % ONE_IN else "?explain=true"),
            target.secret,
        )
        for number in range(NUM_REQUESTS)
    ]


def measure(target: Target, driver: neo4j.Driver, sizes: Sizes) -> dict[str, dict[str, float]]:
    """Medians over the rounds, after one that warms up."""
    requests = requests_of(target, sizes.market.users)

    def read(beside: Callable[[], None] = lambda: None) -> Latencies:
        return open_loop(
            target.settings.api_port,
            requests,
            seconds=sizes.seconds,
            per_second=READS_PER_S,
            beside=beside,
        )

    collected: list[Future[float]] = []

    def collect() -> None:
        release_id = f"rel_old{len(collected)}"
        collected.append(threads.submit(collect_for, driver, release_id, sizes.seconds))

    read()
    quiet, beside = [], []
    with ThreadPoolExecutor(1) as threads:
        for _ in range(sizes.num_rounds):
            quiet.append(read())
            beside.append(read(collect))
            collected[-1].result()
    figures = {
        name: {
            f"p{percentile}_ms": statistics.median(each.ms(percentile) for each in rounds)
            for percentile in (50, 99)
        }
        for name, rounds in (("quiet", quiet), ("collecting", beside))
    }
    figures["collecting"]["refused"] = sum(each.num_refused for each in beside)
    figures["collecting"]["share_of_time"] = statistics.mean(
        min(1.0, each.result() / sizes.seconds) for each in collected
    )
    figures["collecting"]["p99_over_quiet"] = statistics.median(
        one.ms(99) / other.ms(99) for one, other in zip(beside, quiet, strict=True)
    )
    return figures


def run(sizes: Sizes, data_dir: Path) -> dict[str, dict[str, float]]:
    """All figures, on a stack in `data_dir`."""
    settings = Settings(data_dir=data_dir, bolt_port=0, valkey_port=0, log_format="text")
    with running_stack(settings, services=DATABASES) as stack:
        migrate(stack.settings)
        with open_driver(stack.settings) as driver:
            fill(driver, sizes.market, stack.settings.artifacts_path)
            for number in range(sizes.num_rounds):
                publish(driver, old_release(number, sizes.market))
            flip(driver, RELEASE_ID, expected=f"rel_old{sizes.num_rounds - 1}")
            with serving(stack.settings, make_key(stack.settings, Scope.ADMIN)) as (target, _):
                served(target)
                return measure(target, driver, sizes)


def main() -> None:
    """Measure and print."""
    chosen = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="lsec-bench-") as folder:
        figures = run(QUICK if chosen.quick else FULL, Path(folder))
    show(f"{READS_PER_S:.0f} reads a second while an old release is collected", figures)
    write_json(figures, chosen.json)


if __name__ == "__main__":
    main()
