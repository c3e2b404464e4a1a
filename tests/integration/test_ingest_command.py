"""`lsec ingest` against the real API: killed in the middle and run again; old events wait for live ones."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from graph_schema.events import UserFollowed
from lsec.cli.resume import State, beside
from lsec.client import Client, SendTotals
from lsec.core.event_log import LogKeys, decode_chunk
from lsec.core.ledger import Scope
from tests.integration.api_server import wait_until

NUM_EVENTS = 20_000
BATCH, CONNECTIONS = 5, 3
NUM_UNDER_WAY = BATCH * CONNECTIONS
KEYS = LogKeys(0)
Log = redis.Redis


def follows(num: int, *, prefix: str) -> list[UserFollowed]:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    return [
        UserFollowed(event_id=f"{prefix}{n}", at=at + timedelta(seconds=n), user_id=f"u{n}", streamer_id="s")
        for n in range(num)
    ]


def ingest(url: str, key: str, *arguments: str) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("lsec")), "ingest", *arguments, "--no-wait", "--json"]
    environment = {**os.environ, "LSEC_URL": url, "LSEC_API_KEY": key}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kept_ids(log_client: Log) -> list[str]:
    entries: Any = log_client.xrange(KEYS.log)
    return [
        event.event_id for _, fields in entries for event in decode_chunk(fields[b"c"], int(fields[b"n"]))
    ]


@pytest.mark.slow
def test_a_sender_that_is_killed_goes_on_and_every_event_is_in_the_log_once(
    api_url: str, keys: dict[Scope, str], log_client: Log, tmp_path: Path
) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(
        b"".join(msgspec.json.encode(event) + b"\n" for event in follows(NUM_EVENTS, prefix="e"))
    )
    options = (str(file), "--batch", str(BATCH), "--connections", str(CONNECTIONS))
    sender = ingest(api_url, keys[Scope.INGEST], *options)
    wait_until(lambda: beside(file).exists() or sender.poll() is not None, timeout_s=60)
    sender.kill()
    sender.communicate()
    assert sender.returncode == -signal.SIGKILL
    num_kept = len(kept_ids(log_client))
    place = msgspec.json.decode(beside(file).read_bytes(), type=State).next
    assert 0 < place <= num_kept < NUM_EVENTS

    again = ingest(api_url, keys[Scope.INGEST], *options)
    output, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert f"Resuming at line {place + 1:,} of {file}" in errors
    report = json.loads(output)
    # The API may have kept what was under way when the sender died.
    num_kept_in_all = NUM_EVENTS - report["accepted"]
    assert num_kept <= num_kept_in_all <= num_kept + NUM_UNDER_WAY
    assert (report["sent"], report["duplicates"]) == (NUM_EVENTS - place, num_kept_in_all - place)
    assert Counter(kept_ids(log_client)) == Counter(f"e{n}" for n in range(NUM_EVENTS))
    assert not beside(file).exists()


@pytest.mark.slow
def test_old_events_wait_until_the_graph_has_caught_up_with_the_live_ones(
    api_url: str, keys: dict[Scope, str], log_client: Log
) -> None:
    totals = SendTotals()
    seen_behind_s: list[float] = []

    def send_old() -> None:
        nonlocal totals
        with Client(api_url, keys[Scope.INGEST]) as client:
            totals = client.send_events(
                follows(50, prefix="old"),
                max_lag_s=0.5,
                on_progress=lambda now: seen_behind_s.append(now.paused_behind_s),
            )

    with Client(api_url, keys[Scope.INGEST]) as client:
        client.send_events(follows(1, prefix="live"))
        time.sleep(0.6)
        sender = threading.Thread(target=send_old)
        sender.start()
        wait_until(lambda: len(seen_behind_s) >= 2)
        assert min(seen_behind_s) > 0.5
        assert kept_ids(log_client) == ["live0"]
        # Mirrors a commit, as the ingester does.
        entries: Any = log_client.xrange(KEYS.log)
        log_client.hset(KEYS.committed, mapping={"position": entries[0][0], "total": 1, "at_ms": 1})
        sender.join(timeout=30)
    assert totals == SendTotals(sent=50, accepted=50)
    assert len(kept_ids(log_client)) == 51
