"""Whether a ledger that is streamed while everything is killed at random is in the graph, each event once.

`python bench/faults.py [--minutes M] [--fault NAME] [--shards N] [--json FILE]`: producers send 80,000 known
events a minute and retry, while API, ingester, Valkey and Neo4j are killed with -9 and started again by
their supervisor. Then all is left to drain, and the graph is compared with the ledger record by record. Start
and drain come on top of the minutes. With --fault one other fault of `tests/faults` takes the killer's place.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.report import parser
from tests.faults import faults
from tests.faults.faulty_stack import FaultyStack, Outcome, faulty_stack
from tests.faults.ledger import make_ledger

EVENTS_A_MINUTE = 80_000
PER_REQUEST = 250
SENDING_SHARE = 0.9
"""Of the fault time; what the faults held up comes in the rest of it, or in the drain."""
QUICK_MINUTES = 0.75

FAULTS: dict[str, Callable[[FaultyStack, float], object]] = {
    "outage": lambda faulty, seconds: faults.neo4j_outage(faulty, seconds / 3),
    "slow": faults.slow_neo4j,
    "full-disk": lambda faulty, seconds: after(seconds / 3, lambda: faults.full_disk(faulty, 100_000)),
    "frozen": lambda faulty, seconds: after(seconds / 3, lambda: faults.frozen_ingester(faulty)),
    "rivals": faults.two_writers,
    "deploy": lambda faulty, seconds: after(seconds / 2, lambda: faults.deploy(faulty)),
    "commits": lambda faulty, seconds: faults.lost_commits(faulty, int(seconds / 3)),
    "transactions": lambda faulty, seconds: faults.ended_transactions(faulty, int(seconds)),
}
"""By name; an outage lasts a third of the time, which is a minute of three."""


def after(seconds: float, fault: Callable[[], object]) -> None:
    """Let a fault come so late."""
    time.sleep(seconds)
    fault()


def run(
    faulty: FaultyStack, minutes: float, fault: str, *, seed: int
) -> tuple[Outcome, int, Counter[str], float]:
    """What became of the ledger, its number of events, the kills by part, and the seconds of the drain."""
    seconds = 60 * minutes
    ledger = make_ledger(
        int(EVENTS_A_MINUTE * minutes),
        prefix=f"{seed}-",
        opened_at=datetime.now(UTC),
        per_request=PER_REQUEST,
        beyond_s=(seconds / 4, seconds / 2),
    )
    killer = faults.Killer(faulty, seed=seed)
    producers = faulty.stream(ledger, duration_s=SENDING_SHARE * seconds)
    started = time.monotonic()
    if fault:
        FAULTS[fault](faulty, seconds)
        time.sleep(max(0.0, started + seconds - time.monotonic()))
    else:
        killer.run(seconds)
    drain_started = time.monotonic()
    outcome = faulty.outcome(ledger, producers, appended_before=0)
    return outcome, len(ledger.events), killer.kills, time.monotonic() - drain_started


def main() -> None:
    """Run, print, and end with 1 if an event was lost or counted twice."""
    options = parser(__doc__)
    options.add_argument("--minutes", type=float, default=3.0, help="how long things fail (default 3)")
    options.add_argument("--fault", choices=FAULTS, default="", help="this fault instead of kills")
    options.add_argument("--shards", type=int, default=1, help="shards, with an ingester each (default 1)")
    options.add_argument("--seed", type=int, default=1, help="of the ledger and the kills (default 1)")
    chosen = options.parse_args()
    minutes = QUICK_MINUTES if chosen.quick else chosen.minutes
    with (
        tempfile.TemporaryDirectory(prefix="lsec-faults-") as folder,
        faulty_stack(Path(folder), shards=chosen.shards, heap_mb=1024) as faulty,
    ):
        outcome, num_events, kills, drain_s = run(faulty, minutes, chosen.fault, seed=chosen.seed)
    gone = num_events - outcome.num_appended
    figures = {
        "events": num_events,
        "kills": sum(kills.values()),
        "lost": max(outcome.difference.lost, gone),
        "duplicated": max(outcome.difference.duplicated, -gone),
        **{f"kills_{part}": kills[part] for part in sorted(kills)},
        "retries": outcome.tally.retries,
        "duplicates_at_the_door": outcome.tally.duplicates,
        "refused_for_their_time": outcome.tally.refused,
        "drain_s": round(drain_s, 1),
    }
    print(*(f"{name:24} {value:>10,}" for name, value in figures.items()), sep="\n")
    print(*outcome.difference.examples, sep="\n")
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(1 if figures["lost"] or figures["duplicated"] else 0)


if __name__ == "__main__":
    main()
