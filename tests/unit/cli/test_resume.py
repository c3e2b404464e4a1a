"""A break in the middle of sending files: what it says, and that the same command goes on."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from lsec.cli.event_files import FileBatch
from lsec.cli.main import app
from lsec.cli.resume import Resume, State, beside
from tests.unit.client.conftest import MoodyApi


def lsec(api: MoodyApi, *arguments: str | Path) -> Result:
    env = {"LSEC_URL": api.url, "LSEC_API_KEY": "lsec_x", "COLUMNS": "200"}
    return CliRunner().invoke(app, [str(each) for each in arguments], env=env)


def lines(num: int) -> str:
    return "".join(f'{{"event_id":"e{n}"}}\n' for n in range(num))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "events.ndjson"
    file.write_text(lines(10))
    return file


def broken_off(api: MoodyApi, *arguments: str | Path) -> str:
    """The errors of a command of which a first batch of four went in and the next one was refused."""
    api.moods = ["well", "refuse"]
    result = lsec(api, "ingest", "--batch", "4", "--connections", "1", *arguments)
    assert result.exit_code == 1
    return result.stderr


def interrupted(api: MoodyApi, *arguments: str | Path) -> tuple[str, str]:
    """Ctrl-C once a first batch of four went in and the next one waits; the output and the errors."""
    api.moods = ["well", *["busy"] * 100]
    api.retry_after_s = 60
    command = [sys.executable, "-c", "from lsec.cli.main import app; app()", "ingest"]
    options = ["--batch", "4", "--connections", "1", "--url", api.url, "--key", "k"]
    with subprocess.Popen(
        [*command, *options, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 30
        while len(api.request_times) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        stopped_at = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert time.monotonic() - stopped_at < 5
    assert process.returncode == 130
    api.moods = []
    return output, errors


def sent_after(api: MoodyApi, *arguments: str | Path) -> dict[str, object]:
    result = lsec(api, "ingest", *arguments, "--json")
    assert result.exit_code == 0
    answer: dict[str, object] = msgspec.json.decode(result.stdout)
    return answer


def test_ctrl_c_reports_and_the_same_command_sends_only_the_rest(api: MoodyApi, file: Path) -> None:
    output, errors = interrupted(api, file, "--json")
    report = msgspec.json.decode(output)
    assert (report["sent"], report["accepted"], report["complete"]) == (4, 4, False)
    assert "Stopped: 4 events sent" in errors
    assert f"The same command again goes on at line 5 of {file}." in errors
    result = lsec(api, "ingest", file)
    assert f"Resuming at line 5 of {file}; --from-start sends all again." in result.stderr
    assert "6 events sent" in result.stdout
    assert api.seen_ids == [f"e{n}" for n in range(10)]
    assert not beside(file).exists()
    assert sent_after(api, file)["duplicates"] == 10


def test_of_several_files_the_finished_ones_are_not_sent_again(api: MoodyApi, tmp_path: Path) -> None:
    a, b = tmp_path / "a.ndjson", tmp_path / "b.ndjson"
    a.write_text(lines(4))
    b.write_text(lines(9).replace("e", "f").replace("fvfnt", "event"))
    broken_off(api, a, b)
    assert (sent_after(api, a, b)["sent"], len(api.seen_ids)) == (9, 13)
    assert list(tmp_path.glob("*.lsec-resume")) == []


def test_all_is_sent_again_when_it_is_asked_for(api: MoodyApi, file: Path) -> None:
    broken_off(api, file)
    assert sent_after(api, file, "--from-start")["sent"] == 10
    assert not beside(file).exists()


def test_a_file_that_has_changed_is_sent_from_its_start(api: MoodyApi, file: Path) -> None:
    broken_off(api, file)
    file.write_text(lines(11))
    result = lsec(api, "ingest", file)
    assert "has changed" in result.stderr
    assert "11 events sent" in result.stdout


def test_a_file_is_sent_from_its_start_to_a_log_that_was_made_anew(api: MoodyApi, file: Path) -> None:
    broken_off(api, file)
    api.seen_ids.clear()
    result = lsec(api, "ingest", file)
    assert "to another log" in result.stderr
    assert "10 accepted" in result.stdout


def test_a_file_is_sent_from_its_start_when_its_place_cannot_be_read(api: MoodyApi, file: Path) -> None:
    beside(file).write_text("{")
    result = lsec(api, "ingest", file)
    assert f"{beside(file)} cannot be read" in result.stderr
    assert "10 accepted" in result.stdout


def test_from_the_input_nothing_is_kept(api: MoodyApi, tmp_path: Path) -> None:
    api.moods = ["refuse"]
    env = {"LSEC_URL": api.url, "LSEC_API_KEY": "k"}
    result = CliRunner().invoke(app, ["ingest", "-"], input=lines(3), env=env)
    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_only_what_has_no_gap_before_it_counts_as_sent(file: Path) -> None:
    resume = Resume([file], "http://x", log_events=5, from_start=False)

    def answer(first: int, num: int) -> None:
        # A blank line after each event: lines are not events.
        indexes = [2 * n for n in range(first, first + num)]
        resume.answered(FileBatch(first, [b"{}"] * num, file, indexes, 0), num)
        resume.save()

    def kept() -> int:
        return msgspec.json.decode(beside(file).read_bytes(), type=State).next

    answer(0, 2)
    assert kept() == 3
    answer(4, 2)
    answer(6, 1)
    assert kept() == 3
    answer(2, 2)
    assert kept() == 13
    assert Resume([file], "http://x", log_events=12, from_start=False).starts == {file: 13}
    assert Resume([file], "http://x", log_events=11, from_start=False).starts == {}
    assert Resume([file], "http://y", log_events=12, from_start=False).starts == {}


def test_a_folder_that_cannot_be_written_is_no_reason_not_to_send(api: MoodyApi, file: Path) -> None:
    beside(file).with_name(f"{beside(file).name}.part").mkdir()
    errors = broken_off(api, file)
    assert "after a break all is sent again" in errors
    assert "recognised for an hour" in errors
