"""Health of a process, for container checks: `python -m workers.health ingester|worker|worker-gpu|upkeep`."""

import socket
import sys

import redis

from lsec.core.event_log import LogKeys
from lsec.core.settings import Settings, load_settings


def ingester_is_alive(settings: Settings, shard: int = 0) -> bool:
    """Whether the shard's ingester has renewed its heartbeat within its expiry."""
    with redis.Redis.from_url(settings.log_url.get_secret_value()) as client:
        return bool(client.exists(LogKeys(shard).ingester))


def worker_is_alive(name: str) -> bool:
    """Whether this host's Celery worker of that name answers a ping within a few seconds."""
    from workers.celery_app import app  # only here: it loads the training's dependencies

    return bool(app.control.ping(destination=[f"{name}@{socket.gethostname()}"], timeout=5.0))


def main() -> int:
    """Entry point: 0 when alive, 1 when not, 2 for an unknown part."""
    match sys.argv[1:]:
        case ["ingester"]:
            return 0 if ingester_is_alive(load_settings()) else 1
        case ["worker" | "worker-gpu" | "upkeep" as name]:
            return 0 if worker_is_alive(name) else 1
    print("usage: python -m workers.health ingester|worker|worker-gpu|upkeep", file=sys.stderr)  # noqa: T201 - a command
    return 2


if __name__ == "__main__":
    sys.exit(main())
