"""The embedded Neo4j's password: made once, for its owner alone, and found by every command."""

import os
import stat
import subprocess
import sys
from pathlib import Path

from lsec.core.settings import NEO4J_PASSWORD_FILE
from lsec.local.password import ensure_password

READ = (
    "from lsec.core.settings import load_settings; print(load_settings().neo4j_password.get_secret_value())"
)


def seen_by_a_command(**variables: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LSEC_")}
    done = subprocess.run(
        [sys.executable, "-c", READ], env={**clean, **variables}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_password_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    made = ensure_password(tmp_path)
    assert len(made.get_secret_value()) >= 32
    assert stat.S_IMODE((tmp_path / NEO4J_PASSWORD_FILE).stat().st_mode) == 0o600
    assert ensure_password(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == [NEO4J_PASSWORD_FILE]


def test_each_data_folder_has_a_password_of_its_own(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    assert ensure_password(folders[0]) != ensure_password(folders[1])


def test_a_command_run_by_hand_finds_the_password_in_the_data_folder(tmp_path: Path) -> None:
    folder = {"LSEC_DATA_DIR": str(tmp_path)}
    assert seen_by_a_command(**folder) == ""
    password = ensure_password(tmp_path).get_secret_value()
    assert seen_by_a_command(**folder) == password
    assert seen_by_a_command(**folder, LSEC_NEO4J_URL="bolt://127.0.0.1:9999") == password


def test_a_password_that_is_set_goes_before_that_of_the_data_folder(tmp_path: Path) -> None:
    ensure_password(tmp_path)
    assert seen_by_a_command(LSEC_DATA_DIR=str(tmp_path), LSEC_NEO4J_PASSWORD="given") == "given"


def test_the_password_of_the_data_folder_is_not_sent_to_another_machine(tmp_path: Path) -> None:
    ensure_password(tmp_path)
    assert seen_by_a_command(LSEC_DATA_DIR=str(tmp_path), LSEC_NEO4J_URL="bolt://graph:7687") == ""
