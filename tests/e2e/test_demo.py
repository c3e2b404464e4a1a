"""`lsec demo --exit`: the command that a stranger runs first, and what it leaves behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

from lsec.local import stack_status, stop_recorded

DEMO_TIMEOUT_S = 400


def test_the_demo_runs_the_whole_loop_and_leaves_nothing_running(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lsec")), "demo", "--exit", "--data-dir", str(tmp_path / "demo")],
        env={**os.environ, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"user-\d+ · (?:slate|folded_in) · release rel_", done.stdout)) == 3
    assert "whom you follow" in done.stdout
    assert "repeat_rate" in done.stdout
    assert re.search(r"LSEC_API_KEY=lsec_\S+", done.stdout)
    assert all(service.state == "gone" for service in stack_status(tmp_path / "demo"))
    assert stop_recorded(tmp_path / "demo") == []
