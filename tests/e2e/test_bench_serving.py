"""The serving benchmark runs through and writes the figures that it promises."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KEYS = ("rps", "rps_over_bare", "rps_over_ceiling", "p99_ms", "p99_busy_ms")
ROWS = {"bare", "ceiling", "plain", "explain", "diversity", "stream_id"}


@pytest.mark.bench
def test_the_serving_benchmark_writes_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, "bench/serving.py", "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(path.read_text())
    assert all(figures[key] == figures["serving"][key] > 0 for key in KEYS)
    assert figures["rows"].keys() == ROWS
    assert all(row["rps"] > 0 for row in figures["rows"].values())
    assert 0 < figures["serving"]["reads_per_s_busy"] <= 1001
