"""A real stack with real Celery workers that are started and killed one by one, and a market to train on."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

from lsec.api.stores.jobs import make_sender
from lsec.cli.key_ledger import create
from lsec.core.jobs import TRAIN_JOB
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from lsec.local import running_stack
from tests.faults.faulty_stack import FaultyStack, wait_until
from tests.whole_loops import require_whole_loops
from workers.graph import open_driver

SERVICES = ("valkey", "neo4j", "api", "upkeep", "beat")
VISIBILITY_S = 5
FINAL = ("succeeded", "rejected", "failed", "cancelled")
NUM_USERS, NUM_PRODUCTS = 2_000, 200

# Users of a half of the market buy products of that half: what any working model learns.
MARKET = """
UNWIND range(0, $users - 1) AS i CREATE (:User {id: 'u' + i, index: i})
WITH count(*) AS _
UNWIND range(0, $products - 1) AS i CREATE (:Product {id: 'p' + i, index: i})
WITH count(*) AS _
UNWIND range(0, 3) AS i CREATE (:Streamer {id: 's' + i, index: i})
WITH count(*) AS _
CREATE (:IngestOffset {shard: 0, epoch: 'e', position: '1-0', seq: 1, num_events: 1})
CREATE (:IndexCounter {label: 'User', next: $users}), (:IndexCounter {label: 'Product', next: $products}),
       (:IndexCounter {label: 'Streamer', next: 4})
WITH 1 AS _
MATCH (u:User) UNWIND range(0, 7) AS n
WITH u, n, $products / 2 AS half
MATCH (p:Product {index: (u.index % 2) * half + (u.index * 7 + n * (1 + u.index % 3)) % half})
CREATE (u)-[:BOUGHT {event_id: u.id + '-' + n, at: datetime('2026-01-01T00:00:00Z'), quantity: 1, amount: 100,
                     streamer_id: '', stream_id: '', seq: 1, shard: 0}]->(p)
"""
SHORT = {"dimensions": 16, "num_steps": 40, "validate_every": 20}
ENDLESS = {"dimensions": 16, "num_steps": 1_000_000, "patience": 1_000_000, "validate_every": 50}


@dataclass(slots=True)
class Worker:
    """A Celery worker of its own, which is no part of the stack."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def says(self, text: str) -> int:
        """How often its log has this so far."""
        return self.log.read_text(errors="replace").count(text)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass(slots=True)
class TrainingStack:
    """The stack, an admin's client of its API, and the workers."""

    faulty: FaultyStack
    client: httpx2.Client
    workers: dict[str, Worker] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return self.faulty.settings

    def start(self, name: str, *, queues: str = "trainings") -> Worker:
        """Start a worker, in place of one of that name, and wait until it takes jobs."""
        log = self.faulty.log_of(name)
        command = [sys.executable, "-u", "-m", "celery", "-A", "workers.celery_app:app", "worker"]
        command += ["--pool", "threads", "--concurrency", "1", "--queues", queues, "--hostname", f"{name}@%h"]
        before = log.read_text(errors="replace").count(" ready.") if log.exists() else 0
        with log.open("ab") as output:
            environment = self.faulty.stack.supervisor.environment
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        worker = self.workers[name] = Worker(name, process, log)
        wait_until(lambda: worker.says(" ready.") > before, timeout_s=60)
        return worker

    def stop_workers(self) -> None:
        """End every worker, in order."""
        for worker in self.workers.values():
            worker.process.terminate()
        for worker in self.workers.values():
            worker.process.wait(timeout=30)
        self.workers.clear()

    def ask(self, **request: Any) -> str:
        """The id of a run that is asked for; the API may be starting again."""
        body = {"override_gate": "a test of faults", "hyperparameters": SHORT, "seed": 1, **request}
        return str(self.call("POST", "/v1/trainings", json=body)["id"])

    def run(self, training_id: str) -> dict[str, Any]:
        """The run as it stands."""
        return dict(self.call("GET", f"/v1/trainings/{training_id}"))

    def call(self, method: str, path: str, **how: Any) -> Any:
        """The answer of the API, which may have been killed just now."""
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx2.TransportError):
                answer = self.client.request(method, path, **how)
                if answer.status_code < 500:
                    assert answer.status_code < 400, answer.text
                    return answer.json()
            assert time.monotonic() < deadline, "the API does not answer"
            time.sleep(0.1)

    def await_phase(self, training_id: str, *phases: str) -> dict[str, Any]:
        """The run when it is first seen in one of the phases, or over."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            run = self.run(training_id)
            if run["phase"] in phases or run["status"] in FINAL:
                return run
            time.sleep(0.02)
        raise TimeoutError(f"{training_id} does not come to {phases}: {run}")

    def await_end(self, training_id: str, *, timeout_s: float = 180) -> dict[str, Any]:
        """The run once it is over."""
        wait_until(lambda: self.run(training_id)["status"] in FINAL, timeout_s=timeout_s)
        return self.run(training_id)

    def cancel(self, training_id: str) -> float:
        """Seconds from a cancel to the run's end."""
        asked_at = time.monotonic()
        self.call("POST", f"/v1/trainings/{training_id}/cancel")
        wait_until(lambda: self.run(training_id)["status"] in FINAL, timeout_s=30)
        assert self.run(training_id)["status"] == "cancelled"
        return time.monotonic() - asked_at

    def trainer(self, training_id: str) -> psutil.Process | None:
        """The process that trains the run, if there is one now."""
        for worker in self.workers.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(worker.process.pid).children():
                    if any(training_id in argument for argument in child.cmdline()):
                        return child
        return None

    def send_again(self, training_id: str, times: int) -> None:
        """Deliver a run's job so many times more."""
        with make_sender(self.settings) as sender:
            for _ in range(times):
                sender.send_task(TRAIN_JOB, args=[training_id], queue="trainings")

    def log_of_run(self, training_id: str) -> str:
        """What the API gives of the run's log."""
        answer = self.client.get(f"/v1/trainings/{training_id}/log")
        assert answer.status_code == 200
        return str(answer.text)


@contextlib.contextmanager
def training_stack(data_dir: Path) -> Iterator[TrainingStack]:
    """A stack without a worker on a market, with checkpoints at every look and a short visibility timeout."""
    settings = Settings(
        data_dir=data_dir,
        bolt_port=0,
        valkey_port=0,
        api_port=0,
        api_processes=1,
        neo4j_heap_mb=512,
        neo4j_page_cache_mb=128,
        train_threads=1,
        checkpoint_s=0,
        broker_visibility_s=VISIBILITY_S,
    )
    with running_stack(settings, services=SERVICES) as stack:
        _, secret = asyncio.run(create(stack.settings, "faults", Scope.ADMIN))
        faulty = FaultyStack(stack, secret)
        with open_driver(stack.settings) as driver:
            driver.execute_query(MARKET, users=NUM_USERS, products=NUM_PRODUCTS)
        headers = {"Authorization": f"Bearer {secret}"}
        with httpx2.Client(base_url=faulty.url, headers=headers, timeout=30) as client:
            trainings = TrainingStack(faulty, client)
            try:
                yield trainings
            finally:
                trainings.stop_workers()
            require_whole_loops(data_dir)
