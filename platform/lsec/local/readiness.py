"""When a service of the stack is ready: a real query answered.

Each function returns False, or raises, as long as it is not.
"""

import socket
from http import HTTPStatus

import httpx2
import neo4j
import redis
from celery import Celery

from lsec.core.event_log import LogKeys
from lsec.core.jobs import BEAT_LOCK
from lsec.core.settings import Settings

TIMEOUT_S = 2.0
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not listened on


def neo4j_answers(settings: Settings) -> bool:
    """Whether Neo4j answers a query over Bolt."""
    password = settings.neo4j_password.get_secret_value()
    auth = (settings.neo4j_user, password) if password else None
    with (
        neo4j.GraphDatabase.driver(
            settings.neo4j_url,
            auth=auth,
            connection_timeout=TIMEOUT_S,
            connection_acquisition_timeout=TIMEOUT_S,
        ) as driver,
        driver.session() as session,
    ):
        return bool(session.run("RETURN 1 AS one").single(strict=True)["one"] == 1)


def valkey_answers(settings: Settings) -> bool:
    """Whether the log's server answers, with its data loaded."""
    url = settings.log_url.get_secret_value()
    with redis.Redis.from_url(url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S) as client:
        return bool(client.ping())


def api_answers(settings: Settings) -> bool:
    """Whether the API says that it is well."""
    host = ANY_ADDRESS.get(settings.api_host, settings.api_host)
    url = f"http://{host}:{settings.api_port}/healthz"
    return httpx2.get(url, timeout=TIMEOUT_S, trust_env=False).status_code == HTTPStatus.OK


def ingester_answers(settings: Settings, shard: int) -> bool:
    """Whether the shard's ingester has taken its lease in the event log."""
    url = settings.log_url.get_secret_value()
    with redis.Redis.from_url(url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S) as client:
        return bool(client.exists(LogKeys(shard).ingester))


def worker_answers(settings: Settings, name: str) -> bool:
    """Whether this host's Celery worker of that name answers a ping."""
    with Celery("ping", broker=settings.broker_url.get_secret_value(), set_as_current=False) as app:
        # Who asks also starts the broker again when it is down, so it must not wait here until it is back.
        app.conf.broker_transport_options = {
            "socket_connect_timeout": TIMEOUT_S,
            "socket_timeout": TIMEOUT_S,
            "max_retries": 0,
        }
        return bool(app.control.ping(destination=[f"{name}@{socket.gethostname()}"], timeout=1.0))


def beat_answers(settings: Settings) -> bool:
    """Whether a beat holds the lock of the schedule; one that was killed does for some seconds more."""
    url = settings.broker_url.get_secret_value()
    with redis.Redis.from_url(url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S) as client:
        return bool(client.exists(BEAT_LOCK))
