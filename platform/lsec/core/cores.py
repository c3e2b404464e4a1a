"""How processes share few cores: whoever answers requests goes first."""

import os
import sys

SWITCH_INTERVAL_S = 0.0005
NICENESS = 5


def take_short_turns() -> None:
    """Let no thread of this process hold the interpreter for long while another waits for it."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def step_back() -> None:
    """Leave the cores to those who answer requests, as far as they need them."""
    os.nice(NICENESS)
