"""The client's live feed against a server that breaks off."""

import itertools

import pytest

from lsec.client import ApiError, AsyncClient, Client
from tests.unit.client.conftest import MoodyApi


def test_a_feed_that_breaks_goes_on_after_the_last_place_it_was_told(api: MoodyApi) -> None:
    with Client(api.url) as client:
        feed = client.live_events(streamers=["s1", "s2"], types=["user.bought"])
        seen = list(itertools.islice(feed, 3))
    assert [(message.name, message.token) for message in seen] == [
        ("user.bought", "0:1-0.1"),
        ("gap", "0:8-0.9"),
        ("user.viewed", "0:9-0.10"),
    ]
    assert [message.is_gap for message in seen] == [False, True, False]
    assert (seen[0].data["event_id"], seen[1].data["num_events"]) == ("e1", 2)
    queries = [request.query_params for request in api.requests]
    assert [query.get("last_event_id") for query in queries] == [None, "0:2-0.7"]
    assert {tuple(query.getlist("streamer_id")) for query in queries} == {("s1", "s2")}
    assert {query["type"] for query in queries} == {"user.bought"}


async def test_the_asynchronous_client_has_the_same_feed(api: MoodyApi) -> None:
    tokens: list[str] = []
    async with AsyncClient(api.url) as client:
        async for message in client.live_events(resume_after="0:0-0.0"):
            tokens.append(message.token)
            if len(tokens) == 3:
                break
    assert tokens == ["0:1-0.1", "0:8-0.9", "0:9-0.10"]
    assert api.requests[0].query_params["last_event_id"] == "0:0-0.0"


def test_a_refusal_ends_the_feed(api: MoodyApi) -> None:
    api.live_streams = 2
    with Client(api.url) as client, pytest.raises(ApiError, match="no"):
        next(client.live_events())
