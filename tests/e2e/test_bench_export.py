"""The benchmark of exports runs through and writes the figures that it promises."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.bench
def test_the_export_benchmark_writes_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench.export", "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(path.read_text())
    assert figures["edges"] > 2 * figures["smaller_edges"] > 0
    assert figures["over_row_per_edge"] > 0
    assert figures["peak_over_smaller"] == figures["peak_mb"] / figures["smaller_peak_mb"]
