"""Each thing in the way of a start has a message that names it and a remedy."""

import json
import os
import socket
from pathlib import Path

import pytest

from lsec.core.errors import StackError
from lsec.core.settings import Settings
from lsec.local import DATABASES, running_stack
from lsec.local.checks import (
    VERSION_FILE,
    check_data_dir,
    check_disk,
    check_memory,
    check_ports,
    note_versions,
)
from lsec.local.processes import StackRecord, record_of, write_record
from lsec.local.services import stages
from lsec.local.sockets import free_port
from lsec.local.stack import data_dir_lock


def test_a_port_in_use_is_named_with_its_owner_and_its_setting(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(data_dir=tmp_path, bolt_port=port, valkey_port=free_port())
        services = [spec for stage in stages(settings, DATABASES, jars=tmp_path) for spec in stage.services]
        with pytest.raises(
            StackError, match=f"Port {port} for neo4j is in use by .*pid {os.getpid()}"
        ) as caught:
            check_ports(services)
    assert "LSEC_BOLT_PORT" in caught.value.remedy
    check_ports(services)


def test_too_little_memory_names_the_settings_that_lower_the_need(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(StackError, match="500 MB are available") as caught:
        check_memory(settings, DATABASES, available_mb=500)
    assert "LSEC_NEO4J_HEAP_MB" in caught.value.remedy
    check_memory(settings, [], available_mb=500)


def test_too_little_disk_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="are free on the disk"):
        check_disk(tmp_path, min_free_mb=10**9)


def test_a_data_folder_of_this_version_is_taken(tmp_path: Path) -> None:
    check_data_dir(tmp_path)
    note_versions(tmp_path)
    check_data_dir(tmp_path)


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"layout": 99, "neo4j": "2026.09.0"}, "newer version of lsec"),
        ({"layout": 1, "neo4j": "2199.01.0"}, r"stores of Neo4j 2199\.01\.0"),
        ({"layout": 1}, "cannot be read"),
    ],
)
def test_a_data_folder_of_another_version_is_refused(
    versions: dict[str, object], message: str, tmp_path: Path
) -> None:
    (tmp_path / VERSION_FILE).write_text(json.dumps(versions))
    with pytest.raises(StackError, match=message):
        check_data_dir(tmp_path)


def test_a_data_folder_in_use_names_the_process_that_holds_it(tmp_path: Path) -> None:
    write_record(tmp_path, StackRecord("abc", record_of(os.getpid(), "supervisor")))
    held = data_dir_lock(tmp_path)
    busy = pytest.raises(StackError, match=f"Another stack .pid {os.getpid()}. runs on")
    with held, busy as caught, running_stack(Settings(data_dir=tmp_path), services=[]):
        pass
    assert "lsec down" in caught.value.remedy


def test_an_unknown_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown services"), running_stack(Settings(), services=["kafka"]):
        pass
