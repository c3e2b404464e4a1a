"""The ingestion benchmark runs through and writes the figures that it promises."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KEYS = ("sustained_over_driver", "accepted_over_driver", "lag_p99_s", "single_p99_ms")


@pytest.mark.bench
def test_the_ingestion_benchmark_writes_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, "bench/ingest.py", "--quick", "--no-cases", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(path.read_text())
    assert all(figures[key] > 0 for key in KEYS)
    assert figures["graph_away"]["events_until_503"] >= 20_000
