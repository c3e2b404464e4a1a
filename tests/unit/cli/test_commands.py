"""The command line: its help, what it writes, and how it ends when something is wrong."""

import gzip
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from graph_schema.events import Event
from lsec.cli.main import app
from lsec.local.processes import StackRecord, record_of, write_record

GROUPS = {
    "influence": {
        "leaderboard",
        "attribution",
        "lift",
        "audience",
        "seeds",
        "paper",
        "product-streamers",
        "spread",
        "funnel",
        "influencers",
        "paths",
    },
    "releases": {
        "list",
        "show",
        "compare",
        "slates",
        "card",
        "download",
        "promote",
        "rollback",
        "keep",
        "delete",
    },
    "retraining": {"show", "set", "check"},
    "keys": {"create", "list", "revoke"},
    "dead-letters": {"list", "show", "fix", "replay", "purge"},
    "users": {"erase", "data", "erasures"},
}
COMMANDS = {
    "up",
    "down",
    "status",
    "doctor",
    "demo",
    "simulate",
    "ingest",
    "backup",
    "restore",
    "lag",
    "event-status",
    "live",
    "metrics",
    "import-lsec",
    "evaluate",
    "train",
    "tune",
    "recommend",
    "similar",
    "streamers-for",
    "audience",
    "showcase-next",
    "prune",
}
COMMANDS |= {"migrate", *GROUPS}
PATHS = [(name,) for name in sorted(COMMANDS)] + [
    (group, name) for group, names in GROUPS.items() for name in sorted(names)
]


def lsec(*arguments: str | Path, stdin: str = "", **env: str) -> Result:
    """Runs the command with no more of the environment than is given."""
    nothing = {"LSEC_URL": None, "LSEC_API_KEY": None, "LSEC_DATA_DIR": None, "COLUMNS": "200"}
    return CliRunner().invoke(app, [str(each) for each in arguments], input=stdin, env=nothing | env)


def unused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_the_help_lists_every_command() -> None:
    result = lsec("--help")
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    result = lsec(*path, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output
    if path[0] not in GROUPS or len(path) == 2:
        assert path == ("migrate",) or "Example" in result.output


def test_wrong_usage_ends_with_code_2() -> None:
    assert lsec("recommend").exit_code == 2
    assert lsec("nonsense").exit_code == 2
    assert lsec("keys", "create", "--name", "me", "--scope", "everything").exit_code == 2


def test_simulate_writes_the_events_of_the_vocabulary_the_same_each_time(tmp_path: Path) -> None:
    small = ("simulate", "--users", "20", "--products", "30", "--streamers", "3", "--days", "2")
    first = lsec(*small)
    assert first.exit_code == 0
    events = [msgspec.json.decode(line, type=Event) for line in first.stdout.splitlines()]
    assert len(events) > 100
    result = lsec(*small, "--out", tmp_path / "market.ndjson")
    assert result.exit_code == 0
    assert (tmp_path / "market.ndjson").read_text() == first.stdout


def test_without_a_key_the_remedy_is_named() -> None:
    result = lsec("recommend", "u1")
    assert result.exit_code == 1
    assert "LSEC_API_KEY" in result.stderr
    assert "lsec keys create" in result.stderr


def test_an_api_that_is_not_there_is_named_with_the_remedy() -> None:
    url = unused_url()
    result = lsec("train", LSEC_URL=url, LSEC_API_KEY="lsec_x")
    assert result.exit_code == 1
    assert url in result.stderr
    assert "lsec status" in result.stderr


def test_an_address_that_is_none_is_refused() -> None:
    result = lsec("releases", "list", "--url", "localhost", "--key", "k")
    assert result.exit_code == 1
    assert "no address of an API" in result.stderr


def test_importing_a_folder_without_train_says_what_is_missing(tmp_path: Path) -> None:
    result = lsec("import-lsec", tmp_path, LSEC_API_KEY="lsec_x")
    assert result.exit_code == 1
    assert "user.tsv" in result.stderr
    assert "train/" in result.stderr


def test_ingesting_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    result = lsec("ingest", tmp_path / "events.ndjson", LSEC_API_KEY="lsec_x")
    assert result.exit_code == 1
    assert "events.ndjson" in result.stderr


def test_evaluating_a_release_that_is_not_there_says_where_it_looked(tmp_path: Path) -> None:
    lists = tmp_path / "lists.tsv.gz"
    lists.write_bytes(gzip.compress(b"user\titem\tvalue\n"))
    result = lsec("evaluate", "--release", "rel_x", "--lists", lists, LSEC_DATA_DIR=str(tmp_path))
    assert result.exit_code == 1
    assert "artifacts/rel_x" in result.stderr.replace("\n", "")


def test_a_release_id_cannot_leave_the_folder_of_artifacts(tmp_path: Path) -> None:
    result = lsec("evaluate", "--release", "../secrets", "--lists", tmp_path / "x")
    assert result.exit_code == 1
    assert "no id of a release" in result.stderr


def test_the_version_is_told() -> None:
    result = lsec("--version")
    assert (result.exit_code, result.stdout) == (0, f"lsec {version('lsec')}\n")


def test_an_error_under_json_is_an_object_on_the_output_and_prose_on_the_error_stream() -> None:
    result = lsec("recommend", "u1", "--json")
    assert result.exit_code == 1
    error = msgspec.json.decode(result.stdout)["error"]
    assert (error["title"], error["detail"]) == ("Invalid request", "There is no API key.")
    assert "LSEC_API_KEY" in error["remedy"]
    assert "There is no API key." in result.stderr
    assert lsec("recommend", "u1").stdout == ""


def test_keys_without_a_ledger_say_how_to_make_one(tmp_path: Path) -> None:
    result = lsec("keys", "list", LSEC_DATA_DIR=str(tmp_path))
    assert result.exit_code == 1
    assert "lsec migrate" in result.stderr


def test_status_of_a_folder_where_nothing_runs_is_1_and_down_is_0(tmp_path: Path) -> None:
    status = lsec("status", "--data-dir", tmp_path)
    assert (status.exit_code, "Nothing runs" in status.stdout) == (1, True)
    assert msgspec.json.decode(lsec("status", "--data-dir", tmp_path, "--json").stdout)["services"] == []
    down = lsec("down", "--data-dir", tmp_path, "--json")
    assert (down.exit_code, msgspec.json.decode(down.stdout)) == (0, {"stopped": []})


def test_status_after_a_killed_up_says_how_the_rest_is_stopped(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE) as service,
        subprocess.Popen(command, stdin=subprocess.PIPE) as up,
    ):
        services = (record_of(service.pid, "api"),)
        write_record(tmp_path, StackRecord("stack", record_of(up.pid, "supervisor"), services))
        whole = lsec("status", "--data-dir", tmp_path)
        up.kill()
        up.wait()
        orphaned = lsec("status", "--data-dir", tmp_path)
        as_json = lsec("status", "--data-dir", tmp_path, "--json")
        service.kill()
    assert (whole.exit_code, "was killed" in whole.stdout) == (0, False)
    assert orphaned.exit_code == 1
    assert "`lsec up` was killed; `lsec down` stops the rest." in orphaned.stdout
    assert "lsec down" in msgspec.json.decode(as_json.stdout)["remedy"]


def test_migrating_a_graph_that_is_not_there_is_an_error_in_words_and_as_json(tmp_path: Path) -> None:
    graph = unused_url().replace("http", "bolt")
    result = lsec("migrate", "--json", LSEC_NEO4J_URL=graph, LSEC_DATA_DIR=str(tmp_path))
    assert result.exit_code == 1
    assert "The graph cannot be used" in msgspec.json.decode(result.stdout)["error"]["detail"]
    assert "LSEC_NEO4J_URL" in result.stderr


def test_a_bad_setting_is_named_by_its_variable(tmp_path: Path) -> None:
    result = lsec("status", LSEC_API_PORT="many", LSEC_DATA_DIR=str(tmp_path))
    assert result.exit_code == 1
    assert "LSEC_API_PORT" in result.stderr


def test_a_service_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    result = lsec("up", "--service", "kafka", "--data-dir", tmp_path / "new")
    assert result.exit_code == 1
    assert "kafka" in result.stderr
    assert not (tmp_path / "new").exists()


def test_pruning_takes_the_data_folder_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "neo4j-password").mkdir()
    result = lsec("prune", "--days", "9", "--dry-run", "--data-dir", tmp_path)
    assert result.exit_code == 1
    assert str(tmp_path / "neo4j-password") in result.stderr.replace("\n", "")
