"""The supervisor with small real child processes in place of the services."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lsec.core.errors import StackError
from lsec.core.settings import Settings
from lsec.local.processes import read_record
from lsec.local.progress import StackEvent
from lsec.local.services import ServiceSpec, Stage, Task
from lsec.local.supervisor import Supervisor

SLEEP = "import time; time.sleep(60)"


class Run:
    """A supervisor on a temporary folder, and what it reported."""

    def __init__(self, folder: Path, *stages: Stage) -> None:
        self.events: list[StackEvent] = []
        self.supervisor = Supervisor(
            Settings(data_dir=folder),
            list(stages),
            stack_id=folder.name,
            on_event=self.events.append,
            first_backoff_s=0.05,
        )

    def kinds(self, kind: str) -> list[str]:
        return [event.service for event in self.events if event.kind == kind]


def service(
    name: str, code: str = SLEEP, *, ready: Callable[[Settings], bool] = lambda _: True
) -> ServiceSpec:
    return ServiceSpec(name, (sys.executable, "-c", code), ready, ready_timeout_s=5, stop_grace_s=5)


def wait_for(condition: Callable[[], object], *, timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def test_services_start_after_the_tasks_of_their_stage_and_stop_in_reverse(tmp_path: Path) -> None:
    mark = tmp_path / "migrated"
    task = Task("migrate", (sys.executable, "-c", f"open({str(mark)!r}, 'w').close()"))
    later = service("api", ready=lambda _: mark.exists())
    run = Run(tmp_path, Stage((service("valkey"), service("neo4j"))), Stage((later,), (task,)))
    run.supervisor.start()
    record = read_record(tmp_path)
    assert record is not None
    assert [each.name for each in record.services] == ["valkey", "neo4j", "api"]
    assert run.kinds("ready") == ["valkey", "neo4j", "migrate", "api"]
    run.supervisor.stop()
    assert run.kinds("stopped") == ["api", "neo4j", "valkey"]
    assert read_record(tmp_path) is None


def test_a_child_that_ends_while_starting_shows_its_log(tmp_path: Path) -> None:
    run = Run(tmp_path, Stage((service("neo4j", "print('no luck'); exit(3)", ready=lambda _: False),)))
    with pytest.raises(
        StackError, match=r"neo4j ended with exit code 3 while starting[^$]*no luck"
    ) as caught:
        run.supervisor.start()
    run.supervisor.stop()
    assert str(tmp_path / "logs" / "neo4j.log") in caught.value.remedy


def test_a_task_that_fails_stops_the_start(tmp_path: Path) -> None:
    task = Task("migrate", (sys.executable, "-c", "exit('schema is newer')"))
    run = Run(tmp_path, Stage((service("api"),), (task,)))
    with pytest.raises(StackError, match=r"migrate failed with exit code 1[^$]*schema is newer"):
        run.supervisor.start()
    run.supervisor.stop()


def test_a_crashed_child_is_started_again_and_recorded(tmp_path: Path) -> None:
    run = Run(tmp_path, Stage((service("valkey"), service("neo4j"))))
    run.supervisor.start()
    first = run.supervisor.children[0].record
    run.supervisor.children[0].popen.kill()
    wait_for(lambda: len(run.kinds("ready")) == 3)
    record = read_record(tmp_path)
    run.supervisor.stop()
    assert record is not None
    assert record.services[0].name == "valkey"
    assert record.services[0].pid != first.pid
    (crash,) = [event for event in run.events if event.kind == "crashed"]
    assert "valkey ended with signal 9" in crash.message
    assert "valkey.log" in crash.message


def test_a_child_that_waits_for_another_one_does_not_keep_it_from_starting_again(tmp_path: Path) -> None:
    valkey = service("valkey")

    def needs_valkey(_: Settings) -> bool:
        return run.supervisor.children[0].popen.poll() is None

    run = Run(tmp_path, Stage((valkey, service("ingester", ready=needs_valkey))))
    run.supervisor.start()
    for child in reversed(run.supervisor.children):
        child.popen.kill()
        child.popen.wait()
    wait_for(lambda: run.kinds("ready").count("valkey") == run.kinds("ready").count("ingester") == 2)
    run.supervisor.stop()
    run.supervisor.check()


def test_a_child_that_keeps_crashing_ends_the_stack_with_the_reason(tmp_path: Path) -> None:
    run = Run(tmp_path, Stage((service("neo4j"), service("worker", "import time; time.sleep(0.2); exit(7)"))))
    run.supervisor.start()
    with pytest.raises(StackError, match=r"worker crashed 6 times in 60 s, last with exit code 7"):
        run.supervisor.wait()
    assert run.supervisor.children == []
    assert read_record(tmp_path) is None


def test_children_see_the_settings_of_the_stack(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code = f"import os; open({str(seen)!r}, 'w').write(os.environ['LSEC_DATA_DIR'])\n{SLEEP}"
    run = Run(
        tmp_path, Stage((service("api", code, ready=lambda _: bool(seen.exists() and seen.read_text())),))
    )
    run.supervisor.start()
    run.supervisor.stop()
    assert seen.read_text() == str(tmp_path)
