"""Seeds over HTTP, on a market whose reach can be counted on paper."""

import csv
import io
from typing import Any

import httpx2
import pytest

from graph_schema.events import (
    Event,
    ProductShowcased,
    ProductUpserted,
    StreamerUpserted,
    StreamStarted,
    UserFollowed,
    UserViewed,
    UserWatched,
)
from tests.integration.influence_market import ask_table, at, bought
from tests.integration.ingest_stack import IngestStack

# Of Ann's two streams u1, a follower, watched both, and u3 one; of Bob's one u2 and u3 watched it.
ANN = {"u1": 1 - 0.9 * (1 - 2 / 3), "u3": 1 / 3}
BOB = {"u2": 1 / 2, "u3": 1 / 2}
REACH = {"ann": sum(ANN.values()), "bob": sum(BOB.values())}
BOB_AFTER_ANN = BOB["u2"] + BOB["u3"] * (1 - ANN["u3"])


def seeds_market() -> list[Event]:
    """Ann's streams a1 and a2 and Bob's b1; u4 watched all of them, but has the cup already."""
    events: list[Event] = [
        StreamerUpserted(event_id=id_, at=at(0), streamer_id=id_, name=id_.capitalize())
        for id_ in ("ann", "bob", "cay")
    ]
    events += [
        ProductUpserted(event_id="cup", at=at(0), product_id="cup", categories=("ware",)),
        ProductUpserted(event_id="pot", at=at(0), product_id="pot", categories=("ware",)),
        ProductShowcased(event_id="s1", at=at(1), streamer_id="ann", product_id="cup"),
        UserFollowed(event_id="f1", at=at(1), user_id="u1", streamer_id="ann"),
        UserViewed(event_id="v3", at=at(1), user_id="u3", product_id="pot"),
        bought("b4", at(1), "u4", "cup", 100, ""),
    ]
    for streamer, stream, users in (("ann", "a1", "134"), ("ann", "a2", "14"), ("bob", "b1", "234")):
        events.append(StreamStarted(event_id=stream, at=at(2), streamer_id=streamer, stream_id=stream))
        events += [
            UserWatched(
                event_id=f"{stream}-{n}",
                at=at(3),
                user_id=f"u{n}",
                streamer_id=streamer,
                stream_id=stream,
                seconds=60,
            )
            for n in users
        ]
    return events


@pytest.fixture
def events(stack: IngestStack) -> None:
    stack.append(seeds_market())
    stack.drain()


def chosen(client: httpx2.Client, **params: Any) -> list[tuple[str, Any]]:
    table = ask_table(client, "seeds", product_id="cup", **params)
    return [(row["streamer_id"], row["marginal_reach"]) for row in table["rows"]]


def test_seeds_stand_in_the_order_of_what_each_adds(events: None, api_client: httpx2.Client) -> None:
    table = ask_table(api_client, "seeds", product_id="cup")
    total = REACH["ann"] + BOB_AFTER_ANN
    assert [tuple(row.values()) for row in table["rows"]] == [
        (1, "ann", "Ann", 2, 1.0, *(pytest.approx(REACH["ann"]),) * 3, 1.0),
        (2, "bob", "Bob", 2, 1.0, *map(pytest.approx, (REACH["bob"], BOB_AFTER_ANN, total)), 2.0),
    ]
    details = table["details"]
    assert details["reach"] == pytest.approx(total)
    assert details["upper_bound"] >= total * (1 - 1e-9)
    assert details["share_of_bound"] == pytest.approx(total / details["upper_bound"])
    assert details["guarantee"] == pytest.approx(1 - 2.718281828**-1)
    assert (details["rule"], details["users_to_reach"], details["num_candidates"]) == ("reach", 3, 2)


def test_seeds_keep_to_their_number_and_budget(events: None, api_client: httpx2.Client) -> None:
    assert chosen(api_client, k=1) == [("ann", pytest.approx(REACH["ann"]))]
    assert chosen(api_client, budget=1, cost="ann=2") == [("bob", pytest.approx(REACH["bob"]))]
    assert chosen(api_client, budget=1, default_cost=2) == []
    both = ask_table(api_client, "seeds", product_id="cup", budget=3, cost=["ann=2", "bob=0.5"])
    assert {row["streamer_id"]: row["cost"] for row in both["rows"]} == {"ann": 2.0, "bob": 0.5}
    assert both["rows"][1]["total_cost"] == 2.5


def test_seeds_are_chosen_among_whom_is_asked_for(events: None, api_client: httpx2.Client) -> None:
    assert chosen(api_client, among="sellers") == [("ann", pytest.approx(REACH["ann"]))]
    assert chosen(api_client, min_audience=3) == []
    # u3 alone opened something of the category and has no cup.
    assert chosen(api_client, category="ware", k=1) == [("bob", pytest.approx(BOB["u3"]))]
    assert chosen(api_client, category="none") == []
    # Before the streams only the follow is there.
    assert chosen(api_client, until=at(2).isoformat()) == [("ann", pytest.approx(0.1))]
    other = ask_table(api_client, "seeds", product_id="pot", among="sellers")
    assert (other["rows"], other["details"]["share_of_bound"]) == ([], 1.0)


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"product_id": "none"}, 404, "product_id"),
    ({"cost": "none=1"}, 404, "cost.0"),
    ({"cost": ["ann=1", "bob"]}, 422, "cost.1"),
    ({"cost": "ann=0"}, 422, "cost.0"),
    ({"cost": "ann=nan"}, 422, "cost.0"),
    ({"cost": "ann=-1"}, 422, "cost.0"),
    ({"k": 0}, 422, "k"),
    ({"k": 10**6}, 422, "k"),
    ({"k": "many"}, 422, "k"),
    ({"budget": 0}, 422, "budget"),
    ({"budget": "inf"}, 422, "budget"),
    ({"default_cost": 0}, 422, "default_cost"),
    ({"among": "friends"}, 422, "among"),
    ({"min_audience": 0}, 422, "min_audience"),
    ({"cursor": "bm9uZQ"}, 422, "cursor"),
]


def test_a_parameter_that_is_wrong_is_named(events: None, api_client: httpx2.Client) -> None:
    for params, status, field in WRONG:
        answer = api_client.get("/v1/influence/seeds", params={"product_id": "cup"} | params)
        assert (answer.status_code, answer.json()["field"]) == (status, field), params


def test_seeds_come_as_csv_where_that_is_asked_for(events: None, api_client: httpx2.Client) -> None:
    answer = api_client.get(
        "/v1/influence/seeds", params={"product_id": "cup"}, headers={"Accept": "text/csv"}
    )
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["place"], row["streamer_id"], row["name"]) for row in rows] == [
        ("1", "ann", "Ann"),
        ("2", "bob", "Bob"),
    ]
