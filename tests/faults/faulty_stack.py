"""A real stack that streams a ledger while its parts are killed, and the check of what became of it."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import redis

from lsec.cli.key_ledger import create
from lsec.client import ApiError, Client, Unreachable
from lsec.client.answers import Lag
from lsec.core.event_log import LogKeys, parse_committed
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from lsec.local import Stack, StackEvent, running_stack
from lsec.local.supervisor import Child
from tests.faults.comparison import Difference, difference
from tests.faults.ledger import Ledger, make_ledger
from tests.faults.producers import Producers, Tally
from tests.whole_loops import require_whole_loops
from workers.graph import open_driver

DRAIN_S = 900.0
SERVICES = ("valkey", "neo4j", "api", "ingester")
SECOND_INGESTER = "second-ingester"
STANDING_BY = "standing by"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a ledger: the producers' tally, and how graph and log differ from it."""

    tally: Tally
    difference: Difference
    num_appended: int
    """Events that the log took, which is each of the ledger's once."""
    num_dead_letters: int


@dataclass(slots=True)
class FaultyStack:
    """A running stack, and the ways to hurt it."""

    stack: Stack
    secret: str
    reports: list[StackEvent] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return self.stack.settings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.api_port}"

    @property
    def ingester(self) -> str:
        """The name of the ingester of shard 0."""
        return "ingester" if self.settings.shards == 1 else "ingester-0"

    def child(self, part: str) -> Child:
        """The present process of a part."""
        return next(child for child in self.stack.supervisor.children if child.spec.name == part)

    def parts(self) -> list[str]:
        """The names of all parts."""
        return [child.spec.name for child in self.stack.supervisor.children]

    def signal(self, part: str, number: int = signal.SIGKILL) -> Child:
        """Send a signal to a part's present process, once there is one; that process."""
        wait_until(lambda: self.child(part).popen.poll() is None)
        child = self.child(part)
        child.popen.send_signal(number)
        return child

    def restarted(self, part: str, before: Child) -> Child:
        """The ready process that the supervisor put in the place of another."""
        wait_until(lambda: self.child(part) is not before and self.child(part).is_ready)
        return self.child(part)

    def await_ready(self) -> None:
        """Wait until every part is up."""

        def all_up() -> bool:
            self.stack.check()
            return all(c.is_ready and c.popen.poll() is None for c in self.stack.supervisor.children)

        wait_until(all_up)

    def num_committed(self) -> int:
        """Events that the log's server knows to be in the graph; 0 while it is away."""
        with contextlib.suppress(redis.RedisError), self.log_client() as log:
            mirrors: list[Any] = [log.hgetall(LogKeys(n).committed) for n in range(self.settings.shards)]
            return sum(parse_committed(mirror).total for mirror in mirrors)
        return 0

    def log_of(self, part: str) -> Path:
        """What the processes of a part, also of the second ingester, write their lines to."""
        return self.settings.data_dir / "logs" / f"{part}.log"

    def num_lines(self, part: str, text: str) -> int:
        """How often a part's log says this so far."""
        log = self.log_of(part)
        return log.read_text(errors="replace").count(text) if log.exists() else 0

    def log_client(self) -> redis.Redis:
        """A client of the log's server."""
        return redis.Redis.from_url(self.settings.log_url.get_secret_value(), socket_timeout=10)

    @contextlib.contextmanager
    def second_ingester(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Another ingester of shard 0 beside the stack's, told to stop at the end of the block."""
        command = [sys.executable, "-m", "workers.ingest", "--shard", "0", *arguments]
        with self.log_of(SECOND_INGESTER).open("ab") as output:
            process = subprocess.Popen(
                command, env=self.stack.supervisor.environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            yield process
            process.terminate()
            assert process.wait(timeout=60) == 0, f"the second ingester ended with {process.returncode}"
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def ingester_standing_by(self) -> Iterator[subprocess.Popen[bytes]]:
        """A second ingester of shard 0 that has started and waits for the lease."""
        before = self.num_lines(SECOND_INGESTER, STANDING_BY)
        with self.second_ingester() as process:
            wait_until(lambda: self.num_lines(SECOND_INGESTER, STANDING_BY) > before)
            yield process

    def stream(self, ledger: Ledger, *, duration_s: float) -> Producers:
        """Producers that send the ledger over so many seconds, from now on."""
        return Producers(ledger, url=self.url, secret=self.secret, duration_s=duration_s)

    def outcome(self, ledger: Ledger, producers: Producers, *, appended_before: int) -> Outcome:
        """Waits until the producers are done and the graph has it all, and compares."""
        self.await_ready()
        tally = producers.join(timeout_s=DRAIN_S)
        lag = self.drained()
        with open_driver(self.settings) as driver:
            found = difference(ledger, driver)
        num_appended = sum(shard.appended for shard in lag.shards) - appended_before
        return Outcome(tally, found, num_appended, lag.dead_letters)

    def drained(self) -> Lag:
        """The lag once all that was accepted is in the graph."""
        with Client(self.url, self.secret) as client:
            deadline = time.monotonic() + DRAIN_S
            while True:
                try:
                    return client.wait_until_committed(timeout_s=DRAIN_S)
                except (ApiError, Unreachable):
                    if time.monotonic() > deadline:
                        raise
                time.sleep(0.5)

    def survive(
        self,
        prefix: str,
        fault: Callable[["FaultyStack"], None],
        *,
        num_events: int = 3000,
        duration_s: float = 5.0,
        beyond_s: tuple[float, float] | None = None,
    ) -> Outcome:
        """Streams a ledger while `fault` runs; whatever happened, each event is in the graph once."""
        before = sum(shard.appended for shard in self.drained().shards)
        ledger = make_ledger(num_events, prefix=prefix, opened_at=datetime.now(UTC), beyond_s=beyond_s)
        producers = self.stream(ledger, duration_s=duration_s)
        fault(self)
        outcome = self.outcome(ledger, producers, appended_before=before)
        assert outcome.difference == Difference()
        assert (outcome.num_appended, outcome.num_dead_letters) == (num_events, 0)
        return outcome


@contextlib.contextmanager
def faulty_stack(data_dir: Path, *, shards: int = 1, heap_mb: int = 512) -> Iterator[FaultyStack]:
    """A stack of its own in the folder, with a key for producers."""
    settings = Settings(
        data_dir=data_dir,
        bolt_port=0,
        valkey_port=0,
        api_port=0,
        shards=shards,
        neo4j_heap_mb=heap_mb,
        neo4j_page_cache_mb=128,
    )
    reports: list[StackEvent] = []
    with running_stack(settings, services=SERVICES, on_event=reports.append) as stack:
        # Less than that may not send the erasures of a ledger.
        _, secret = asyncio.run(create(stack.settings, "faults", Scope.ADMIN))
        yield FaultyStack(stack, secret, reports)
        require_whole_loops(data_dir)


def wait_until(condition: Callable[[], object], *, timeout_s: float = 240.0) -> None:
    """Poll `condition` until it is true; what it asks may be down meanwhile."""
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(redis.RedisError, OSError, psutil.NoSuchProcess):
            if condition():
                return
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen in time")
        time.sleep(0.05)


def aof_bytes(settings: Settings) -> int:
    """The size of the file that the log's server appends to."""
    files = (settings.data_dir / "valkey" / "appendonlydir").glob("*.incr.aof")
    return max(path.stat().st_size for path in files)
