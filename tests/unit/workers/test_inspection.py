"""The rules of inspections: what figures mean, and that each fault comes with its remedy."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from lsec.core.inspections import Finding, FindingState, is_broken, listed, ok, warning
from lsec.core.ledger import ApiKey, Training, TrainingStatus, utc_now
from lsec.core.release_ledger import Experiment
from lsec.core.settings import MIB, Settings
from workers.inspection.active import judge_experiment, judge_pointer, judge_slates
from workers.inspection.agreement import judge_collecting, judge_nodes, judge_orphans
from workers.inspection.configuration import judge_key, judge_settings
from workers.inspection.ingestion import Shard, judge_memory, judge_shard, judge_shards
from workers.inspection.machine import judge_disk, judge_folders, judge_versions, versions
from workers.inspection.schema import judge_ledger
from workers.inspection.services import judge_beat, judge_clocks, judge_workers
from workers.inspection.work import judge_queued, judge_running

OK, WARNING, BROKEN = FindingState.OK, FindingState.WARNING, FindingState.BROKEN
NOW = utc_now()


def pointer(release_id: str | None, *, name: str = "active", **values: Any) -> dict[str, Any]:
    row = {"name": name, "release_id": release_id, "experiment_id": None}
    return row | {"is_complete": True, "is_collected": False} | values


def run(status: TrainingStatus, *, age_s: float, **values: Any) -> Training:
    at = NOW - timedelta(seconds=age_s)
    return Training(id="trn_1", status=status, created_at=at, heartbeat_at=at, **values)


def shard(**values: Any) -> Shard:
    sound: dict[str, Any] = {"log_epoch": "e", "graph_epoch": "e", "is_held": True}
    return Shard(0, **(sound | {"num_waiting": 0, "oldest_age_s": 0.0, "idle_s": 5.0} | values))


def test_many_names_are_counted() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_warnings_break_nothing() -> None:
    assert not is_broken([ok("a", "."), warning("b", ".", remedy="c")])
    assert is_broken([Finding("a", BROKEN, ".")])


@pytest.mark.parametrize(
    ("pointers", "num_published", "state", "says"),
    [
        ([], 0, OK, "No release was published"),
        ([], 3, BROKEN, "3 were published"),
        ([pointer(None)], 1, BROKEN, "No release is active"),
        ([pointer("r1")], 1, OK, "r1 is active"),
        ([pointer("r1", is_complete=False)], 1, BROKEN, "not wholly written"),
        ([pointer("r1", is_collected=True)], 1, BROKEN, "being deleted"),
        ([pointer("r2"), pointer("r1")], 2, BROKEN, "r2, r1; the newest is r2"),
        ([pointer("r1"), pointer("r1")], 1, BROKEN, "2 releases are active at once"),
    ],
)
def test_exactly_one_whole_release_is_active_once_one_was_published(
    pointers: list[dict[str, Any]], num_published: int, state: FindingState, says: str
) -> None:
    found = judge_pointer(pointers, num_published)
    assert found.state == state
    assert says in found.detail
    assert bool(found.remedy) == (state != OK)


def test_the_challenger_is_that_of_the_running_experiment() -> None:
    running = Experiment(id="exp_1", champion_id="r1", challenger_id="r2", started_at=NOW)
    active, shown = pointer("r1"), pointer("r2", name="challenger", experiment_id="exp_1")
    assert judge_experiment([active], None).state == OK
    assert judge_experiment([active, shown], None).state == BROKEN
    assert judge_experiment([active, shown], running).state == OK
    assert judge_experiment([active, shown | {"experiment_id": "exp_0"}], running).state == BROKEN
    assert judge_experiment([active, shown | {"release_id": "r3"}], running).state == BROKEN
    assert judge_experiment([pointer("r3"), shown], running).state == BROKEN
    # It is written before it is shown.
    assert judge_experiment([active], running).state == OK
    running.started_at = NOW - timedelta(hours=1)
    assert "exp_1" in judge_experiment([active], running).remedy


def test_missing_slates_are_well_only_if_their_users_are_gone() -> None:
    seen: dict[str, Any] = {"num_missing": 3, "num_looked_at": 100}
    assert judge_slates("graph.active", "r1", num_lost=0, is_pruned=False, **seen).state == OK
    assert judge_slates("graph.active", "r1", num_lost=2, is_pruned=False, **seen).state == BROKEN
    assert judge_slates("graph.active", "r1", num_lost=2, is_pruned=True, **seen).state == WARNING


def test_releases_of_the_graph_have_records_and_get_on() -> None:
    node = {"release_id": "r1", "is_complete": True, "is_collected": False, "is_shown": False}
    assert judge_nodes([node], {"r1"}).state == OK
    assert judge_nodes([node], {}).state == WARNING
    assert judge_nodes([node | {"is_shown": True}], {}).state == BROKEN
    half = node | {"is_complete": False, "since_ms": 1_000_000}
    assert judge_collecting([half], now=2_000).state == OK
    assert judge_collecting([half], now=20_000).state == WARNING


def test_what_is_of_no_release_is_counted_up_to_a_limit() -> None:
    assert judge_orphans([]).state == OK
    left = judge_orphans([{"release_id": "r9", "slates": 12, "vectors": 10_000}])
    assert left.state == WARNING
    assert "12 slates and 10000 vectors or more" in left.detail
    assert "r9" in left.remedy


def test_a_run_that_shows_no_sign_of_life_is_stuck() -> None:
    assert judge_running([run(TrainingStatus.RUNNING, age_s=30)], NOW).state == OK
    stuck = judge_running([run(TrainingStatus.RUNNING, age_s=3600)], NOW)
    assert stuck.state == BROKEN
    assert "60 minutes" in stuck.detail
    assert "trn_1" in stuck.remedy
    ignored = run(TrainingStatus.RUNNING, age_s=5, cancel_requested_at=NOW - timedelta(minutes=5), worker="w")
    assert judge_running([ignored], NOW).state == BROKEN


def test_a_run_may_wait_long_for_another_but_not_for_a_worker() -> None:
    waits = run(TrainingStatus.QUEUED, age_s=3600, queue="trainings-gpu")
    working = run(TrainingStatus.RUNNING, age_s=1)
    fresh = run(TrainingStatus.QUEUED, age_s=60, queue="trainings-gpu")
    assert judge_queued([fresh], [], {"trainings"}, NOW).state == OK
    assert judge_queued([waits], [working], {"trainings-gpu"}, NOW).state == OK
    assert judge_queued([waits], [], {"trainings-gpu"}, NOW).state == WARNING
    lonely = judge_queued([waits], [working], {"trainings"}, NOW)
    assert lonely.state == BROKEN
    assert "--queues trainings-gpu" in lonely.remedy
    # Where no worker could be asked, nothing is known of queues.
    assert judge_queued([waits], [working], None, NOW).state == OK


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, OK),
        ({"graph_epoch": ""}, OK),
        ({"num_waiting": 500, "oldest_age_s": 3.0}, OK),
        ({"is_held": False}, BROKEN),
        ({"log_epoch": "other"}, BROKEN),
        ({"log_epoch": ""}, BROKEN),
        ({"oldest_age_s": 90.0, "idle_s": 1.0}, WARNING),
        ({"oldest_age_s": 90.0, "idle_s": 90.0}, BROKEN),
        ({"oldest_age_s": 90.0, "idle_s": None}, BROKEN),
    ],
)
def test_an_ingester_is_there_and_moves_while_events_wait(
    values: dict[str, Any], state: FindingState
) -> None:
    assert judge_shard(shard(**values)).state == state


def test_the_log_has_its_shards_and_room() -> None:
    assert judge_shards(2, 0).state == judge_shards(2, 2).state == OK
    assert judge_shards(2, 4).state == WARNING
    settings = Settings(max_log_memory_mb=100)
    assert judge_memory(settings, 50 * MIB, 0).state == OK
    assert judge_memory(settings, 95 * MIB, 0).state == WARNING
    assert judge_memory(settings, 100 * MIB, 0).state == BROKEN
    assert judge_memory(settings, 5 * MIB, 64 * MIB).state == BROKEN


def test_every_queue_has_a_worker_and_beat_ticks() -> None:
    assert judge_workers({"worker@a": ["trainings", "trainings-gpu"], "upkeep@a": ["upkeep"]}).state == OK
    assert "trainings wait" in judge_workers({"upkeep@a": ["upkeep"]}).detail
    assert "--queues upkeep" in judge_workers({}).remedy
    assert judge_beat(is_held=True, late_s=-3.0).state == OK
    assert judge_beat(is_held=True, late_s=600.0).state == BROKEN
    assert judge_beat(is_held=True, late_s=None).state == BROKEN
    assert judge_beat(is_held=False, late_s=1.0).state == BROKEN


def test_clocks_that_are_apart_are_named() -> None:
    assert judge_clocks({"Neo4j": 0.5, "Valkey": -1.9}).state == OK
    apart = judge_clocks({"Neo4j": 0.5, "Valkey": -7.2})
    assert apart.state == WARNING
    assert "Valkey is 7 s behind" in apart.detail
    assert "Neo4j" not in apart.detail


def test_the_ledger_is_at_a_known_revision() -> None:
    known = {"0001", "0002"}
    assert judge_ledger(("0002",), "0002", known).state == OK
    assert "lsec migrate" in judge_ledger(("0001",), "0002", known).remedy
    assert "no tables" in judge_ledger((), "0002", known).detail
    assert "does not know" in judge_ledger(("0009",), "0002", known).detail


def test_the_disk_has_room_and_folders_are_open() -> None:
    folder = Path("/data")
    assert judge_disk(folder, free_mb=50_000, total_mb=100_000).state == OK
    assert judge_disk(folder, free_mb=5_000, total_mb=100_000).state == WARNING
    assert judge_disk(folder, free_mb=1_000, total_mb=4_000).state == WARNING
    assert judge_disk(folder, free_mb=100, total_mb=100_000).state == BROKEN
    assert judge_folders([]).state == OK
    assert "/data" in judge_folders([folder]).remedy


def test_libraries_are_within_the_bounds_of_this_version() -> None:
    wanted = [Requirement("neo4j>=6.4"), Requirement("redis[hiredis]>=6")]
    assert judge_versions(wanted, {"neo4j": "6.4.0", "redis": "7.0"}).state == OK
    old = judge_versions(wanted, {"neo4j": "5.28", "redis": None})
    assert old.state == BROKEN
    assert "neo4j is 5.28, wanted is >=6.4, redis is not installed" in old.detail
    assert versions().state == OK


def test_settings_that_defeat_each_other_are_named() -> None:
    assert judge_settings(Settings(), 8).state == OK
    found = judge_settings(Settings(kept_releases=5, kept_artifacts=2, train_threads=9), 8)
    assert found.state == WARNING
    assert "LSEC_KEPT_ARTIFACTS (2)" in found.detail
    assert "LSEC_TRAIN_THREADS to 0" in found.remedy
    one = Settings.model_validate({"log_url": "redis://a/0", "broker_url": "redis://a/0"})
    assert "one database" in judge_settings(one, 8).detail


def test_a_key_is_known_and_valid() -> None:
    key = ApiKey(id="key_1", scope="admin")
    assert judge_key(key).state == OK
    assert judge_key(None).state == BROKEN
    key.revoked_at = NOW
    assert "was revoked" in judge_key(key).detail
