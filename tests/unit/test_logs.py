"""Log lines: what they have, as JSON and as text, and back."""

import contextvars
import json
import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from lsec.api.stores.ledger import open_ledger
from lsec.core.logs import JsonLines, TextLines, as_text, begin_request, note
from lsec.core.settings import Settings
from lsec.local.processes import log_tail
from workers import ledger as workers_ledger

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)


def record(
    message: str = "took %d", *args: object, level: int = logging.INFO, **extra: object
) -> logging.LogRecord:
    """A record as a logger makes it, at a fixed moment."""
    made = logging.getLogger("lsec.test").makeRecord(
        "lsec.test", level, __file__, 1, message, args or (7,), None, extra=extra
    )
    made.created = MOMENT.timestamp()
    return made


def failure() -> logging.LogRecord:
    """The record of an exception."""
    made = record("a step of %s failed", "it", level=logging.ERROR)
    try:
        int("seven")
    except ValueError:
        made.exc_info = sys.exc_info()
    return made


def in_request(formatter: logging.Formatter) -> str:
    """A record as the formatter writes it while a request named req-1 is answered."""

    def format_record() -> str:
        begin_request("req-1")
        return formatter.format(record())

    return contextvars.copy_context().run(format_record)


def test_a_line_is_a_json_object_with_time_level_logger_message_and_process() -> None:
    line = JsonLines("api").format(record(status=202))
    assert line.count("\n") == 0
    assert json.loads(line) == {
        "time": "2026-01-02T03:04:05.678000Z",
        "level": "INFO",
        "logger": "lsec.test",
        "message": "took 7",
        "process": "api",
        "status": 202,
    }


def test_lines_of_a_request_carry_its_id() -> None:
    assert json.loads(in_request(JsonLines("api")))["request_id"] == "req-1"
    assert in_request(TextLines()).endswith("lsec.test took 7 request_id=req-1")
    assert "request_id" not in json.loads(JsonLines("api").format(record()))


def test_an_exception_is_one_line_of_json_and_many_of_text() -> None:
    line = JsonLines("api").format(failure())
    assert "\n" not in line
    assert (
        json.loads(line)["exception"].splitlines()[-1]
        == "ValueError: invalid literal for int() with base 10: 'seven'"
    )
    text = TextLines().format(failure())
    assert text.splitlines()[0] == "2026-01-02T03:04:05.678Z ERROR lsec.test a step of it failed"
    assert text.splitlines()[-1] == "ValueError: invalid literal for int() with base 10: 'seven'"


@pytest.mark.parametrize(
    "made", [record(), record(status=202, key="k"), failure()], ids=["plain", "fields", "error"]
)
def test_a_json_line_reads_as_the_text_line_of_the_same_record(made: logging.LogRecord) -> None:
    assert as_text(JsonLines("api").format(made)) == TextLines().format(made)


@pytest.mark.parametrize("line", ["", "Traceback (most recent call last):", "{", "[]", '{"time": 1}', '"x"'])
def test_any_other_line_stays_as_it_is(line: str) -> None:
    assert as_text(line) == line


def test_the_end_of_a_log_is_text_and_shows_how_a_traceback_ends(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    formatter = JsonLines("api")
    log.write_text("--- start\n" + "".join(formatter.format(made) + "\n" for made in (record(), failure())))
    lines = log_tail(log, num_lines=3).splitlines()
    assert len(lines) == 3
    assert lines[-1] == "ValueError: invalid literal for int() with base 10: 'seven'"
    assert log_tail(log).splitlines()[:2] == ["--- start", TextLines().format(record())]


def test_a_note_outside_a_request_goes_nowhere() -> None:
    def noted() -> dict[str, object]:
        note(status=1)
        notes = begin_request("req-2")
        note(accepted=2)
        note(accepted=3, rejected=0)
        return notes

    assert contextvars.copy_context().run(noted) == {"accepted": 3, "rejected": 0}


def test_libraries_that_would_write_what_people_do_are_quiet_at_debug() -> None:
    program = (
        "import logging\n"
        "from lsec.core.logs import configure_logging\n"
        "from lsec.core.settings import Settings\n"
        "configure_logging(Settings(log_level='DEBUG'), process='api')\n"
        "for name in ('sse_starlette.sse', 'aiosqlite', 'lsec.test'):\n"
        "    logging.getLogger(name).debug('says %s', name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == ["says lsec.test"]


async def test_an_error_of_the_ledger_does_not_tell_its_parameters(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    statement = text("SELECT 1 FROM nowhere WHERE id = :id")
    with pytest.raises(OperationalError) as of_api:
        async with open_ledger(settings) as ledger, ledger.read() as session:
            await session.execute(statement, {"id": "person-1"})
    engine = workers_ledger.open_ledger(settings)
    with pytest.raises(OperationalError) as of_worker, engine.connect() as connection:
        connection.execute(statement, {"id": "person-1"})
    engine.dispose()
    for caught in (of_api, of_worker):
        assert "nowhere" in str(caught.value)
        assert "person-1" not in str(caught.value)
