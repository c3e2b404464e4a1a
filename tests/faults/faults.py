"""What can happen to a stack: each fault runs while producers stream, and says how often it happened."""

import contextlib
import random
import signal
import subprocess
import time
from collections import Counter, deque
from collections.abc import Collection

import psutil

from lsec.core.event_log import LogKeys
from tests.faults.commit_cutter import commit_cutter
from tests.faults.faulty_stack import SECOND_INGESTER, FaultyStack, aof_bytes, wait_until
from workers.graph import open_driver

MOST_KILLS_A_MINUTE = 4
"""Of one part: the supervisor gives a stack up after five."""
LONGEST_REST_S = 30.0
FOUND_APPLIED = "Applied batch 0:"
"""A batch that the graph held already: of a commit whose answer was lost, or of the other ingester."""
MOVED = "reading its position anew"
TERMINATED = "Transaction terminated."


class Killer:
    """Kills parts with -9 at random, each as often as the others, sometimes two at once.

    What commits, Neo4j and the ingesters, is spared until something was committed since it was last
    killed, for a while at least: else a slow machine would never come to commit between two kills.
    """

    def __init__(self, faulty: FaultyStack, *, parts: Collection[str] = (), seed: int = 0) -> None:
        self.kills: Counter[str] = Counter()
        self._faulty = faulty
        self._parts = sorted(parts or faulty.parts())
        self._draw = random.Random(seed)
        self._bag: list[str] = []
        self._recent = {part: deque([-60.0], maxlen=MOST_KILLS_A_MINUTE) for part in self._parts}
        self._committed = dict.fromkeys(self._parts, -1)

    def run(self, seconds: float, *, every_s: tuple[float, float] = (4.0, 10.0)) -> None:
        """Kill for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, self._draw.uniform(*every_s)))
            if time.monotonic() < deadline:
                for _ in range(2 if self._draw.random() < 0.25 else 1):
                    self._kill_next()

    def _kill_next(self) -> None:
        """Kill the first part of the bag that may be; each is in a bag once."""
        if not self._bag:
            self._bag = self._draw.sample(self._parts, k=len(self._parts))
        for part in self._bag:
            if self._may_kill(part):
                self._faulty.child(part).popen.kill()
                self._bag.remove(part)
                self._recent[part].append(time.monotonic())
                self._committed[part] = max(self._committed[part], self._faulty.num_committed())
                self.kills[part] += 1
                return

    def _may_kill(self, part: str) -> bool:
        recent, now = self._recent[part], time.monotonic()
        if self._faulty.child(part).popen.poll() is not None:
            return False
        if len(recent) == MOST_KILLS_A_MINUTE and now - recent[0] < 60:
            return False
        if part in ("api", "valkey") or now - recent[-1] > LONGEST_REST_S:
            return True
        return self._faulty.num_committed() > self._committed[part]


def neo4j_outage(faulty: FaultyStack, seconds: float) -> int:
    """Neo4j is killed and stays down: the process that replaces it may not go on until the time is over."""
    before = faulty.signal("neo4j")
    wait_until(lambda: faulty.child("neo4j") is not before)
    faulty.signal("neo4j", signal.SIGSTOP)
    time.sleep(seconds)
    faulty.signal("neo4j", signal.SIGCONT)
    faulty.restarted("neo4j", before)
    return 1


def slow_neo4j(faulty: FaultyStack, seconds: float) -> int:
    """Neo4j stands still again and again."""
    num_stops, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        faulty.signal("neo4j", signal.SIGSTOP)
        time.sleep(0.7)
        faulty.signal("neo4j", signal.SIGCONT)
        num_stops += 1
        time.sleep(0.3)
    return num_stops


def full_disk(faulty: FaultyStack, room_bytes: int) -> int:
    """The log's server can append only so much more; it ends at the next write and is started again."""
    before = faulty.child("valkey")
    limit = aof_bytes(faulty.settings) + room_bytes
    psutil.Process(before.popen.pid).rlimit(psutil.RLIMIT_FSIZE, (limit, limit))
    faulty.restarted("valkey", before)
    return 1


def deploy(faulty: FaultyStack) -> int:
    """API and ingesters are told to end, and new ones take their place."""
    deployed = [part for part in faulty.parts() if part not in ("valkey", "neo4j")]
    for part in deployed:
        faulty.restarted(part, faulty.signal(part, signal.SIGTERM))
    return len(deployed)


def frozen_ingester(faulty: FaultyStack, second: subprocess.Popen[bytes], seconds: float) -> int:
    """The ingester that drains stands still until its lease is lost and the other one has taken over.

    Then both go on, and it is the other one's turn, until one of them tried what the other had committed:
    it takes one that had read a batch when it was stopped.
    """
    before, deadline = _num_outrun(faulty), time.monotonic() + seconds
    turns = deque([faulty.child(faulty.ingester).popen, second])
    with faulty.log_client() as log:
        while time.monotonic() < deadline and _num_outrun(faulty) == before:
            num_committed = faulty.num_committed()
            turns[0].send_signal(signal.SIGSTOP)
            try:
                log.delete(LogKeys(0).ingester)
                # In the midst of a commit it keeps the other one waiting.
                with contextlib.suppress(TimeoutError):
                    wait_until(lambda: faulty.num_committed() > num_committed, timeout_s=4)  # noqa: B023
            finally:
                turns[0].send_signal(signal.SIGCONT)
            time.sleep(1)
            turns.rotate()
    return _num_outrun(faulty) - before


def two_writers(faulty: FaultyStack, seconds: float) -> int:
    """The lease that keeps a second ingester standing by gets lost over and over: both drain one shard.

    It happened as often as one of them tried what the other had committed.
    """
    before, deadline = _num_outrun(faulty), time.monotonic() + seconds
    with faulty.log_client() as log:
        while time.monotonic() < deadline:
            log.delete(LogKeys(0).ingester)
            time.sleep(0.05)
    return _num_outrun(faulty) - before


def _num_outrun(faulty: FaultyStack) -> int:
    """Batches of either ingester that the other was quicker with."""
    parts, texts = (faulty.ingester, SECOND_INGESTER), (MOVED, FOUND_APPLIED)
    return sum(faulty.num_lines(part, text) for part in parts for text in texts)


def lost_commits(faulty: FaultyStack, num_lost: int, *, within_s: float) -> int:
    """The ingester loses its connection so many times before a commit, and as often before its answer.

    Fewer times if the time is over: nothing is committed any more once the producers are done.
    """
    environment = faulty.stack.supervisor.environment
    with commit_cutter("127.0.0.1", faulty.settings.bolt_port) as cutter:
        # Small batches make many commits.
        changes = {"LSEC_NEO4J_URL": cutter.url, "LSEC_INGEST_BATCH_EVENTS": "100"}
        before = {name: environment[name] for name in changes}
        environment.update(changes)
        try:
            faulty.restarted(faulty.ingester, faulty.signal(faulty.ingester))
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: min(cutter.num_before, cutter.num_after) >= num_lost, timeout_s=within_s)
        finally:
            environment.update(before)
            faulty.restarted(faulty.ingester, faulty.signal(faulty.ingester))
    return min(cutter.num_before, cutter.num_after)


def ended_transactions(faulty: FaultyStack, num_ended: int, *, within_s: float) -> int:
    """Neo4j ends so many of the ingester's transactions, which are then tried again.

    Fewer if the time is over: there are none any more once the producers are done.
    """
    ended, deadline = 0, time.monotonic() + within_s
    with open_driver(faulty.settings) as driver:
        while ended < num_ended and time.monotonic() < deadline:
            rows, _, _ = driver.execute_query(
                "SHOW TRANSACTIONS YIELD transactionId, currentQuery "
                "WHERE NOT currentQuery CONTAINS 'TRANSACTIONS' RETURN transactionId AS id"
            )
            for row in rows:
                answers, _, _ = driver.execute_query(
                    "TERMINATE TRANSACTIONS $id YIELD message RETURN message", id=row["id"]
                )
                # Most of them end by themselves before they are told to.
                ended += sum(answer["message"] == TERMINATED for answer in answers)
            time.sleep(0.1)
    return ended
