"""Real Neo4j and Valkey under the supervisor: killed, stopped by record, restarted, crashed."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import neo4j
import neo4j.exceptions
import psutil
import pytest
import redis

from lsec.core.settings import NEO4J_PASSWORD_FILE, Settings
from lsec.local import DATABASES, StackEvent, running_stack, stack_status, stop_recorded
from lsec.local.jars import ensure_jars

SUPERVISE = """
import sys
from pathlib import Path
from lsec.core.settings import Settings
from lsec.local import DATABASES, running_stack

settings = Settings(data_dir=Path(sys.argv[1]), bolt_port=0, valkey_port=0)
with running_stack(settings, services=DATABASES) as stack:
    print(stack.settings.neo4j_url, stack.settings.log_url.get_secret_value(), flush=True)
    stack.wait()
"""


def start_supervisor(data_dir: Path) -> tuple[subprocess.Popen[str], str, str]:
    """A supervisor in a process of its own, and the addresses of its Neo4j and its Valkey."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SUPERVISE, str(data_dir)]
    popen = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert popen.stdout
    with popen.stdout as output:
        neo4j_url, log_url = output.readline().split()
    return popen, neo4j_url, log_url


def open_graph(data_dir: Path, neo4j_url: str) -> neo4j.Driver:
    password = (data_dir / NEO4J_PASSWORD_FILE).read_text()
    return neo4j.GraphDatabase.driver(neo4j_url, auth=("neo4j", password))


def write_both(data_dir: Path, neo4j_url: str, log_url: str, text: str) -> None:
    with open_graph(data_dir, neo4j_url) as driver:
        driver.execute_query("CREATE (:Probe {text: $text})", text=text)
    with redis.Redis.from_url(log_url) as client:
        client.xadd("probe", {"text": text})


def read_both(data_dir: Path, neo4j_url: str, log_url: str) -> tuple[list[str], list[str]]:
    with open_graph(data_dir, neo4j_url) as driver:
        records, _, _ = driver.execute_query("MATCH (p:Probe) RETURN p.text AS text ORDER BY text")
    with redis.Redis.from_url(log_url, decode_responses=True) as client:
        return [record["text"] for record in records], [
            fields["text"] for _, fields in client.xrange("probe")
        ]


def wait_for(condition: Callable[[], object], *, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def children(data_dir: Path) -> dict[str, psutil.Process]:
    return {each.name: psutil.Process(each.pid) for each in stack_status(data_dir) if each.name in DATABASES}


@pytest.mark.slow
def test_nothing_runs_on_and_nothing_is_lost_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    popen, neo4j_url, log_url = start_supervisor(tmp_path)
    try:
        write_both(tmp_path, neo4j_url, log_url, "before")
        popen.kill()
        popen.wait()
        left = children(tmp_path)
        assert [process.is_running() for process in left.values()] == [True, True]
        write_both(tmp_path, neo4j_url, log_url, "orphaned")
        assert sorted(stop_recorded(tmp_path)) == ["neo4j", "valkey"]
    finally:
        popen.kill()
        stop_recorded(tmp_path)
    assert [process.is_running() for process in left.values()] == [False, False]
    assert stack_status(tmp_path) == []

    # Again, and this time the next start finds what was left, and a crash of Valkey.
    popen, neo4j_url, log_url = start_supervisor(tmp_path)
    try:
        popen.kill()
        popen.wait()
        left = children(tmp_path)
        events: list[StackEvent] = []
        settings = Settings(data_dir=tmp_path, bolt_port=0, valkey_port=0)
        with running_stack(settings, services=DATABASES, on_event=events.append) as stack:
            assert [process.is_running() for process in left.values()] == [False, False]
            neo4j_url, log_url = stack.settings.neo4j_url, stack.settings.log_url.get_secret_value()
            assert read_both(tmp_path, neo4j_url, log_url) == (["before", "orphaned"], ["before", "orphaned"])
            children(tmp_path)["valkey"].send_signal(signal.SIGKILL)
            wait_for(
                lambda: [event.service for event in events if event.kind == "ready"].count("valkey") == 2
            )
            assert read_both(tmp_path, neo4j_url, log_url)[1] == ["before", "orphaned"]
            assert [event.service for event in events if event.kind == "crashed"] == ["valkey"]
            running = children(tmp_path)
    finally:
        popen.kill()
    assert events[0].message.startswith("Stopped what an earlier stack had left: neo4j, valkey")
    assert [process.is_running() for process in running.values()] == [False, False]


@pytest.mark.slow
def test_the_supervisor_stops_its_children_when_it_is_asked_to_stop(tmp_path: Path) -> None:
    popen, _, _ = start_supervisor(tmp_path)
    running = children(tmp_path)
    try:
        assert sorted(stop_recorded(tmp_path)) == ["neo4j", "valkey"]
    finally:
        popen.kill()
    assert popen.wait() != -signal.SIGKILL
    assert [process.is_running() for process in running.values()] == [False, False]


@pytest.mark.slow
def test_neo4j_lets_in_only_the_password_of_the_data_folder_and_reads_no_local_files(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", bolt_port=0)
    password_file = settings.data_dir / NEO4J_PASSWORD_FILE
    with running_stack(settings, services=["neo4j"]) as stack:
        first = password_file.read_text()
        url = stack.settings.neo4j_url
        assert stat.S_IMODE(password_file.stat().st_mode) == 0o600
        assert stack.settings.neo4j_password.get_secret_value() == first
        for refused in (None, ("neo4j", "neo4j"), ("neo4j", "")):
            with (
                neo4j.GraphDatabase.driver(url, auth=refused) as driver,
                pytest.raises(neo4j.exceptions.ClientError, match="Unauthorized"),
            ):
                driver.verify_connectivity()

        secret = tmp_path / "secret.csv"
        secret.write_text("secret\n")
        with (
            open_graph(settings.data_dir, url) as driver,
            pytest.raises(neo4j.exceptions.ClientError, match="allow_csv_import_from_file_urls"),
        ):
            driver.execute_query("LOAD CSV FROM $url AS row RETURN row", url=secret.as_uri())

        process = psutil.Process(stack.supervisor.children[0].record.pid)
        assert first not in " ".join(process.cmdline())
    holders = [path.name for path in settings.data_dir.rglob("*") if path.is_file() and holds(path, first)]
    assert holders == [NEO4J_PASSWORD_FILE]

    # A lost password is made anew, and the stores take it.
    password_file.unlink()
    with running_stack(settings, services=["neo4j"]) as stack:
        assert password_file.read_text() != first
        with open_graph(settings.data_dir, stack.settings.neo4j_url) as driver:
            driver.verify_connectivity()


def holds(path: Path, text: str) -> bool:
    return text.encode() in path.read_bytes()


@pytest.mark.slow
def test_neo4j_that_is_stopped_while_it_starts_closes_its_stores_first(tmp_path: Path) -> None:
    arguments = ("--home", str(tmp_path / "neo4j"), "--jars", str(ensure_jars()), "--bolt-port", "0")
    popen = subprocess.Popen(
        [sys.executable, "-m", "lsec.local.neo4j_server", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LSEC_NEO4J_PASSWORD": "p" * 32},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: (tmp_path / "neo4j" / "data" / "databases").exists())
        popen.terminate()
        _, log = popen.communicate(timeout=60)
    finally:
        popen.kill()
    assert popen.returncode == 0
    assert "Neo4j has stopped" in log
