"""The doctor's look at an embedded stack: its processes, its ports, the memory that it wants."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsec.core.inspections import Finding, FindingState
from lsec.core.settings import Settings
from lsec.local.checks import note_versions
from lsec.local.installation import (
    as_running,
    installation,
    is_embedded,
    java,
    judge_memory,
    judge_ports,
    judge_stack,
)
from lsec.local.processes import StackRecord, record_of, write_record
from lsec.local.stack import ServiceStatus

OK, WARNING, BROKEN = FindingState.OK, FindingState.WARNING, FindingState.BROKEN


def service(name: str, *, port: int = 0, is_running: bool = True) -> ServiceStatus:
    return ServiceStatus(name, 1, port, "running" if is_running else "gone", 1.0, 1.0, f"{name}.log")


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def by_name(found: Iterator[Finding]) -> dict[str, Finding]:
    return {each.name: each for each in found}


def test_a_port_is_the_stacks_or_nobodys(taken_port: int) -> None:
    settings = Settings(bolt_port=taken_port, valkey_port=0, api_port=0)
    assert by_name(judge_ports(settings, [service("neo4j", port=taken_port)]))["port.bolt"].state == OK
    taken = by_name(judge_ports(settings, []))["port.bolt"]
    assert taken.state == BROKEN
    assert str(taken_port) in taken.detail
    assert "LSEC_BOLT_PORT" in taken.remedy


def test_a_process_that_is_gone_is_named() -> None:
    folder, running = Path("/data"), [service("supervisor"), service("api")]
    assert judge_stack([], folder).state == WARNING
    assert judge_stack(running, folder).state == OK
    crashed = judge_stack([*running, service("ingester", is_running=False)], folder)
    assert (crashed.state, "ingester.log" in crashed.remedy) == (BROKEN, True)
    killed = judge_stack([service("supervisor", is_running=False), service("api")], folder)
    assert "lsec down --data-dir /data" in killed.remedy


def test_memory_is_there_for_what_does_not_run_yet() -> None:
    settings = Settings(neo4j_heap_mb=1024, neo4j_page_cache_mb=512, valkey_max_memory_mb=1024)
    assert judge_memory(settings, [], available_mb=4096).state == OK
    assert "LSEC_NEO4J_HEAP_MB" in judge_memory(settings, [], available_mb=1024).remedy
    databases = [service("valkey"), service("neo4j")]
    assert judge_memory(settings, databases, available_mb=1024).state == OK
    assert judge_memory(settings, databases, available_mb=64).state == WARNING


def test_the_ports_of_a_running_stack_are_taken_from_its_record(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, bolt_port=0, valkey_port=0)
    assert not is_embedded(settings)
    neo4j, valkey = record_of(os.getpid(), "neo4j", port=1234), record_of(os.getpid(), "valkey", port=1235)
    write_record(tmp_path, StackRecord("id", record_of(os.getpid(), "supervisor"), (neo4j, valkey)))
    assert is_embedded(settings)
    running = as_running(settings)
    assert (running.bolt_port, running.neo4j_url) == (1234, "bolt://127.0.0.1:1234")
    assert running.broker_url.get_secret_value() == "redis://127.0.0.1:1235/1"
    given = as_running(Settings(data_dir=tmp_path, neo4j_url="bolt://graph:7687"))
    assert given.neo4j_url == "bolt://graph:7687"


def test_a_folder_of_a_newer_neo4j_is_broken(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, bolt_port=0, valkey_port=0, api_port=0)
    note_versions(tmp_path)
    assert by_name(installation(settings))["data-folder"].state == OK
    (tmp_path / "stack-version.json").write_text('{"layout": 1, "neo4j": "2999.1.0"}')
    newer = by_name(installation(settings))["data-folder"]
    assert (newer.state, "2999.1.0" in newer.detail) == (BROKEN, True)


def test_java_is_there() -> None:
    assert java().state == OK
