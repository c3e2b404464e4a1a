"""Starts the services in order, restarts one that crashes, stops them in reverse."""

import contextlib
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lsec.core.errors import StackError
from lsec.core.settings import MIB, Settings
from lsec.local.processes import (
    MARK,
    ProcessRecord,
    StackRecord,
    delete_record,
    kill_processes,
    live_process,
    log_tail,
    marked_processes,
    record_of,
    stop_processes,
    write_record,
)
from lsec.local.progress import OnEvent, StackEvent
from lsec.local.services import ServiceSpec, Stage, Task, environment

MAX_LOG_BYTES = 8 * MIB
POLL_S = 0.1
MAX_CRASHES = 5
CRASH_WINDOW_S = 60.0


@dataclass(slots=True)
class Child:
    """A service with its process and the moments of its crashes."""

    spec: ServiceSpec
    log: Path
    popen: subprocess.Popen[bytes]
    record: ProcessRecord
    started_at: float
    is_ready: bool = False
    restart_at: float | None = None
    """When the next process takes the place of this one, which has ended."""
    crashes: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_CRASHES + 1))


class Supervisor:
    """Owns the child processes of one stack; a thread watches them once all are ready.

    Each child has a session of its own: a terminal's Ctrl-C reaches only the supervisor, which ends
    them in order. What runs is on record before the next thing starts.
    """

    def __init__(
        self,
        settings: Settings,
        stages: list[Stage],
        *,
        stack_id: str,
        on_event: OnEvent,
        first_backoff_s: float = 0.5,
    ) -> None:
        self.settings = settings
        self.stages = stages
        self.stack_id = stack_id
        self.on_event = on_event
        self.first_backoff_s = first_backoff_s
        self.children: list[Child] = []
        self.failure: StackError | None = None
        self.stopping = threading.Event()
        self.ended = threading.Event()
        self.watcher = threading.Thread(target=self._watch, name="stack-watcher", daemon=True)
        # An override of the shell must not leak into children: theirs are exactly these settings.
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("LSEC_")}
        self.environment |= {**environment(settings), MARK: stack_id}

    def start(self) -> None:
        """Start every stage and wait until each service answers; StackError if one does not."""
        self._write_record()
        for stage in self.stages:
            for task in stage.tasks:
                self._run_task(task)
            for spec in stage.services:
                self.on_event(StackEvent("starting", f"Starting {spec.name}", spec.name))
                self.children.append(self._spawn(spec))
                self._write_record()
            for child in self.children[-len(stage.services) :] if stage.services else []:
                self._await_ready(child)
        self.watcher.start()

    def wait(self) -> None:
        """Block until the stack ended by itself, which is always a failure, or was stopped."""
        # With a timeout, since a wait without one would not let Ctrl-C through on every platform.
        while not self.ended.wait(timeout=1.0):
            pass
        self.check()

    def check(self) -> None:
        """Raise the failure that ended the stack, if there was one."""
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Stop the children in reverse order; a second Ctrl-C or SIGTERM kills them at once."""
        self.stopping.set()
        try:
            if self.watcher.is_alive() and threading.current_thread() is not self.watcher:
                self.watcher.join()
            self._stop_children()
        except (KeyboardInterrupt, SystemExit):
            self.on_event(StackEvent("stopping", "Killing what is left"))
            kill_processes(self._processes(self.children))
        kill_processes(marked_processes(self.stack_id))
        for child in self.children:
            child.popen.wait()
        self.children.clear()
        delete_record(self.settings.data_dir)
        self.ended.set()

    def _processes(self, children: Iterable[Child]) -> list[psutil.Process]:
        return [process for child in children if (process := live_process(child.record))]

    def _stop_children(self) -> None:
        for child in reversed(self.children):
            self.on_event(StackEvent("stopping", f"Stopping {child.spec.name}", child.spec.name))
            stop_processes(self._processes([child]), grace_s=child.spec.stop_grace_s)
            self.on_event(StackEvent("stopped", f"{child.spec.name} has stopped", child.spec.name))

    def _write_record(self) -> None:
        me = record_of(os.getpid(), "supervisor")
        services = tuple(child.record for child in self.children)
        write_record(self.settings.data_dir, StackRecord(self.stack_id, me, services))

    def _open(self, name: str, command: tuple[str, ...]) -> tuple[Path, subprocess.Popen[bytes]]:
        log = self.settings.data_dir / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            output.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%S%z')} start of {name}\n".encode())
            output.flush()
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )
        return log, popen

    def _spawn(self, spec: ServiceSpec) -> Child:
        log, popen = self._open(spec.name, spec.command)
        record = record_of(popen.pid, spec.name, port=spec.port, log=str(log))
        return Child(spec, log, popen, record, started_at=time.monotonic())

    def _run_task(self, task: Task) -> None:
        self.on_event(StackEvent("starting", f"Running {task.name}", task.name))
        log, popen = self._open(task.name, task.command)
        try:
            code = popen.wait(timeout=task.timeout_s)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            if popen.poll() is None:
                popen.kill()
                popen.wait()
        if code:
            raise failed(task.name, f"failed with exit code {code}", log)
        self.on_event(StackEvent("ready", f"{task.name} is done", task.name))

    def _await_ready(self, child: Child) -> None:
        while not self.stopping.is_set() and not self._answers(child):
            if child.popen.poll() is not None:
                how = ending(child.popen.returncode)
                raise failed(child.spec.name, f"ended with {how} while starting", child.log)
            self.stopping.wait(POLL_S)

    def _answers(self, child: Child) -> bool:
        """Whether a child that still starts is ready; StackError when it takes too long."""
        spec, waited_s = child.spec, time.monotonic() - child.started_at
        # Until it listens, each probe fails in a way of its own client; the time limit decides.
        with contextlib.suppress(Exception):
            child.is_ready = child.popen.poll() is None and spec.ready(self.settings)
        if child.is_ready:
            text = f"{spec.name} is ready after {waited_s:.1f} s"
            self.on_event(StackEvent("ready", text, spec.name))
        elif waited_s > spec.ready_timeout_s:
            raise failed(spec.name, f"did not answer within {spec.ready_timeout_s:.0f} s", child.log)
        return child.is_ready

    def _watch(self) -> None:
        try:
            while not self.stopping.wait(POLL_S):
                for index, child in enumerate(self.children):
                    if not self.stopping.is_set():
                        self._tend(index, child)
        except (StackError, OSError, psutil.Error) as error:
            if isinstance(error, StackError):
                self.failure = error
            else:
                self.failure = StackError(f"A service cannot be started again: {error}.")
            self.stop()

    def _tend(self, index: int, child: Child) -> None:
        """Do what is due for a child, without waiting: it may need another one that is down as well."""
        if child.restart_at is not None:
            if time.monotonic() >= child.restart_at:
                self.children[index] = self._spawn(child.spec)
                self.children[index].crashes = child.crashes
                self._write_record()
        elif child.popen.poll() is not None:
            self._note_crash(child)
        elif not child.is_ready:
            self._answers(child)

    def _note_crash(self, child: Child) -> None:
        """Have a crashed child start again after a pause that doubles; StackError past the limit."""
        name, now = child.spec.name, time.monotonic()
        child.crashes.append(now)
        recent = sum(now - moment < CRASH_WINDOW_S for moment in child.crashes)
        how = ending(child.popen.returncode)
        if recent > MAX_CRASHES:
            raise failed(
                name, f"crashed {recent} times in {CRASH_WINDOW_S:.0f} s, last with {how}", child.log
            )
        tail = log_tail(child.log, num_lines=5)
        text = f"{name} ended with {how}; starting it again. Log: {child.log}\n{tail}"
        self.on_event(StackEvent("crashed", text, name))
        child.restart_at = now + self.first_backoff_s * 2 ** (recent - 1)


def ending(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        return f"signal {-code}"
    return f"exit code {code}"


def failed(name: str, what: str, log: Path) -> StackError:
    """The error of a service, with the end of its log."""
    return StackError(
        f"{name} {what}. The end of its log:\n{log_tail(log)}\n",
        remedy=f"See {log}; mend the cause and start again.",
    )
