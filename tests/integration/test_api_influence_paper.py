"""The paper's table over HTTP, of a graph whose pairs can be counted on paper."""

import csv
import io
from typing import Any

import httpx2
import pytest

from graph_schema.events import Event, ProductShowcased, ProductUpserted, UserFollowed, UserRefunded
from tests.integration.influence_market import ask, at, bought
from tests.integration.ingest_stack import IngestStack

WINDOW = {"since": at(0, day=7).isoformat(), "until": at(0, day=14).isoformat()}
SHARE, RATIO = "share in followed catalogues", "purchases over those by popularity"


def paper_market() -> list[Event]:
    """Ann offers cup and tea, and nobody pot; u1 and u2 follow her, u3 only since the window began.

    Before it, u4 bought a cup and a pot. Within it, u1 buys a cup and a pot, u2 tea; u3 a cup, and u2 a cup
    that is refunded. After it, u2 buys a pot.
    """
    events: list[Event] = [
        ProductUpserted(event_id=id_, at=at(0), product_id=id_, categories=(category,))
        for id_, category in (("cup", "ware"), ("pot", "ware"), ("tea", "food"))
    ]
    return [
        *events,
        ProductShowcased(event_id="s1", at=at(1), streamer_id="ann", product_id="cup"),
        ProductShowcased(event_id="s2", at=at(1), streamer_id="ann", product_id="tea"),
        ProductShowcased(event_id="s3", at=at(1, day=8), streamer_id="ann", product_id="pot"),
        UserFollowed(event_id="f1", at=at(1), user_id="u1", streamer_id="ann"),
        UserFollowed(event_id="f2", at=at(1), user_id="u2", streamer_id="ann"),
        UserFollowed(event_id="f3", at=at(1, day=8), user_id="u3", streamer_id="ann"),
        bought("b1", at(2), "u4", "cup", 100, ""),
        bought("b2", at(2), "u4", "pot", 100, ""),
        bought("b3", at(2, day=9), "u1", "cup", 100, "ann"),
        bought("b4", at(2, day=9), "u1", "pot", 100, ""),
        bought("b5", at(2, day=9), "u2", "tea", 100, ""),
        bought("b6", at(2, day=9), "u3", "cup", 100, "ann"),
        bought("b7", at(2, day=9), "u2", "cup", 100, "ann"),
        UserRefunded(event_id="r7", at=at(2, day=10), user_id="u2", purchase_event_id="b7"),
        bought("b8", at(2, day=15), "u2", "pot", 100, ""),
    ]


@pytest.fixture
def events(stack: IngestStack) -> None:
    stack.append(paper_market())
    stack.drain()


def test_purchases_in_followed_catalogues_stand_beside_controls(
    events: None, api_client: httpx2.Client
) -> None:
    rows = {(row["measure"], row["of"]): row for row in ask(api_client, "paper", **WINDOW)}
    shares = {of: row for (measure, of), row in rows.items() if measure == SHARE}
    # Two of three; cup and pot are equally popular, and the other follower's catalogue is the same.
    assert shares["purchases"]["value"] == pytest.approx(2 / 3)
    assert shares["a user who follows as many"]["value"] == pytest.approx(2 / 3)
    assert shares["a product at random"]["value"] == pytest.approx(2 / 3)
    assert {row["purchases"] for row in shares.values()} == {3}
    assert shares["purchases"]["low"] < 2 / 3 < shares["purchases"]["high"]
    counted = {
        of: (row["pairs"], row["purchases"]) for (measure, of), row in rows.items() if measure == RATIO
    }
    assert counted == {
        "sold by no streamer": (2, 1),
        "sold by 0 followed": (0, 0),
        "sold by 1 followed": (4, 2),
        "sold by 2 followed": (0, 0),
        "sold by 3 followed": (0, 0),
        "sold by 4 or more followed": (0, 0),
    }
    by_one = rows[RATIO, "sold by 1 followed"]
    # By popularity half of all three purchases are cups, and none is tea.
    assert (by_one["probability"], by_one["expected"]) == (2 / 4, pytest.approx(1.5 / 4))
    assert by_one["value"] == pytest.approx(2 / 1.5)
    empty = rows[RATIO, "sold by 0 followed"]
    assert [empty[name] for name in ("value", "low", "high", "probability")] == [None] * 4


def test_the_table_is_narrowed(events: None, api_client: httpx2.Client) -> None:
    def kinds(**params: Any) -> list[tuple[str, int]]:
        rows = ask(api_client, "paper", **WINDOW | params)
        return [(row["of"], row["purchases"]) for row in rows if row["measure"] == RATIO]

    assert kinds(max_followed_sellers=1, min_purchases=1) == [
        ("sold by no streamer", 1),
        ("sold by 1 or more followed", 2),
    ]
    assert kinds(category="ware", min_purchases=1) == [("sold by no streamer", 1), ("sold by 1 followed", 1)]
    assert kinds(until=at(0, day=21).isoformat(), min_purchases=2) == [
        ("sold by no streamer", 2),
        ("sold by 1 followed", 2),
    ]
    assert len(ask(api_client, "paper", neighbours=1, **WINDOW)) == 10


def test_without_a_new_purchase_of_a_follower_there_is_nothing_to_tell(
    events: None, api_client: httpx2.Client
) -> None:
    for params in (
        {"since": at(0, day=21).isoformat(), "until": at(0, day=22).isoformat()},
        {"category": "none"},
    ):
        answer = api_client.get("/v1/influence/paper", params=WINDOW | params)
        assert (answer.status_code, "Widen the window" in answer.json()["remedy"]) == (400, True)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"since": WINDOW["until"]}, "until"),
    ({"since": "yesterday"}, "since"),
    ({"neighbours": 0}, "neighbours"),
    ({"neighbours": 10**6}, "neighbours"),
    ({"max_followed_sellers": 0}, "max_followed_sellers"),
    ({"min_purchases": -1}, "min_purchases"),
    ({"category": "green tea"}, "category"),
    ({"product_id": "cup"}, "product_id"),
]


def test_a_parameter_that_is_wrong_is_named(api_client: httpx2.Client) -> None:
    for params, field in WRONG:
        answer = api_client.get("/v1/influence/paper", params=WINDOW | params)
        assert (answer.status_code, answer.json()["field"]) == (422, field), params
    answer = api_client.get("/v1/influence/paper")
    assert {error["field"] for error in answer.json()["errors"]} == {"since", "until"}


def test_the_table_comes_as_csv_where_that_is_asked_for(events: None, api_client: httpx2.Client) -> None:
    answer = api_client.get("/v1/influence/paper", params=WINDOW, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert (rows[0]["of"], rows[0]["purchases"], rows[0]["pairs"]) == ("purchases", "3", "")
