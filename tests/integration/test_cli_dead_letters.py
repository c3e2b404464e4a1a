"""The commands on dead letters, the lag and an event's status, against the real API."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lsec.cli.main import app
from lsec.core.ledger import Scope
from tests.integration.ingest_stack import MAX_COUNT, IngestStack, views


class Cli:
    """Runs `lsec` as an admin."""

    def __init__(self, url: str, key: str) -> None:
        self.environment = {"LSEC_URL": url, "LSEC_API_KEY": key, "COLUMNS": "200"}

    def __call__(self, *arguments: str | Path, stdin: str = "") -> Result:
        words = [str(each) for each in arguments]
        return CliRunner().invoke(app, words, input=stdin, env=self.environment)


@pytest.fixture
def lsec(api_url: str, keys: dict[Scope, str]) -> Cli:
    return Cli(api_url, keys[Scope.ADMIN])


@pytest.fixture
def letters(stack: IngestStack) -> list[str]:
    """Letters of the events `w0` and `w1`."""
    stack.append(views(2))
    ingester = stack.drain()
    stack.set_view_counts(MAX_COUNT, users=["u0", "u1"])
    stack.append(views(2, prefix="w"))
    stack.drain(ingester)
    return [letter.id for letter in stack.dead_letters()]


def test_a_letter_is_listed_shown_edited_put_back_and_replayed(
    lsec: Cli, letters: list[str], stack: IngestStack, tmp_path: Path
) -> None:
    listed = lsec("dead-letters", "list")
    assert all(letter in listed.stdout for letter in letters)
    for_people = lsec("dead-letters", "show", letters[0]).stdout
    assert "of event w0: open." in for_people
    assert '"product_id": "p"' in for_people
    shown = lsec("dead-letters", "show", letters[0], "--json").stdout
    fixed = lsec("dead-letters", "fix", letters[0], "-", stdin=shown.replace('"u0"', '"u8"'))
    assert (fixed.exit_code, f"replay {letters[0]}" in fixed.stdout) == (0, True)
    event = tmp_path / "event.json"
    event.write_text(json.dumps(json.loads(shown)["event"] | {"user_id": "u9"}))
    again = lsec("dead-letters", "fix", letters[0], event, "--json")
    assert json.loads(again.stdout)["event"]["user_id"] == "u9"
    replayed = lsec("dead-letters", "replay", letters[0])
    assert replayed.stdout == "1 dead letters replayed; 1 are open.\n"
    stack.drain()
    rows, _, _ = stack.driver.execute_query(
        "MATCH (u:User)-[:VIEWED]->() WHERE u.id > 'u1' RETURN u.id AS id"
    )
    assert [row["id"] for row in rows] == ["u9"]


def test_replaying_by_filter_or_by_ids_says_what_was_refused(
    lsec: Cli, letters: list[str], stack: IngestStack
) -> None:
    assert lsec("dead-letters", "replay").exit_code == 2
    assert lsec("dead-letters", "replay", letters[0], "--all").exit_code == 2
    unknown = lsec("dead-letters", "replay", letters[0], "dl_none")
    assert (unknown.exit_code, "dl_none" in unknown.stderr) == (1, True)
    done = lsec("dead-letters", "replay", "--all", "--json")
    assert json.loads(done.stdout) == {"replayed": 1, "refused": [], "open": 0}


def test_purging_must_say_what_and_goes_on_past_what_is_refused(lsec: Cli, letters: list[str]) -> None:
    assert lsec("dead-letters", "purge").exit_code == 2
    assert lsec("dead-letters", "purge", "--state", "replayed").stdout == "0 dead letters purged.\n"
    purged = lsec("dead-letters", "purge", "dl_none", letters[0], letters[0], "--json")
    told = json.loads(purged.stdout)
    assert (purged.exit_code, told["purged"], told["refused"][0]["id"]) == (1, 1, "dl_none")
    again = lsec("dead-letters", "purge", letters[0])
    assert (again.exit_code, again.stdout) == (1, "0 dead letters purged.\n")
    assert letters[0] in again.stderr
    assert json.loads(lsec("dead-letters", "purge", "--all", "--json").stdout) == {"purged": 1}
    assert json.loads(lsec("dead-letters", "list", "--json").stdout)["dead_letters"] == []


def test_a_file_without_an_event_is_named(lsec: Cli, tmp_path: Path) -> None:
    missing = lsec("dead-letters", "fix", "dl_x", tmp_path / "none.json")
    assert (missing.exit_code, "none.json" in missing.stderr) == (1, True)
    broken = lsec("dead-letters", "fix", "dl_x", "-", stdin="{")
    assert (broken.exit_code, "no JSON" in broken.stderr) == (1, True)


def test_the_status_of_an_event_is_told_with_its_letter(lsec: Cli, letters: list[str]) -> None:
    assert lsec("event-status", "v0").stdout == "Event v0 is in the graph (shard 0, number 1).\n"
    assert f"lsec dead-letters show {letters[0]}" in lsec("event-status", "w0").stdout
    assert json.loads(lsec("event-status", "w0", "--json").stdout)["status"] == "dead_lettered"
    unknown = lsec("event-status", "nothing")
    assert (unknown.exit_code, "nothing" in unknown.stderr) == (1, True)


def test_the_lag_is_shown_with_the_dead_letters(lsec: Cli, letters: list[str], stack: IngestStack) -> None:
    caught_up = lsec("lag")
    assert caught_up.exit_code == 0
    assert "0 events wait; 2 dead letters: lsec dead-letters list" in caught_up.stdout
    stack.append(views(3, prefix="x"))
    behind = lsec("lag")
    assert "3 events wait, the oldest for" in behind.stdout
    assert json.loads(lsec("lag", "--json").stdout)["shards"][0]["backlog_events"] == 3


@pytest.mark.parametrize(("flags", "sign"), [(("--json",), '"backlog_events":0'), ((), "0 events wait")])
def test_the_lag_is_shown_again_and_again_when_watched(lsec: Cli, flags: tuple[str, ...], sign: str) -> None:
    command = [
        sys.executable,
        "-c",
        "from lsec.cli.main import app; app()",
        "lag",
        "--watch",
        "--every",
        "0.1",
    ]
    environment = {**lsec.environment, "PYTHONPATH": ":".join(sys.path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*command, *flags], env=environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        seen = 0
        for line in watching.stdout:
            seen += sign in line
            if seen == 3:
                break
        watching.send_signal(signal.SIGINT)
        watching.stdout.read()
        assert watching.wait(timeout=20) == 0
