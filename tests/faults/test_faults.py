"""Whatever fails while producers stream: afterwards each event is in the graph, and none twice."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults import faults
from tests.faults.comparison import Difference, difference
from tests.faults.faulty_stack import FaultyStack, Outcome, faulty_stack, wait_until
from tests.faults.ledger import make_ledger
from workers.graph import open_driver

pytestmark = pytest.mark.slow
REFUSED = '"path":"/v1/events","status":503'
"""What the API logs of a request of events that it cannot keep."""


def crashes(faulty: FaultyStack, part: str) -> list[str]:
    """How a part ended, each time."""
    return [report.message for report in faulty.reports if (report.kind, report.service) == ("crashed", part)]


def survive(
    faulty: FaultyStack,
    prefix: str,
    fault: Callable[[FaultyStack], int],
    *,
    num_events: int = 3000,
    duration_s: float = 5.0,
) -> tuple[Outcome, int]:
    """The outcome of a ledger that is sent meanwhile, and how often the fault happened."""
    times: list[int] = []
    outcome = faulty.survive(
        prefix, lambda stack: times.append(fault(stack)), num_events=num_events, duration_s=duration_s
    )
    return outcome, times[0]


def test_a_quiet_stack_takes_late_shuffled_and_repeated_events_once(faulty: FaultyStack) -> None:
    outcome = faulty.survive("quiet-", lambda _: None, duration_s=2)
    assert outcome.tally.accepted == 3000
    assert outcome.tally.duplicates > 0


def test_every_part_may_be_killed_at_any_time(faulty: FaultyStack) -> None:
    killed: Counter[str] = Counter()

    def kill_all(faulty: FaultyStack) -> None:
        killer = faults.Killer(faulty)
        killer.run(12, every_s=(0.5, 2.5))
        killed.update(killer.kills)

    outcome = faulty.survive("kills-", kill_all, num_events=6000, duration_s=10)
    assert set(killed) == set(faulty.parts())
    assert outcome.tally.retries > 0


@pytest.mark.long
def test_neo4j_may_be_away_for_a_while(faulty: FaultyStack) -> None:
    before = len(crashes(faulty, "neo4j"))
    survive(faulty, "outage-", lambda stack: faults.neo4j_outage(stack, 4), duration_s=4)
    assert len(crashes(faulty, "neo4j")) == before + 1


def test_neo4j_may_be_slow(faulty: FaultyStack) -> None:
    _, num_stops = survive(faulty, "slow-", lambda stack: faults.slow_neo4j(stack, 5))
    assert num_stops >= 3


def test_a_full_disk_ends_the_log_server_but_loses_nothing(faulty: FaultyStack) -> None:
    before, refused_before = len(crashes(faulty, "valkey")), faulty.num_lines("api", REFUSED)
    outcome, _ = survive(faulty, "full-", lambda stack: faults.full_disk(stack, 100_000))
    assert len(crashes(faulty, "valkey")) == before + 1
    assert faulty.num_lines("api", REFUSED) > refused_before
    assert outcome.tally.retries > 0


def test_an_ingester_that_was_frozen_past_its_lease_changes_nothing_twice(faulty: FaultyStack) -> None:
    with faulty.ingester_standing_by() as second:
        _, num_outrun = survive(
            faulty,
            "frozen-",
            lambda stack: faults.frozen_ingester(stack, second, 20),
            num_events=9000,
            duration_s=16,
        )
    assert num_outrun > 0


def test_two_ingesters_of_one_shard_apply_each_event_once(faulty: FaultyStack) -> None:
    with faulty.ingester_standing_by():
        _, num_outrun = survive(faulty, "rivals-", lambda stack: faults.two_writers(stack, 8), duration_s=8)
    assert num_outrun > 0


def test_a_deploy_in_the_middle_loses_nothing(faulty: FaultyStack) -> None:
    before = {part: len(crashes(faulty, part)) for part in faulty.parts()}
    survive(faulty, "deploy-", faults.deploy)
    (api_ended,), (ingester_ended,) = (crashes(faulty, part)[before[part] :] for part in ("api", "ingester"))
    # An API that has ended in order sends itself the signal once more.
    assert "exit code 0" in api_ended or "signal 15" in api_ended
    assert "exit code 0" in ingester_ended


def test_lost_commits_and_lost_answers_to_them_are_told_apart(faulty: FaultyStack) -> None:
    _, num_lost = survive(
        faulty, "commits-", lambda stack: faults.lost_commits(stack, 2, within_s=60), duration_s=8
    )
    assert num_lost >= 2


def test_transactions_that_neo4j_ends_are_tried_again(faulty: FaultyStack) -> None:
    _, num_ended = survive(faulty, "ended-", lambda stack: faults.ended_transactions(stack, 5, within_s=5))
    assert num_ended >= 1


def test_events_of_a_clock_that_jumps_are_in_once_their_time_has_come(faulty: FaultyStack) -> None:
    outcome = faulty.survive("clock-", lambda _: None, beyond_s=(3, 6), duration_s=2)
    assert outcome.tally.refused > 0


@pytest.mark.long
def test_a_recreated_log_stops_the_ingester_until_it_is_adopted(faulty: FaultyStack) -> None:
    faulty.survive("old-", lambda _: None, num_events=300, duration_s=0)
    with faulty.log_client() as log:
        log.flushdb()
    before = len(crashes(faulty, "ingester"))
    ledger = make_ledger(1000, prefix="new-", opened_at=datetime.now(UTC))
    producers = faulty.stream(ledger, duration_s=0)
    wait_until(lambda: len(crashes(faulty, "ingester")) > before)
    assert "exit code 2" in crashes(faulty, "ingester")[before]
    with open_driver(faulty.settings) as driver:
        assert difference(ledger, driver).lost > 0
    with faulty.second_ingester("--adopt-log"):
        outcome = faulty.outcome(ledger, producers, appended_before=0)
    assert (outcome.difference, outcome.num_appended) == (Difference(), 1000)
    assert outcome.num_dead_letters == 0
    faulty.survive("after-", lambda _: None, num_events=300, duration_s=0)


@pytest.mark.long
def test_two_shards_may_be_killed_too(tmp_path: Path) -> None:
    with faulty_stack(tmp_path, shards=2) as faulty:
        killer = faults.Killer(faulty, parts=set(faulty.parts()) - {"neo4j"})
        faulty.survive("shards-", lambda _: killer.run(8, every_s=(0.4, 1.6)), duration_s=6)
    assert {"ingester-0", "ingester-1"} <= set(killer.kills)
