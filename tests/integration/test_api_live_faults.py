"""The live feed when its listener is slow, its log's server dies, or the API is told to stop."""

import json
import os
import signal
import time
from pathlib import Path

import httpx2

from graph_schema.vocabulary import MAX_ID_LENGTH
from lsec.api.stores.live_chunks import Chunk
from lsec.api.stores.live_feed import Queue
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from lsec.local import running_stack
from lsec.local.processes import read_record
from tests.integration.api_server import announced_address, run_api
from tests.integration.conftest import bearer
from tests.integration.live_client import eventually, listening, send, viewed
from tests.integration.test_api_faults import api_process


async def test_a_queue_that_is_too_long_is_emptied_and_its_listener_sent_to_the_log() -> None:
    queue = Queue()
    chunk = Chunk(0, "1-0", 0, [None] * 10_000)
    for _ in range(5):
        queue.put(chunk)
    assert await queue.get() is None
    queue.put(chunk)
    assert await queue.get() is chunk


def test_a_stalled_listener_gets_everything_in_the_end(api_client: httpx2.Client) -> None:
    # More than its queue and the sockets hold together: it has to go back to the log.
    num_requests, per_request, padding = 16, 2000, "x" * MAX_ID_LENGTH
    with api_client.stream("GET", "/v1/events/live", timeout=60) as answer:
        messages = iter(httpx2.EventSource(answer))
        # From where on it listens, which it may find out after its headers are sent.
        assert not next(messages).data
        for request in range(num_requests):
            numbers = range(request * per_request, (request + 1) * per_request)
            send(
                api_client,
                *(viewed(f"e{number}", streamer_id=padding, stream_id=padding) for number in numbers),
            )
        ids: list[str] = []
        for message in messages:
            assert message.event != "gap"
            if message.data:
                ids.append(json.loads(message.data)["event_id"])
            if len(ids) == num_requests * per_request:
                break
    assert ids == [f"e{number}" for number in range(num_requests * per_request)]


def test_a_feed_outlives_its_log_server_and_goes_on_where_it_was(
    stack_settings: Settings, keys: dict[Scope, str], tmp_path: Path
) -> None:
    with running_stack(Settings(data_dir=tmp_path, valkey_port=0), services=("valkey",)) as stack:
        settings = stack_settings.model_copy(update={"log_url": stack.settings.log_url})
        with (
            run_api(settings) as url,
            httpx2.Client(base_url=url, headers=bearer(keys[Scope.ADMIN]), timeout=30) as client,
            listening(client) as seen,
        ):
            send(client, viewed("e1"))
            eventually(lambda: seen.ids == ["e1"])
            record = read_record(tmp_path)
            assert record is not None
            os.kill(record.services[0].pid, signal.SIGKILL)
            answer = client.post("/v1/events", json=viewed("e2"))
            eventually(lambda: client.post("/v1/events", json=viewed("e2")).status_code == 202)
            eventually(lambda: seen.ids == ["e1", "e2"])
            assert answer.status_code in (202, 503)
            assert not seen.gaps


def test_an_open_feed_does_not_hold_up_the_end_of_the_process(
    stack_settings: Settings, keys: dict[Scope, str], tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    with api_process(stack_settings, log) as process:
        url = announced_address(log)
        client = httpx2.Client(base_url=url, headers=bearer(keys[Scope.ANALYST]), timeout=30)
        with client, client.stream("GET", "/v1/events/live") as answer:
            assert next(answer.iter_lines()).startswith("retry")
            process.send_signal(signal.SIGTERM)
            told_at = time.monotonic()
            assert process.wait(timeout=30) in (0, -signal.SIGTERM)
        assert time.monotonic() - told_at < 5
    assert "Application shutdown complete" in log.read_text()
