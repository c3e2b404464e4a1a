"""What the ingester does when the log's server is out of memory."""

import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import neo4j
import pytest
import redis
import redis.exceptions

from graph_schema.events import Event, UserUpserted, UserViewed
from lsec.core.event_log import LogKeys, parse_committed
from lsec.core.settings import Settings
from tests.integration.ingest_stack import IngestStack, ingest_stack
from workers.ingest.ingester import Ingester
from workers.ingest.lease import Lease

KEYS = LogKeys(0)
AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def stack(
    stack_settings: Settings, neo4j_driver: neo4j.Driver, log_client: redis.Redis, clean_stack: None
) -> Iterator[IngestStack]:
    with ingest_stack(stack_settings, neo4j_driver, log_client) as stack:
        yield stack


def views(num: int, *, prefix: str = "v") -> list[Event]:
    return [UserViewed(event_id=f"{prefix}{i}", at=AT, user_id=f"u{i}", product_id="p") for i in range(num)]


def committed_total(stack: IngestStack) -> int:
    return parse_committed(stack.client.hgetall(KEYS.committed)).total


def test_a_log_without_memory_keeps_neither_ids_nor_chunk(stack: IngestStack) -> None:
    stack.append(views(3))
    before = stack.client.config_get("maxmemory")["maxmemory"]
    stack.client.config_set("maxmemory", stack.client.info("memory")["used_memory"] // 2)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            stack.append(views(100, prefix="w"))
    finally:
        stack.client.config_set("maxmemory", before)
    assert list(stack.client.scan_iter(KEYS.id_prefix + "w*")) == []
    assert stack.append(views(100, prefix="w")).num_accepted == 100
    stack.drain()
    assert committed_total(stack) == 103


def test_a_full_log_is_trimmed_and_drained_without_a_lease(stack: IngestStack) -> None:
    for i in range(60):
        stack.append(long_names(200, prefix=f"{i}-"))
    lease = Lease(stack.client, shard=0)
    hurry = threading.Timer(60, lease.stop)
    hurry.start()
    before = stack.client.config_get("maxmemory")["maxmemory"]
    # What one batch leaves behind when it is trimmed is more than what is missing.
    stack.client.config_set("maxmemory", stack.client.info("memory")["used_memory"] - 500_000)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            stack.client.set("lsec:test", 1)
        assert lease.hold()
        ingester = Ingester(
            stack.settings.model_copy(update={"log_retention_s": 0}),
            shard=0,
            driver=stack.driver,
            client=stack.client,
            engine=stack.engine,
            lease=lease,
        )
        ingester.start()
        stack.drain(ingester)
    finally:
        hurry.cancel()
        stack.client.config_set("maxmemory", before)
    assert committed_total(stack) == 12_000
    assert stack.client.xlen(KEYS.changes) == 3


def long_names(num: int, *, prefix: str) -> list[Event]:
    return [UserUpserted(event_id=f"{prefix}{i}", at=AT, user_id=f"u{i}", name="n" * 500) for i in range(num)]


def test_a_lease_is_renewed_when_the_log_is_full(stack: IngestStack) -> None:
    lease, rival = Lease(stack.client, shard=0), Lease(stack.client, shard=0)
    # A holder that this host can tell to be alive, and that is not this thread.
    stack.client.set(KEYS.ingester, f"{socket.gethostname()}:{os.getpid()}:0", ex=5)
    before = stack.client.config_get("maxmemory")["maxmemory"]
    stack.client.config_set("maxmemory", 1)
    try:
        assert not rival.hold()
        stack.client.delete(KEYS.ingester)
        assert lease.hold()
        assert not stack.client.exists(KEYS.ingester)
        stack.client.config_set("maxmemory", before)
        assert rival.hold()
        stack.client.expire(KEYS.ingester, 5)
        stack.client.config_set("maxmemory", 1)
        assert Lease(stack.client, shard=0).hold()
        assert stack.client.ttl(KEYS.ingester) > 5
    finally:
        stack.client.config_set("maxmemory", before)
