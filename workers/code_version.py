"""Which code made a release: the package's version, and the commit where it runs from a checkout."""

import subprocess
from importlib.metadata import version
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
GIT_TIMEOUT_S = 5.0
COMMIT = ("git", "rev-parse", "--short=12", "HEAD")


def code_version(checkout: Path = CHECKOUT) -> str:
    """`0.1.0+g0123456789ab`, or `0.1.0` outside a checkout or without git."""
    package = version("lsec")
    # An installed package may lie inside a checkout of something else.
    if not (checkout / ".git").exists():
        return package
    try:
        found = subprocess.run(
            COMMIT, cwd=checkout, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return package
    return f"{package}+g{found.stdout.strip()}"
