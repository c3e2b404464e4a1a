"""Lines that a thread writes: in order, errors at once, and nobody who logs waits for the stream."""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from lsec.core.log_writer import background_lines
from tests.integration.api_server import wait_until

log = logging.getLogger("lsec.test.writer")


@contextlib.contextmanager
def logging_to(stream: TextIO) -> Iterator[None]:
    """Within the block the root logger writes to the stream, too."""
    root = logging.getLogger()
    level, handler = root.level, logging.StreamHandler(stream)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """Where the root logger writes."""
    path = tmp_path / "lines.log"
    with path.open("w") as stream, logging_to(stream):
        yield path


def test_lines_come_in_order_soon_and_all_of_them_at_the_end(file: Path) -> None:
    with background_lines():
        for number in range(100):
            log.info("line %d", number)
        wait_until(lambda: len(file.read_text().splitlines()) == 100)
        assert file.read_text().splitlines() == [f"line {number}" for number in range(100)]
        log.info("the last")
    assert file.read_text().splitlines()[-1] == "the last"
    log.info("after it")
    assert file.read_text().splitlines()[-1] == "after it"


def test_an_error_is_written_at_once_after_all_before_it(file: Path) -> None:
    with background_lines():
        log.info("before")
        log.error("an error")
        assert file.read_text().splitlines() == ["before", "an error"]


def test_who_logs_waits_for_no_stream() -> None:
    reading, writing = os.pipe()
    lines = [f"{number} {'x' * 1000}" for number in range(1000)]
    found: list[str] = []
    with os.fdopen(reading) as source, os.fdopen(writing, "w") as sink, logging_to(sink):
        reader = threading.Thread(target=lambda: found.extend(next(source) for _ in lines))
        with background_lines():
            # The pipe holds 64 KiB, and nobody reads it yet.
            for line in lines:
                log.info(line)
            reader.start()
        reader.join()
    assert [line.rstrip("\n") for line in found] == lines


def test_lines_of_a_stream_that_is_gone_are_lost_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "gone.log"
    with path.open("w") as stream, logging_to(stream), background_lines():
        stream.close()
        log.error("nobody hears it")
        log.info("nor this")
    assert path.read_text() == ""
