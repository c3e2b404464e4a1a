"""Recorded processes are recognised by pid and start time, and only they are stopped."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lsec.core.errors import StackError
from lsec.local import stack_status, stop_recorded
from lsec.local.processes import (
    MARK,
    RECORD_FILE,
    ProcessRecord,
    StackRecord,
    live_process,
    memory_mb,
    read_record,
    record_of,
    stop_processes,
    write_record,
)

GONE = ProcessRecord("supervisor", 2**22 - 1, 1.0, "a-boot")


def sleeper(**variables: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"]
    popen = subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.PIPE)
    assert popen.stdout
    popen.stdout.readline()
    popen.stdout.close()
    return popen


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    popen = sleeper()
    yield popen
    popen.kill()
    popen.wait()


def test_a_record_survives_writing_and_reading(tmp_path: Path) -> None:
    record = StackRecord("abc", GONE, (ProcessRecord("neo4j", 5, 2.5, "a-boot", 7687, "neo4j.log"),))
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record


def test_a_damaged_record_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_text("{")
    with pytest.raises(StackError, match=RECORD_FILE):
        read_record(tmp_path)


def test_a_recorded_process_is_stopped(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    record = record_of(process.pid, "neo4j")
    write_record(tmp_path, StackRecord("abc", GONE, (record,)))
    assert [status.state for status in stack_status(tmp_path)] == ["gone", "running"]
    assert stop_recorded(tmp_path) == ["neo4j"]
    assert live_process(record) is None
    assert read_record(tmp_path) is None
    assert stop_recorded(tmp_path) == []


def test_a_recycled_pid_is_not_touched(process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    record = record_of(process.pid, "neo4j")
    others = (replace(record, created=record.created - 5), replace(record, boot="an-earlier-boot"))
    write_record(tmp_path, StackRecord("abc", GONE, others))
    assert stop_recorded(tmp_path) == []
    assert process.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system records the wall clock")
def test_a_start_time_counts_from_the_boot_so_that_setting_the_clock_changes_nothing(
    process: subprocess.Popen[bytes],
) -> None:
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert now - 60 < record_of(process.pid, "neo4j").created <= now


def test_a_process_with_the_mark_is_stopped_though_it_was_not_recorded_yet(tmp_path: Path) -> None:
    marked, other = sleeper(**{MARK: "this-stack"}), sleeper(**{MARK: "another-stack"})
    try:
        write_record(tmp_path, StackRecord("this-stack", GONE))
        assert len(stop_recorded(tmp_path)) == 1
        assert marked.poll() is not None
        assert other.poll() is None
    finally:
        for popen in (marked, other):
            popen.kill()
            popen.wait()


def test_a_process_that_ignores_the_request_is_killed_after_its_grace() -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    popen = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert popen.stdout
    with popen.stdout as output:
        output.readline()
    record = record_of(popen.pid, "stubborn")
    stop_processes([psutil.Process(popen.pid)], grace_s=0.2)
    assert live_process(record) is None
    popen.wait()


def test_a_stack_of_this_very_process_is_not_stopped_by_its_record(tmp_path: Path) -> None:
    write_record(tmp_path, StackRecord("abc", record_of(os.getpid(), "supervisor")))
    with pytest.raises(StackError, match="runs in this process"):
        stop_recorded(tmp_path)


def test_the_memory_of_a_process_is_that_of_its_children_too() -> None:
    me = psutil.Process()
    alone = memory_mb(me)
    child = sleeper()
    try:
        assert memory_mb(me) > alone + memory_mb(psutil.Process(child.pid)) / 2
    finally:
        child.kill()
        child.wait()
    assert memory_mb(psutil.Process(me.pid)) > 1
