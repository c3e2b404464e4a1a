"""Child processes that outlive their starter's death: recorded, recognised and stopped exactly."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from lsec.core.errors import StackError
from lsec.core.logs import as_text
from lsec.core.settings import MIB

RECORD_FILE = "stack.json"
MARK = "EMBEDDED_STACK_ID"
"""Environment variable that every process of one stack carries, so that none is ever missed."""
SAME_START_S = 0.005
"""Start times are whole clock ticks of 0.01 s."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process that cannot be mistaken: a recycled pid has another start time, or is of another boot."""

    name: str
    pid: int
    created: float
    boot: str
    port: int = 0
    log: str = ""


@dataclass(frozen=True, slots=True)
class StackRecord:
    """What runs on a data folder: the stack's mark, its supervisor and its services, in start order."""

    stack_id: str
    supervisor: ProcessRecord
    services: tuple[ProcessRecord, ...] = ()


def record_of(pid: int, name: str, *, port: int = 0, log: str = "") -> ProcessRecord:
    """The record of a process that runs now."""
    return ProcessRecord(name, pid, start_time(psutil.Process(pid)), boot_id(), port, log)


def start_time(process: psutil.Process) -> float:
    """When it started, in seconds, the same before and after the machine's clock is set.

    On Linux since the boot, from the kernel: psutil adds the moment of the boot as it now appears,
    which moves with the clock.
    """
    if sys.platform != "linux":
        return process.create_time()
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(process.pid) from None
    # The name, in brackets, may hold anything; `starttime` is field 22, the 20th after it.
    return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def boot_id() -> str:
    """Tells this boot of the machine from others; empty where start times tell it by themselves."""
    return BOOT_ID.read_text().strip() if sys.platform == "linux" else ""


def live_process(record: ProcessRecord) -> psutil.Process | None:
    """The recorded process if it still runs; None if it ended or its pid belongs to another now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(record.pid)
        same = record.boot == boot_id() and abs(start_time(process) - record.created) < SAME_START_S
        if same and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def write_record(data_dir: Path, record: StackRecord) -> None:
    """Replace the record of the data folder, durably and in one step."""
    part = data_dir / f"{RECORD_FILE}.part"
    with part.open("w") as file:
        json.dump(asdict(record), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    part.replace(data_dir / RECORD_FILE)


def read_record(data_dir: Path) -> StackRecord | None:
    """The record of the data folder, or None if no stack is noted there."""
    path = data_dir / RECORD_FILE
    try:
        content = json.loads(path.read_text())
        services = tuple(ProcessRecord(**each) for each in content["services"])
        return StackRecord(content["stack_id"], ProcessRecord(**content["supervisor"]), services)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(
            f"The record {path} cannot be read: {error}.",
            remedy="If no process of the stack runs any more, delete it.",
        ) from error


def delete_record(data_dir: Path) -> None:
    """Forget the stack of the data folder."""
    (data_dir / RECORD_FILE).unlink(missing_ok=True)


def marked_processes(stack_id: str) -> list[psutil.Process]:
    """Processes that carry the stack's mark, other than this one.

    They include what a service itself started, and a service whose starter was killed
    before it could be recorded.
    """
    found = []
    for process in psutil.process_iter():
        # A process may end meanwhile, or belong to another user: then it is not ours.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == stack_id:
                found.append(process)
    return found


def stop_processes(processes: Iterable[psutil.Process], *, grace_s: float) -> None:
    """Ask them to end, wait, and kill what is left with its descendants; returns when all are gone.

    psutil compares the start time before each signal: a recycled pid gets none.
    """
    asked = list(processes)
    family = list(asked)
    for process in asked:
        with contextlib.suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
            process.terminate()
    _, left = psutil.wait_procs(asked, timeout=grace_s)
    kill_processes([*left, *(process for process in family if process not in asked)])


def kill_processes(processes: Iterable[psutil.Process]) -> None:
    """Kill them now and wait until they are gone."""
    killed = list(processes)
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(killed, timeout=10)


def log_tail(path: Path, *, num_lines: int = 15) -> str:
    """The last lines of a log, as text for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    # A traceback is one line of JSON, and many of text.
    return "\n".join("\n".join(map(as_text, lines[-num_lines:])).splitlines()[-num_lines:])


def uptime_s(process: psutil.Process) -> float:
    """Seconds since the process started."""
    return max(0.0, time.time() - process.create_time())


def memory_mb(process: psutil.Process) -> float:
    """MiB of memory of a process and its descendants; what they share counts once, where Linux tells it."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                memory = each.memory_full_info()
                total += getattr(memory, "pss", memory.rss)
    return total / MIB
