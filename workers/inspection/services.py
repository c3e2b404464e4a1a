"""Whether the workers and their scheduler are there, and everybody's clocks agree."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import neo4j
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from lsec.core.inspections import Finding, broken, ok, warning
from lsec.core.jobs import BEAT_LOCK, TRAIN_QUEUE, UPKEEP_QUEUE
from lsec.core.settings import Settings
from workers.inspection.sources import FAULTS, TIMEOUT_S, first_line, open_valkey

PING_S = 1.5
"""So long workers have to answer; all who do are heard."""
SCHEDULE = "redbeat::schedule"
"""In the broker's database: the scheduled jobs by when they are due next."""
LATE_S = 60.0
WANTED = frozenset((UPKEEP_QUEUE, TRAIN_QUEUE))
MAX_SKEW_S = 2.0
START = "`lsec up`, or `celery -A workers.celery_app:app {}`; the process's log says why it ended."


def at_work(settings: Settings) -> tuple[list[Finding], frozenset[str] | None]:
    """Findings on beat and the workers, and the queues that have one; None if nobody could be asked."""
    try:
        with open_valkey(settings.broker_url) as client:
            is_held = bool(client.exists(BEAT_LOCK))
            first: Any = client.zrange(SCHEDULE, 0, 0, withscores=True)
        found = queues_by_worker(settings)
        if not WANTED.issubset(queue for queues in found.values() for queue in queues):
            # A busy machine answers late.
            found = queues_by_worker(settings, timeout_s=2 * PING_S)
    except (*FAULTS, OperationalError) as error:
        detail = f"The broker does not answer: {first_line(error)}"
        remedy = "Start Valkey (`lsec up`), or see that LSEC_BROKER_URL is right."
        return [broken(name, detail, remedy=remedy) for name in ("workers", "beat")], None
    late_s = time.time() - first[0][1] if first else None
    findings = [judge_workers(found), judge_beat(is_held=is_held, late_s=late_s)]
    return findings, frozenset(queue for queues in found.values() for queue in queues)


def queues_by_worker(settings: Settings, *, timeout_s: float = PING_S) -> dict[str, list[str]]:
    """The queues that each worker listens to that answers in time."""
    with Celery("inspection", broker=settings.broker_url.get_secret_value(), set_as_current=False) as app:
        app.conf.broker_transport_options = {
            "socket_connect_timeout": TIMEOUT_S,
            "socket_timeout": TIMEOUT_S,
            "max_retries": 0,
        }
        answers: Mapping[str, Any] = app.control.inspect(timeout=timeout_s).active_queues() or {}
    return {worker: sorted(queue["name"] for queue in queues) for worker, queues in answers.items()}


def judge_workers(found: Mapping[str, list[str]]) -> Finding:
    """Whether somebody listens to the queues of trainings and of upkeep."""
    queues = {queue for each in found.values() for queue in each}
    named = "; ".join(f"{worker}: {', '.join(each)}" for worker, each in sorted(found.items()))
    for queue, what in (
        (UPKEEP_QUEUE, "erasures, promotions and lost runs wait"),
        (TRAIN_QUEUE, "trainings wait"),
    ):
        if queue not in queues:
            detail = f"No worker listens to the queue {queue}: {what}. There are: {named or 'none'}."
            command = f"worker --pool threads --concurrency 1 --queues {queue}"
            return broken("workers", detail, remedy=START.format(command))
    return ok("workers", f"{named}.")


def judge_beat(*, is_held: bool, late_s: float | None) -> Finding:
    """Whether beat ticks: `late_s` is how long ago the first of its jobs was due, None where it has none."""
    if not is_held:
        detail = (
            "No beat holds the schedule: nothing is sent again, pruned, retrained or inspected by itself."
        )
        return broken("beat", detail, remedy=START.format("beat"))
    if late_s is None:
        return broken("beat", "The schedule is empty.", remedy="Restart beat: it writes the schedule anew.")
    if late_s > LATE_S:
        detail = f"Beat holds the schedule but does not tick: a job is due since {late_s:.0f} s."
        return broken("beat", detail, remedy="Restart beat; its log is in DATA_DIR/logs.")
    return ok("beat", "It ticks.")


def clocks(driver: neo4j.Driver | None, client: redis.Redis | None) -> Iterator[Finding]:
    """A finding on the clocks of this process, Neo4j and Valkey."""
    skews: dict[str, float] = {}
    if driver is not None:
        began = time.time()
        rows, _, _ = driver.execute_query("RETURN datetime().epochMillis AS now_ms")
        skews["Neo4j"] = rows[0]["now_ms"] / 1000 - (began + time.time()) / 2
    if client is not None:
        began = time.time()
        seconds, microseconds = client.time()
        skews["Valkey"] = int(seconds) + int(microseconds) / 1e6 - (began + time.time()) / 2
    if skews:
        yield judge_clocks(skews)


def judge_clocks(skews: Mapping[str, float]) -> Finding:
    """Whether the services' clocks are near this one's; skews in seconds, positive for those ahead."""
    apart = {service: skew for service, skew in skews.items() if abs(skew) > MAX_SKEW_S}
    if not apart:
        widest = max(map(abs, skews.values()))
        return ok("clocks", f"{' and '.join(skews)} are within {widest:.1f} s of this one.")
    named = ", ".join(
        f"{service} is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
        for service, skew in apart.items()
    )
    remedy = "Have one time service on every machine: chronyd, or `timedatectl set-ntp true`."
    return warning("clocks", f"{named} of this one: leases, windows and retention go by them.", remedy=remedy)
