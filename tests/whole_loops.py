"""Whether the loops of a stack's API went on: a supervisor starts one again that ended, and hides it."""

from pathlib import Path

LOOP_ENDED = "has ended: so does the process"


def require_whole_loops(data_dir: Path) -> None:
    """No loop of the API in this stack's folder ended by itself, whatever was killed."""
    log = data_dir / "logs" / "api.log"
    assert LOOP_ENDED not in log.read_text(errors="replace"), f"why stands in {log}"
