"""Whether the loops of a stack's API went on: a supervisor starts one again that ended, and hides it."""

from pathlib import Path

LOOP_ENDED = "has ended: so does the process"


def require_whole_loops(data_dir: Path) -> None:
    """No loop of the API in this stack's folder ended by itself, whatever was killed."""
    logs = sorted((data_dir / "logs").glob("api.log*"))
    assert logs, "there was an API"
    for log in logs:
        assert LOOP_ENDED not in log.read_text(errors="replace"), f"why stands in {log}"
