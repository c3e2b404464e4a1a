"""The long run of kills, in short: `bench/faults.py` runs and writes what it found."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.faults import complaint, result
from tests.faults.comparison import Difference
from tests.faults.faulty_stack import Outcome
from tests.faults.ledger import make_ledger
from tests.faults.producers import Tally

ROOT = Path(__file__).parents[2]
KEYS = {"retries", "duplicates_at_the_door", "refused_for_their_time", "dead_letters", "drain_s", "kills"}
PARTS = ("api", "ingester", "neo4j", "valkey")


@pytest.mark.bench
def test_a_short_run_of_kills_writes_its_figures(tmp_path: Path) -> None:
    found = tmp_path / "found" / "faults.json"
    command = [sys.executable, "bench/faults.py", "--minutes", "0.1", "--json", str(found)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(found.read_text())
    assert (figures["events"], figures["lost"], figures["duplicated"]) == (8000, 0, 0)
    assert set(figures) == KEYS | {"events", "lost", "duplicated"} | {f"kills_{part}" for part in PARTS}


def test_a_long_run_needs_kills_of_every_part() -> None:
    clean = {"lost": 0, "duplicated": 0}
    kills = {f"kills_{part}": 3 for part in PARTS}
    assert not complaint(clean | kills | {"kills": 12}, 3, "")
    assert "kills" in complaint(clean | kills | {"kills": 9}, 3, "")
    assert "neo4j 1" in complaint(clean | kills | {"kills": 12, "kills_neo4j": 1}, 3, "")
    assert not complaint(clean | kills | {"kills": 4, "kills_neo4j": 0}, 0.75, "")


def test_a_dead_letter_counts_as_lost() -> None:
    ledger = make_ledger(100, prefix="x-", opened_at=datetime(2026, 6, 1, tzinfo=UTC))
    assert result(ledger, Outcome(Tally(), Difference(), 100, 1))["lost"] == 1
    assert result(ledger, Outcome(Tally(), Difference(), 101, 0))["duplicated"] == 1
    assert result(ledger, Outcome(Tally(), Difference(), 98, 0))["lost"] == 2


def test_a_run_without_its_fault_or_with_a_lost_event_is_wrong() -> None:
    assert "never happened" in complaint({"lost": 0, "duplicated": 0, "faults": 0}, 3, "rivals")
    assert not complaint({"lost": 0, "duplicated": 0, "faults": 1}, 3, "rivals")
    assert "2 events were lost" in complaint({"lost": 2, "duplicated": 0, "faults": 1}, 3, "rivals")
