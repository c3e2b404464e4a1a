"""A release says which code made it."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from workers.code_version import code_version


def test_outside_a_checkout_it_is_the_packages_version(tmp_path: Path) -> None:
    assert code_version(tmp_path) == version("lsec")
    (tmp_path / ".git").mkdir()
    # A folder of that name that git does not take for a repository.
    assert code_version(tmp_path) == version("lsec")


def test_in_a_checkout_the_commit_is_added(tmp_path: Path) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    assert re.fullmatch(re.escape(version("lsec")) + r"\+g[0-9a-f]{12}", code_version(tmp_path))
