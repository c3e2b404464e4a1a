"""What the ingester does when the log's server is out of memory."""

import os
import socket
import threading

import pytest
import redis.exceptions

from graph_schema.events import Event, UserUpserted
from tests.integration.ingest_stack import AT, KEYS, IngestStack, views
from workers.ingest.ingester import Ingester
from workers.ingest.lease import Lease


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
    assert stack.committed_total() == 103


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
            stack.settings.model_copy(update={"log_retention_s": 0, "ingest_batch_events": 5000}),
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
    assert stack.committed_total() == 12_000
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
