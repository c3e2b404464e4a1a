"""`lsec backup` and `lsec restore`: what they say, and what they refuse."""

import subprocess
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from lsec.cli.main import app
from lsec.local.processes import StackRecord, record_of, write_record
from tests.unit.local.stack_folder import make_stack_folder


def lsec(*arguments: str | Path, **env: str) -> Result:
    nothing = {"LSEC_DATA_DIR": None, "LSEC_SQL_URL": None, "COLUMNS": "200"}
    return CliRunner().invoke(app, [str(each) for each in arguments], env=nothing | env)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return make_stack_folder(tmp_path / "data")


def test_a_backup_and_its_restore_say_what_they_did_and_how_to_go_on(data_dir: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "one.lsec", tmp_path / "new"
    done = lsec("backup", file, "--data-dir", data_dir)
    assert done.exit_code == 0
    assert f"{data_dir} is backed up: 6 files" in done.stdout
    assert "`lsec up` starts it" in done.stdout
    done = lsec("restore", file, LSEC_DATA_DIR=str(new))
    assert done.exit_code == 0
    assert f"is in {new}" in done.stdout
    again = lsec("restore", file, LSEC_DATA_DIR=str(new))
    assert again.exit_code == 1
    assert "not empty" in again.stderr
    forced = lsec("restore", file, "--force", LSEC_DATA_DIR=str(new))
    assert "before-restore-" in forced.stdout


def test_under_json_both_answer_with_numbers(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.lsec"
    made = msgspec.json.decode(lsec("backup", file, "--data-dir", data_dir, "--json").stdout)
    assert made["bytes"] == file.stat().st_size
    restored = msgspec.json.decode(lsec("restore", file, "--data-dir", tmp_path / "new", "--json").stdout)
    assert restored["data_bytes"] == made["data_bytes"] > 0
    assert restored["before"] is None


def test_a_running_stack_is_stopped_only_when_that_is_asked_for(data_dir: Path, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as supervisor:
        write_record(data_dir, StackRecord("mark", record_of(supervisor.pid, "supervisor")))
        refused = lsec("backup", tmp_path / "one.lsec", "--data-dir", data_dir)
        assert refused.exit_code == 1
        assert f"lsec down --data-dir {data_dir}" in refused.stderr
        assert supervisor.poll() is None

        (tmp_path / "taken").write_text("older")
        in_the_way = lsec("backup", tmp_path / "taken", "--stop", "--data-dir", data_dir)
        assert in_the_way.exit_code == 1
        assert supervisor.poll() is None

        done = lsec("backup", tmp_path / "one.lsec", "--stop", "--data-dir", data_dir)
        assert done.exit_code == 0
        assert supervisor.poll() is not None


def test_a_ledger_on_another_server_is_refused(data_dir: Path, tmp_path: Path) -> None:
    result = lsec(
        "backup", tmp_path / "one.lsec", LSEC_DATA_DIR=str(data_dir), LSEC_SQL_URL="postgresql://db"
    )
    assert result.exit_code == 1
    assert "pg_dump" in result.stderr
