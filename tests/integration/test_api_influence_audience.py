"""Audiences over HTTP, of streamers whose followers, viewers and buyers can be counted on paper."""

import csv
import io
from math import sqrt
from typing import Any

import httpx2
import pytest

from graph_schema.events import (
    Event,
    ProductUpserted,
    StreamEnded,
    StreamerUpserted,
    StreamStarted,
    UserFollowed,
    UserRefunded,
    UserWatched,
)
from tests.integration.influence_market import ask, ask_table, at, bought
from tests.integration.ingest_stack import IngestStack
from tests.integration.small_release import activate

FIRST_WEEK = {"since": at(0).isoformat(), "until": at(0, day=7).isoformat()}
SECOND_WEEK = {"since": at(0, day=7).isoformat(), "until": at(0, day=14).isoformat()}
THIRD_WEEK = {"since": at(0, day=14).isoformat(), "until": at(0, day=21).isoformat()}


def audience_market() -> list[Event]:
    """Ann, Bob and Cay, and five users.

    In the first week Ann is watched by u1, u2 and u3, Bob by u2, u3, u4 and u5, Cay by u1. Ann has a stream
    of two hours in each of the first two weeks; u2 watches an hour of the first, ten minutes of the second.
    u1 and u2 buy with Ann, u2, u4 and u5 with Bob, but u5's is refunded, and u4 with Cay.
    """
    events: list[Event] = [
        StreamerUpserted(event_id=id_, at=at(0), streamer_id=id_, name=id_.capitalize())
        for id_ in ("ann", "bob", "cay")
    ]
    events += [
        ProductUpserted(event_id="cup", at=at(0), product_id="cup", categories=("ware",)),
        ProductUpserted(event_id="tea", at=at(0), product_id="tea", categories=("food",)),
    ]
    for streamer, users in (("ann", "123"), ("bob", "234")):
        events += [
            UserFollowed(event_id=f"f-{streamer}-{n}", at=at(1), user_id=f"u{n}", streamer_id=streamer)
            for n in users
        ]
    for day, stream in ((1, "a1"), (8, "a2")):
        hours = {"streamer_id": "ann", "stream_id": stream}
        events += [
            StreamStarted(event_id=f"{stream}-start", at=at(10, day=day), **hours),
            StreamEnded(event_id=f"{stream}-end", at=at(12, day=day), **hours),
        ]
    events += [watch("ann", "a1", user, seconds) for user, seconds in ((1, 3600), (2, 3600), (3, 300))]
    events += [watch("ann", "a2", user, seconds, day=8) for user, seconds in ((1, 3600), (2, 600))]
    events += [watch("bob", "b1", user, 900) for user in (2, 3, 4, 5)]
    events += [
        watch("cay", "c1", 1, 60),
        bought("b1", at(11, day=2), "u1", "cup", 100, "ann"),
        bought("b2", at(11, day=2), "u2", "cup", 200, "ann"),
        bought("b3", at(12, day=2), "u2", "tea", 50, "bob"),
        bought("b4", at(12, day=2), "u4", "cup", 300, "bob"),
        bought("b5", at(12, day=2), "u5", "cup", 70, "bob"),
        UserRefunded(event_id="r5", at=at(13, day=2), user_id="u5", purchase_event_id="b5"),
        bought("b6", at(12, day=2), "u4", "tea", 10, "cay"),
    ]
    return events


def watch(streamer: str, stream: str, user: int, seconds: int, *, day: int = 1) -> UserWatched:
    return UserWatched(
        event_id=f"w-{stream}-{user}",
        at=at(10.5, day=day),
        user_id=f"u{user}",
        streamer_id=streamer,
        stream_id=stream,
        seconds=seconds,
    )


@pytest.fixture
def events(stack: IngestStack) -> None:
    stack.append(audience_market())
    stack.drain()


def nearest(client: httpx2.Client, **params: Any) -> list[tuple[Any, ...]]:
    rows = ask(client, "audience", streamer_id="ann", **params)
    return [tuple(row.values()) for row in rows]


def test_the_overlap_of_two_streamers_is_told_for_each_audience(
    events: None, api_client: httpx2.Client
) -> None:
    table = ask_table(api_client, "audience", streamer_id="ann", other_id="bob", **FIRST_WEEK)
    assert [tuple(row.values()) for row in table["rows"]] == [
        ("followers", 3, 3, 2, 2 / 4, 2 / 3, pytest.approx(2 * 5 / 9)),
        ("watchers", 3, 4, 2, 2 / 5, pytest.approx(2 / sqrt(12)), pytest.approx(2 * 5 / 12)),
        ("buyers", 2, 2, 1, 1 / 3, 1 / 2, pytest.approx(1 * 5 / 4)),
    ]
    assert (table["parameters"]["view"], table["details"]) == ("overlap", {"users": 5})
    of_food = ask(api_client, "audience", streamer_id="ann", other_id="bob", category="food")
    assert [tuple(row.values()) for row in of_food][2] == ("buyers", 0, 1, 0, 0.0, 0.0, None)
    later = ask(api_client, "audience", streamer_id="ann", other_id="bob", **SECOND_WEEK)
    assert [row["users"] for row in later] == [3, 2, 0]


def test_the_nearest_are_those_who_share_the_most(events: None, api_client: httpx2.Client) -> None:
    assert nearest(api_client, **FIRST_WEEK) == [
        ("bob", "Bob", 2 / 5, 2, 4),
        ("cay", "Cay", pytest.approx(1 / 3), 1, 1),
    ]
    assert nearest(api_client, min_shared=2) == [("bob", "Bob", 2 / 5, 2, 4)]
    assert nearest(api_client, audience="followers", by="cosine") == [
        ("bob", "Bob", pytest.approx(2 / 3), 2, 3)
    ]
    assert nearest(api_client, audience="buyers") == [("bob", "Bob", pytest.approx(1 / 3), 1, 2)]
    assert nearest(api_client, audience="buyers", category="food") == []
    assert nearest(api_client, **THIRD_WEEK) == []


def test_the_pages_of_the_nearest_follow_each_other(events: None, api_client: httpx2.Client) -> None:
    first = ask_table(api_client, "audience", streamer_id="ann", limit=1)
    second = ask_table(api_client, "audience", streamer_id="ann", limit=1, cursor=first["next"])
    assert first["rows"] + second["rows"] == ask(api_client, "audience", streamer_id="ann")
    assert second["next"] is None


def test_buyers_are_exclusive_shared_and_loyal(events: None, api_client: httpx2.Client) -> None:
    rows = ask(api_client, "audience", streamer_id="ann", other_id="bob", view="buyers")
    assert [tuple(row.values()) for row in rows] == [
        ("only_first", 1, 1, 100),
        ("only_second", 1, 1, 300),
        ("shared", 1, 2, 250),
        ("loyal_to_first", 1, 1, 100),
        # u4 bought with Cay too.
        ("loyal_to_second", 0, 0, 0),
    ]


def test_followers_who_watch_far_less_than_before_are_at_risk(
    events: None, api_client: httpx2.Client
) -> None:
    def at_risk(**params: Any) -> list[tuple[Any, ...]]:
        rows = ask(api_client, "audience", streamer_id="ann", view="at_risk", **params)
        return [tuple(row.values()) for row in rows]

    assert at_risk(**SECOND_WEEK) == [("u2", 3600, 600, 3600.0)]
    # u3 watched too little before to be missed.
    assert at_risk(**SECOND_WEEK, min_seconds=300) == [("u2", 3600, 600, 3600.0), ("u3", 300, 0, 300.0)]
    assert at_risk(**SECOND_WEEK, max_share=0.1) == []
    assert at_risk(**SECOND_WEEK, before="5d") == []
    table = ask_table(api_client, "audience", streamer_id="ann", view="at_risk", **SECOND_WEEK)
    assert table["details"] == {"followers": 3, "followers_at_risk": 1, "pace": 1.0}
    # Who could watch nothing, as there was no stream, is not at risk.
    assert at_risk(**THIRD_WEEK) == []


def test_no_follower_at_risk_is_shown_who_is_to_be_forgotten(events: None, api_client: httpx2.Client) -> None:
    # Nothing drains the log: the graph still holds the user.
    assert api_client.delete("/v1/users/u2").status_code == 202
    assert ask(api_client, "audience", streamer_id="ann", view="at_risk", **SECOND_WEEK) == []


def test_without_a_release_there_are_no_embeddings_to_be_near_by(
    events: None, api_client: httpx2.Client
) -> None:
    table = ask_table(api_client, "audience", streamer_id="ann", by="embedding")
    assert (table["rows"], table["details"]["release_id"]) == ([], None)
    assert "no release is active" in table["details"]["reasons"][0]


def test_the_nearest_by_embedding_are_those_of_the_active_release(
    events: None, stack: IngestStack, api_client: httpx2.Client
) -> None:
    vectors = {"bob": [3.0, 4.0], "cay": [-1.0, 0.0], "gone": [1.0, 0.0]}
    stack.driver.execute_query(
        """UNWIND keys($vectors) AS id
        CREATE (:Vector {release_id: 'rel', kind: 'streamer', item_id: id, values: $vectors[id]})""",
        vectors=vectors,
    )
    activate(stack.driver, "rel")
    table = ask_table(api_client, "audience", streamer_id="ann", by="embedding")
    assert (table["rows"], table["details"]["release_id"]) == ([], "rel")
    assert table["details"]["reasons"] == ["release rel has no embedding of ann"]
    stack.driver.execute_query(
        "CREATE (:Vector {release_id: 'rel', kind: 'streamer', item_id: 'ann', values: [2.0, 0.0]})"
    )
    assert nearest(api_client, by="embedding") == [
        ("bob", "Bob", pytest.approx(0.6), None, None),
        ("cay", "Cay", pytest.approx(-1.0), None, None),
    ]


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"streamer_id": "none"}, 404, "streamer_id"),
    ({"other_id": "none"}, 404, "other_id"),
    ({"other_id": "ann"}, 422, "other_id"),
    ({"view": "buyers"}, 422, "other_id"),
    ({"view": "nearest", "other_id": "bob"}, 422, "other_id"),
    ({"view": "all"}, 422, "view"),
    ({"view": "at_risk"}, 422, "since"),
    ({"view": "at_risk", "since": at(0).isoformat()}, 422, "until"),
    ({"view": "at_risk", "before": "9999w", **SECOND_WEEK}, 422, "since"),
    ({"view": "at_risk", "max_share": 2, **SECOND_WEEK}, 422, "max_share"),
    ({"category": "ware"}, 422, "category"),
    ({"audience": "fans"}, 422, "audience"),
    ({"by": "luck"}, 422, "by"),
    ({"min_shared": 0}, 422, "min_shared"),
    ({"limit": 10**6}, 422, "limit"),
    ({"cursor": "bm9uZQ"}, 422, "cursor"),
    ({"since": at(1).isoformat(), "until": at(0).isoformat()}, 422, "until"),
]


def test_a_parameter_that_is_wrong_is_named(events: None, api_client: httpx2.Client) -> None:
    for params, status, field in WRONG:
        answer = api_client.get("/v1/influence/audience", params={"streamer_id": "ann"} | params)
        assert (answer.status_code, answer.json()["field"]) == (status, field), params


def test_audiences_come_as_csv_where_that_is_asked_for(events: None, api_client: httpx2.Client) -> None:
    params = {"streamer_id": "ann", "other_id": "bob"}
    answer = api_client.get("/v1/influence/audience", params=params, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["audience"], row["shared_users"]) for row in rows] == [
        ("followers", "2"),
        ("watchers", "2"),
        ("buyers", "1"),
    ]
