"""Several connections at once: all goes in, little is held, one failure or Ctrl-C ends all."""

import time
from collections.abc import Iterator

import pytest

from lsec.client import ApiError, AsyncClient, Client, SendTotals
from lsec.client.sending import MAX_AHEAD
from tests.unit.client.conftest import MoodyApi


def lines(num: int) -> Iterator[bytes]:
    return (b'{"event_id":"e%d"}' % n for n in range(num))


def test_batches_go_over_as_many_connections_as_are_asked_for(api: MoodyApi) -> None:
    api.answers_after_s = 0.05
    api.moods = ["well", "busy", "lose the answer"]
    with Client(api.url) as client:
        totals = client.send_events(lines(100), batch=5, connections=4)
    assert sorted(api.seen_ids) == sorted(f"e{n}" for n in range(100))
    assert totals == SendTotals(sent=100, accepted=95, duplicates=5, retries=2)
    assert api.most_at_once == 4


async def test_the_asynchronous_client_sends_at_once_too(api: MoodyApi) -> None:
    api.answers_after_s = 0.05
    api.moods = ["well", "busy"]
    async with AsyncClient(api.url) as client:
        totals = await client.send_events(lines(100), batch=5, connections=4)
    assert totals == SendTotals(sent=100, accepted=100, retries=1)
    assert api.most_at_once == 4


def test_requests_are_packed_when_that_is_asked_for(api: MoodyApi) -> None:
    with Client(api.url) as client:
        totals = client.send_events(lines(100), compress=True)
    assert totals == SendTotals(sent=100, accepted=100)
    assert int(api.requests[0].headers["content-length"]) < 1000


def test_no_more_is_read_than_is_under_way(api: MoodyApi) -> None:
    num_read = 0
    most_ahead = 0

    def events() -> Iterator[bytes]:
        nonlocal num_read
        for line in lines(200):
            num_read += 1
            yield line

    def on_progress(totals: SendTotals) -> None:
        nonlocal most_ahead
        most_ahead = max(most_ahead, num_read - totals.sent)

    with Client(api.url) as client:
        client.send_events(events(), batch=10, connections=2, on_progress=on_progress)
    # Two batches under way, one that waits for a connection, and the event that showed that it is full.
    assert most_ahead <= 31


def test_no_batch_is_begun_far_ahead_of_one_without_an_answer(api: MoodyApi) -> None:
    api.moods = ["busy"]
    with Client(api.url) as client:
        client.send_events(lines(100), batch=1, connections=2)
    assert max(api.seen_ids.index("e0"), api.seen_ids.index("e1")) <= 2 * MAX_AHEAD
    assert len(api.seen_ids) == 100


async def test_the_asynchronous_client_does_not_run_ahead_either(api: MoodyApi) -> None:
    api.moods = ["busy"]
    async with AsyncClient(api.url) as client:
        await client.send_events(lines(100), batch=1, connections=2)
    assert max(api.seen_ids.index("e0"), api.seen_ids.index("e1")) <= 2 * MAX_AHEAD
    assert len(api.seen_ids) == 100


def test_rejections_are_in_order_though_the_answers_are_not(api: MoodyApi) -> None:
    api.moods = ["busy"]
    with Client(api.url) as client:
        totals = client.send_events([b"{}"] * 9, batch=3, connections=3)
    assert [bad.index for bad in totals.rejected] == list(range(9))
    assert totals.num_rejected == 9


def test_one_refusal_ends_the_others_though_they_wait_for_the_api(api: MoodyApi) -> None:
    api.retry_after_s = 60
    api.moods = ["busy", "busy", "refuse", *["busy"] * 100]
    began_at = time.monotonic()
    with Client(api.url) as client, pytest.raises(ApiError, match="no"):
        client.send_events(lines(100), batch=5, connections=3)
    assert time.monotonic() - began_at < 10
    assert len(api.requests) == 3


async def test_one_refusal_ends_the_others_in_the_asynchronous_client(api: MoodyApi) -> None:
    api.retry_after_s = 60
    api.moods = ["busy", "busy", "refuse", *["busy"] * 100]
    async with AsyncClient(api.url) as client:
        with pytest.raises(ApiError, match="no"):
            await client.send_events(lines(100), batch=5, connections=3)
    assert len(api.requests) == 3


def test_what_reads_the_events_fails_with_its_own_error(api: MoodyApi) -> None:
    def events() -> Iterator[bytes]:
        yield from lines(3)
        raise OSError("the disk is gone")

    with Client(api.url) as client, pytest.raises(OSError, match="the disk is gone"):
        client.send_events(events(), batch=1, connections=2)
    assert len(api.seen_ids) == 2


def test_old_events_wait_while_the_graph_is_behind_the_live_ones(api: MoodyApi) -> None:
    api.lag_ages_s = [9.0, 7.0, 1.0]
    seen: list[tuple[int, float]] = []
    with Client(api.url) as client:
        totals = client.send_events(
            lines(10),
            batch=5,
            max_lag_s=5.0,
            on_progress=lambda now: seen.append((now.sent, now.paused_behind_s)),
        )
    assert totals == SendTotals(sent=10, accepted=10)
    assert seen[:3] == [(0, 9.0), (0, 7.0), (0, 0.0)]
    assert api.lag_polls == 3
