"""The live feed: filters, resuming without gap or repetition, and what it says of what is gone."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import redis

from graph_schema.events import UserViewed
from lsec.api.stores.event_log import open_log
from lsec.api.stores.live_chunks import Wanted
from lsec.api.stores.live_feed import LISTENER_ENTRIES, MAX_LISTENERS_OF_KEY, LiveFeed
from lsec.core.event_log import LogKeys, encode_chunk
from lsec.core.ledger import Scope
from lsec.core.settings import Settings
from tests.integration.api_server import run_api
from tests.integration.conftest import bearer
from tests.integration.live_client import AT, eventually, listening, send, viewed


@pytest.fixture
def two_shards(stack_settings: Settings, keys: dict[Scope, str]) -> Iterator[httpx2.Client]:
    """A client of an API whose log has two shards."""
    settings = stack_settings.model_copy(update={"shards": 2})
    with (
        run_api(settings) as url,
        httpx2.Client(base_url=url, headers=bearer(keys[Scope.ADMIN]), timeout=30) as client,
    ):
        yield client


def test_events_come_as_they_were_sent_from_then_on(api_client: httpx2.Client) -> None:
    send(api_client, viewed("before"))
    sent = [viewed("e1", streamer_id="s1"), viewed("e2") | {"type": "user.carted"}]
    with listening(api_client) as seen:
        send(api_client, *sent)
        eventually(lambda: len(seen.events) == 2)
    assert seen.events == sent
    assert seen.names == ["user.viewed", "user.carted"]
    assert not seen.gaps


def test_filters_hold_together_and_each_takes_any_of_its_values(api_client: httpx2.Client) -> None:
    events = [
        viewed("e1", streamer_id="s1"),
        viewed("e2", streamer_id="s2"),
        viewed("e3", streamer_id="s3"),
        viewed("e4", streamer_id="s1") | {"type": "user.carted"},
        viewed("e5", user=2, streamer_id="s1", product_id="p2"),
    ]
    wanted: dict[str, Any] = {"streamer_id": ["s1", "s2"], "type": "user.viewed"}
    with (
        listening(api_client, **wanted) as pairs,
        listening(api_client, product_id="p2") as product,
        listening(api_client, user_id="u2", type=["user.carted", "user.bought"]) as none,
        listening(api_client) as all_of_them,
    ):
        send(api_client, *events)
        eventually(lambda: len(all_of_them.events) == 5 and len(pairs.events) == 3 and bool(product.events))
    assert (pairs.ids, product.ids, none.ids) == (["e1", "e2", "e5"], ["e5"], [])


@pytest.mark.parametrize(
    ("params", "status", "field_name"),
    [
        ({"type": "user.teleported"}, 422, "type"),
        ({"streamer_id": "a b"}, 422, "streamer_id.0"),
        ({"streamer": "s1"}, 422, "streamer"),
        ({"last_event_id": "yesterday"}, 400, "last_event_id"),
    ],
)
def test_a_wrong_parameter_is_named(
    api_client: httpx2.Client, params: dict[str, str], status: int, field_name: str
) -> None:
    answer = api_client.get("/v1/events/live", params=params)
    assert (answer.status_code, answer.json()["field"]) == (status, field_name)


def test_a_listener_that_comes_back_goes_on_within_a_request_of_several_events(
    api_client: httpx2.Client,
) -> None:
    with listening(api_client) as first:
        send(api_client, *(viewed(f"e{number}") for number in range(5)))
        eventually(lambda: len(first.events) == 5)
    send(api_client, viewed("e5"))
    for place, token in enumerate(first.tokens):
        with listening(api_client, last_event_id=token) as again:
            eventually(lambda: "e5" in again.ids)
        assert again.ids == [f"e{number}" for number in range(place + 1, 6)]
        assert not again.gaps


def test_a_listener_that_saw_nothing_resumes_from_when_it_began(api_client: httpx2.Client) -> None:
    with listening(api_client) as first:
        pass
    send(api_client, viewed("e1"))
    with listening(api_client, first.token) as again:
        eventually(lambda: again.ids == ["e1"])


def test_nothing_is_missed_or_repeated_by_one_that_leaves_and_comes_back_while_events_come(
    two_shards: httpx2.Client,
) -> None:
    num_events = 600
    sent = [viewed(f"e{number}", user=number % 20) for number in range(num_events)]
    done = threading.Event()

    def produce() -> None:
        for start in range(0, num_events, 6):
            send(two_shards, *sent[start : start + 6])
        done.set()

    got: list[str] = []
    with listening(two_shards) as seen:
        token = seen.token
    producer = threading.Thread(target=produce)
    producer.start()
    num_visits = 0
    while not done.is_set() or len(got) < num_events:
        with listening(two_shards, token) as seen:
            time.sleep(0.03)
        assert not seen.gaps
        got += seen.ids
        token, num_visits = seen.token, num_visits + 1
    producer.join()
    assert num_visits > 3
    assert sorted(got) == sorted(event["event_id"] for event in sent)
    for user in range(20):
        of_user = [event_id for event_id in got if int(event_id[1:]) % 20 == user]
        assert of_user == sorted(of_user, key=lambda event_id: int(event_id[1:]))


def test_nothing_is_shown_of_a_user_who_is_to_be_forgotten(api_client: httpx2.Client) -> None:
    with listening(api_client) as first:
        pass
    send(api_client, viewed("e1", user=77), viewed("e2"))
    assert api_client.delete("/v1/users/u77").status_code == 202
    send(api_client, viewed("e3", user=77), viewed("e4"))
    with listening(api_client, first.token) as again:
        eventually(lambda: "e4" in again.ids)
    assert again.ids == ["e2", "e4"]
    assert not again.gaps


def test_what_the_log_no_longer_holds_is_told_first(
    api_client: httpx2.Client, log_client: redis.Redis
) -> None:
    with listening(api_client) as first:
        send(api_client, viewed("e1"))
        eventually(lambda: first.ids == ["e1"])
    send(api_client, viewed("e2"), viewed("e3"))
    send(api_client, viewed("e4"))
    log_client.xtrim(LogKeys(0).log, maxlen=1, approximate=False)
    with listening(api_client, first.token) as again:
        eventually(lambda: again.ids == ["e4"])
        assert again.gaps == [
            {"shard": 0, "num_events": 2, "reason": "The log no longer holds these events."}
        ]
    log_client.xtrim(LogKeys(0).log, maxlen=0, approximate=False)
    with listening(api_client, first.token) as empty:
        eventually(lambda: bool(empty.gaps))
        assert empty.gaps[0]["num_events"] == 3
        send(api_client, viewed("e5"))
        eventually(lambda: empty.ids == ["e5"])
        assert len(empty.gaps) == 1


def test_a_log_that_was_made_anew_is_told_and_read_from_its_start(
    api_client: httpx2.Client, log_client: redis.Redis
) -> None:
    with listening(api_client) as first:
        send(api_client, viewed("e1"), viewed("e2"))
        eventually(lambda: len(first.events) == 2)
    log_client.delete(LogKeys(0).log, LogKeys(0).appended)
    send(api_client, viewed("e3"))
    with listening(api_client, first.token) as again:
        eventually(lambda: again.ids == ["e3"])
    assert [gap["num_events"] for gap in again.gaps] == [None]


def test_entries_that_cannot_be_read_are_not_taken_for_the_end(
    api_client: httpx2.Client, log_client: redis.Redis
) -> None:
    with listening(api_client) as first:
        send(api_client, viewed("e1"))
        eventually(lambda: first.ids == ["e1"])
    for _ in range(3 * LISTENER_ENTRIES):
        log_client.xadd(LogKeys(0).log, {"hello": "world"})
    send(api_client, viewed("e2"))
    with listening(api_client, first.token) as again:
        eventually(lambda: again.ids == ["e2"])
    assert not again.gaps


async def test_a_listener_that_is_behind_gets_the_shards_in_turn(
    stack_settings: Settings, clean_stack: None
) -> None:
    settings = stack_settings.model_copy(update={"shards": 2})
    num_entries = 5 * LISTENER_ENTRIES
    event = UserViewed(event_id="e", at=AT, user_id="u", product_id="p")
    fields: dict[Any, Any] = {"n": 1, "c": encode_chunk([event])}
    async with open_log(settings) as client:
        for shard in (0, 1):
            for total in range(1, num_entries + 1):
                await client.xadd(LogKeys(shard).log, {**fields, "t": total})
            await client.set(LogKeys(shard).appended, num_entries)
        feed = LiveFeed(client, settings)
        following = asyncio.create_task(feed.follow())
        messages = feed.listener(Wanted(), key_id="key", token="0:0-0.0,1:0-0.0").messages()
        assert (await anext(messages)).startswith(b"retry")
        found = [await anext(messages) for _ in range(2 * num_entries)]
        await messages.aclose()  # type: ignore[attr-defined]  # an async generator, told as an iterator
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
    # The shard whose event a message is comes last in its id.
    shards = [message.splitlines()[0].split(b",")[1][:1] for message in found]
    assert shards == ([b"0"] * LISTENER_ENTRIES + [b"1"] * LISTENER_ENTRIES) * 5


def test_a_key_has_so_many_listeners_and_no_more(api_client: httpx2.Client, keys: dict[Scope, str]) -> None:
    path = "/v1/events/live"
    # Kept, for an answer is closed with what reads it.
    feeds = []
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_LISTENERS_OF_KEY):
            feeds.append(stack.enter_context(api_client.stream("GET", path)).iter_lines())
            assert next(feeds[-1]).startswith("retry")
        with api_client.stream("GET", path) as refused:
            assert refused.status_code == 429
            refused.read()
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:lsec:problem:rate-limited")
        with api_client.stream("GET", path, headers=bearer(keys[Scope.ANALYST])) as other:
            assert other.status_code == 200
