"""The influence benchmark runs through and writes the figures that it promises, of equal answers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KEYS = {
    *("leaderboard", "spread", "product-streamers", "funnel", "influencers", "paths", "attribution", "lift"),
    *("audience overlap", "audience nearest", "audience buyers", "audience at risk", "seeds", "paper"),
}


@pytest.mark.bench
def test_the_influence_benchmark_writes_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, "bench/influence.py", "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(path.read_text())
    assert figures.keys() >= KEYS
    for name in KEYS:
        of_query = figures[name]
        assert 0 < of_query["p50_ms"] <= of_query["p95_ms"]
        assert of_query["over_naive"] > 0
        assert of_query["db_hits"] > 0
        assert of_query["plan"]
