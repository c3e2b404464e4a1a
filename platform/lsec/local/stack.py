"""The embedded stack as a whole: start it, stop what a record names, tell what runs."""

import os
import secrets
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

import psutil
from filelock import FileLock, Timeout
from pydantic import SecretStr

from lsec.core.errors import StackError
from lsec.core.settings import Settings
from lsec.local.checks import (
    check_data_dir,
    check_disk,
    check_memory,
    check_ports,
    note_versions,
)
from lsec.local.jars import ensure_jars
from lsec.local.password import ensure_password
from lsec.local.processes import (
    StackRecord,
    delete_record,
    live_process,
    marked_processes,
    memory_mb,
    read_record,
    record_of,
    stop_processes,
    uptime_s,
    write_record,
)
from lsec.local.progress import OnEvent, StackEvent, ignore_events
from lsec.local.services import ALL_SERVICES, stages
from lsec.local.sockets import free_port
from lsec.local.supervisor import Supervisor

LOCK_FILE = "stack.lock"
SUPERVISOR_GRACE_S = 90.0
SERVICE_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack: its settings have the ports and addresses that are in use."""

    settings: Settings
    supervisor: Supervisor

    def wait(self) -> None:
        """Block until Ctrl-C (KeyboardInterrupt), or until the stack failed (StackError)."""
        self.supervisor.wait()

    def check(self) -> None:
        """StackError if the stack has failed meanwhile."""
        self.supervisor.check()


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One recorded process, and whether it still runs."""

    name: str
    pid: int
    port: int
    state: Literal["running", "gone"]
    uptime_s: float
    memory_mb: float
    log: str


def settled(settings: Settings, services: Collection[str]) -> Settings:
    """Settings with free ports for 0, and the addresses and the password that follow from the data folder."""
    changes: dict[str, object] = {}
    ports = {"neo4j": "bolt_port", "valkey": "valkey_port", "api": "api_port"}
    for service, name in ports.items():
        if service in services:
            changes[name] = getattr(settings, name) or free_port()
    if "neo4j" in services:
        changes["neo4j_url"] = f"bolt://127.0.0.1:{changes['bolt_port']}"
        changes["neo4j_user"], changes["neo4j_password"] = "neo4j", ensure_password(settings.data_dir)
    if "valkey" in services:
        address = f"redis://127.0.0.1:{changes['valkey_port']}"
        changes["log_url"], changes["broker_url"] = SecretStr(f"{address}/0"), SecretStr(f"{address}/1")
    return settings.model_copy(update=changes)


@contextmanager
def running_stack(
    settings: Settings,
    *,
    services: Collection[str] = ALL_SERVICES,
    on_event: OnEvent = ignore_events,
    cache: Path | None = None,
) -> Iterator[Stack]:
    """The stack on the data folder of the settings, ready to use inside the block, stopped after it.

    In the main thread SIGTERM and SIGHUP end the block like Ctrl-C. StackError, with a remedy, if
    something is in the way, or at the end of the block if a service crashed too often.
    """
    if unknown := set(services) - set(ALL_SERVICES):
        raise ValueError(f"unknown services {sorted(unknown)}; there are {', '.join(ALL_SERVICES)}")
    data_dir = settings.data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    with stop_signals_as_exit(), data_dir_lock(data_dir):
        settings = settled(settings.model_copy(update={"data_dir": data_dir}), services)
        supervisor = prepare(settings, services, on_event=on_event, cache=cache)
        try:
            supervisor.start()
            yield Stack(settings, supervisor)
        except Exception as error:
            # What failed inside the block failed since the stack did: that is the better message.
            if supervisor.failure is not None:
                raise supervisor.failure from error
            raise
        finally:
            supervisor.stop()
        supervisor.check()


def prepare(
    settings: Settings, services: Collection[str], *, on_event: OnEvent, cache: Path | None
) -> Supervisor:
    """A supervisor that may start: leftovers are stopped, all checks passed, the jars are there."""
    data_dir = settings.data_dir
    record = read_record(data_dir)
    if record is not None and (left := stop_services(record, data_dir)):
        on_event(StackEvent("note", f"Stopped what an earlier stack had left: {', '.join(left)}"))
    check_data_dir(data_dir)
    check_disk(data_dir)
    check_memory(settings, services)
    check_ports(spec for stage in stages(settings, services, jars=data_dir) for spec in stage.services)
    stack_id = secrets.token_hex(16)
    # On record already now: a download may take a while, and `lsec down` shall end it.
    write_record(data_dir, StackRecord(stack_id, record_of(os.getpid(), "supervisor")))
    try:
        jars = None
        if "neo4j" in services:
            jars = ensure_jars(cache=cache, maven_url=settings.maven_url, on_event=on_event)
    except BaseException:
        delete_record(data_dir)
        raise
    (data_dir / "valkey").mkdir(exist_ok=True)
    note_versions(data_dir)
    plan = stages(settings, services, jars=jars)
    return Supervisor(settings, plan, stack_id=stack_id, on_event=on_event)


@contextmanager
def data_dir_lock(data_dir: Path, *, timeout_s: float = 0) -> Iterator[None]:
    """Hold the data folder; the system lets go of it when this process dies, however it dies."""
    lock = FileLock(data_dir / LOCK_FILE)
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout:
        record = read_record(data_dir)
        who = f" (pid {record.supervisor.pid})" if record else ""
        raise StackError(
            f"Another stack{who} runs on the data folder {data_dir}.",
            remedy="Use it, stop it with `lsec down`, or set LSEC_DATA_DIR to another folder.",
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def stop_signals_as_exit() -> Iterator[None]:
    """In the main thread, SIGTERM and SIGHUP raise SystemExit, so that the children are stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    # One that is ignored stays so: `nohup` says by that that a hang-up is no reason to stop.
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_recorded(data_dir: Path, *, on_event: OnEvent = ignore_events) -> list[str]:
    """Stop the stack of the data folder and what it left behind; the names of what ran.

    A supervisor that lives is asked to stop its children itself. StackError if it is this very process.
    """
    data_dir = data_dir.absolute()
    record = read_record(data_dir)
    if record is None:
        return []
    if record.supervisor.pid == os.getpid():
        raise StackError("The stack runs in this process.", remedy="Leave its `with` block instead.")
    running = [service.name for service in record.services if live_process(service)]
    if supervisor := live_process(record.supervisor):
        on_event(StackEvent("stopping", f"Asking lsec up (pid {supervisor.pid}) to stop"))
        stop_supervisor(supervisor)
    with data_dir_lock(data_dir, timeout_s=5):
        # Read again, since a supervisor that stopped in order has deleted it.
        if (left := read_record(data_dir)) is not None:
            running += [name for name in stop_services(left, data_dir) if name not in running]
    return running


def stop_supervisor(supervisor: psutil.Process) -> None:
    """Ask it to end; kill it, and it alone, when it does not."""
    try:
        supervisor.terminate()
        supervisor.wait(timeout=SUPERVISOR_GRACE_S)
    except psutil.TimeoutExpired:
        supervisor.kill()
        supervisor.wait(timeout=5)
    except psutil.NoSuchProcess:
        return


def stop_services(record: StackRecord, data_dir: Path) -> list[str]:
    """Stop the recorded services in reverse order, then what else carries the mark; their names."""
    stopped = []
    for service in reversed(record.services):
        if process := live_process(service):
            stop_processes([process], grace_s=SERVICE_GRACE_S)
            stopped.append(service.name)
    others = marked_processes(record.stack_id)
    stopped += [process.name() for process in others]
    stop_processes(others, grace_s=SERVICE_GRACE_S)
    delete_record(data_dir)
    return stopped


def stack_status(data_dir: Path) -> list[ServiceStatus]:
    """The supervisor and the services on record, in start order; empty if no stack is noted."""
    record = read_record(data_dir.absolute())
    if record is None:
        return []
    found = []
    for each in (record.supervisor, *record.services):
        process = live_process(each)
        found.append(
            ServiceStatus(
                name=each.name,
                pid=each.pid,
                port=each.port,
                state="running" if process else "gone",
                uptime_s=round(uptime_s(process), 1) if process else 0.0,
                memory_mb=round(memory_mb(process), 1) if process else 0.0,
                log=each.log,
            )
        )
    return found
