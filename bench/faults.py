"""Whether a ledger that is streamed while everything is killed at random is in the graph, each event once.

`python bench/faults.py [--minutes M] [--fault NAME] [--shards N] [--json FILE]`: producers send 80,000 known
events a minute and retry, while API, ingester, Valkey and Neo4j are killed with -9 and started again by
their supervisor. Then all is left to drain, and the graph is compared with the ledger record by record. Start
and drain come on top of the minutes. With --fault one other fault of `tests/faults` takes the killer's place.

It ends with 1 if an event was lost or counted twice, and if too little failed to say anything. The JSON is
written in any case; what a run that broke off did not come to is not in it.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench.report import parser, write_json
from tests.faults import faults
from tests.faults.faulty_stack import FaultyStack, Outcome, faulty_stack
from tests.faults.ledger import Ledger, make_ledger

EVENTS_A_MINUTE = 80_000
PER_REQUEST = 250
SENDING_SHARE = 0.9
"""Of the fault time; what the faults held up comes in the rest of it, or in the drain."""
QUICK_MINUTES = 0.75
LONG_MINUTES = 3.0
"""From here on a run must have had so many kills, in all and of each part."""
FEWEST_KILLS, FEWEST_OF_A_PART = 10, 2

FAULTS: dict[str, Callable[[FaultyStack, float], int]] = {
    "outage": lambda faulty, seconds: faults.neo4j_outage(faulty, seconds / 3),
    "slow": faults.slow_neo4j,
    "full-disk": lambda faulty, seconds: after(seconds / 3, lambda: faults.full_disk(faulty, 100_000)),
    "frozen": lambda faulty, seconds: beside_another(
        faulty, lambda second: faults.frozen_ingester(faulty, second, SENDING_SHARE * seconds)
    ),
    "rivals": lambda faulty, seconds: beside_another(faulty, lambda _: faults.two_writers(faulty, seconds)),
    "deploy": lambda faulty, seconds: after(seconds / 2, lambda: faults.deploy(faulty)),
    "commits": lambda faulty, seconds: faults.lost_commits(faulty, int(seconds / 3), within_s=seconds),
    "transactions": lambda faulty, seconds: faults.ended_transactions(
        faulty, int(seconds), within_s=SENDING_SHARE * seconds
    ),
}
"""By name; an outage lasts a third of the time, which is a minute of three."""


def after(seconds: float, fault: Callable[[], int]) -> int:
    """Let a fault come so late."""
    time.sleep(seconds)
    return fault()


def beside_another(faulty: FaultyStack, fault: Callable[[subprocess.Popen[bytes]], int]) -> int:
    """Let a fault come while a second ingester stands by."""
    with faulty.ingester_standing_by() as second:
        return fault(second)


def run(faulty: FaultyStack, figures: dict[str, float], minutes: float, fault: str, *, seed: int) -> Outcome:
    """What became of the ledger; the figures are filled in as they become known."""
    seconds = 60 * minutes
    ledger = make_ledger(
        int(EVENTS_A_MINUTE * minutes),
        prefix=f"{seed}-",
        opened_at=datetime.now(UTC),
        per_request=PER_REQUEST,
        beyond_s=(seconds / 4, seconds / 2),
    )
    figures["events"] = len(ledger.events)
    producers = faulty.stream(ledger, duration_s=SENDING_SHARE * seconds)
    started = time.monotonic()
    if fault:
        figures["kills"] = 0
        figures["faults"] = FAULTS[fault](faulty, seconds)
        time.sleep(max(0.0, started + seconds - time.monotonic()))
    else:
        killer = faults.Killer(faulty, seed=seed)
        try:
            killer.run(seconds)
        finally:
            figures["kills"] = killer.kills.total()
            figures.update({f"kills_{part}": killer.kills[part] for part in sorted(faulty.parts())})
    drain_started = time.monotonic()
    outcome = faulty.outcome(ledger, producers, appended_before=0)
    figures["drain_s"] = round(time.monotonic() - drain_started, 1)
    figures.update(result(ledger, outcome))
    return outcome


def result(ledger: Ledger, outcome: Outcome) -> dict[str, float]:
    """The outcome in figures; an event that became a dead letter is lost."""
    gone = len(ledger.events) - outcome.num_appended
    return {
        "lost": max(outcome.difference.lost, outcome.num_dead_letters, gone),
        "duplicated": max(outcome.difference.duplicated, -gone),
        "dead_letters": outcome.num_dead_letters,
        "retries": outcome.tally.retries,
        "duplicates_at_the_door": outcome.tally.duplicates,
        "refused_for_their_time": outcome.tally.refused,
    }


def complaint(figures: Mapping[str, float], minutes: float, fault: str) -> str:
    """What is wrong with a run, in a sentence; empty if nothing is."""
    if figures["lost"] or figures["duplicated"]:
        return f"{figures['lost']:,} events were lost and {figures['duplicated']:,} counted twice."
    if fault:
        return "" if figures["faults"] else f"The fault {fault!r} never happened."
    of_parts = {name: count for name, count in figures.items() if name.startswith("kills_")}
    if minutes >= LONG_MINUTES and (
        figures["kills"] < FEWEST_KILLS or min(of_parts.values()) < FEWEST_OF_A_PART
    ):
        made = ", ".join(f"{name.removeprefix('kills_')} {count}" for name, count in of_parts.items())
        return (
            f"Too few kills to say anything ({made}): {minutes:g} minutes need {FEWEST_KILLS}, "
            f"and {FEWEST_OF_A_PART} of each part."
        )
    return ""


def main() -> None:
    """Run, print, and end with 1 and a sentence if something is wrong."""
    options = parser(__doc__)
    options.add_argument("--minutes", type=float, default=3.0, help="how long things fail (default 3)")
    options.add_argument("--fault", choices=FAULTS, default="", help="this fault instead of kills")
    options.add_argument("--shards", type=int, default=1, help="shards, with an ingester each (default 1)")
    options.add_argument("--seed", type=int, default=1, help="of the ledger and the kills (default 1)")
    chosen = options.parse_args()
    minutes = QUICK_MINUTES if chosen.quick else chosen.minutes
    figures: dict[str, float] = {}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="lsec-faults-") as folder,
            faulty_stack(Path(folder), shards=chosen.shards, heap_mb=1024) as faulty,
        ):
            outcome = run(faulty, figures, minutes, chosen.fault, seed=chosen.seed)
    finally:
        write_json(figures, chosen.json)
        print(*(f"{name:24} {value:>10,}" for name, value in figures.items()), sep="\n")
    print(*outcome.difference.examples, sep="\n")
    if wrong := complaint(figures, minutes, chosen.fault):
        sys.exit(wrong)


if __name__ == "__main__":
    main()
