"""Attribution over HTTP, on a market small enough to share its credit on paper."""

import csv
import io
from typing import Any

import httpx2
import pytest

from tests.integration.influence_market import ask, ask_table, market
from tests.integration.ingest_stack import IngestStack

# Of u1's purchase for 300 Ann was the first touch; its two others were Bob's, 1 h and 1.2 h later.
DECAYED = [2 ** (-1.2 / 24), 2 ** (-0.2 / 24) + 1]
ANN_DECAYED = DECAYED[0] / sum(DECAYED)
# Of u2's for 200, which was refunded, Ann's came 1 h before Bob's.
ANN_REFUNDED = 1 / (1 + 2 ** (1 / 24))

NARROWED: list[tuple[dict[str, Any], dict[str, tuple[float, ...]]]] = [
    ({"category": "food"}, {"ann": (1, 0, 100, 0), "bob": (0, 0, 0, 0), "nobody": (1, 0, 50, 0)}),
    ({"since": "2026-01-06T00:00:00Z"}, {"ann": (1, 0, 100, 0), "bob": (0, 0, 0, 0), "nobody": (0,) * 4}),
    ({"until": "2026-01-05T12:00:00+01:00"}, {"nobody": (0,) * 4}),
    ({"min_purchases": 1}, {"ann": (3, 1, 800, 200), "nobody": (1, 0, 50, 0)}),
    ({"limit": 1}, {"ann": (3, 1, 800, 200), "nobody": (1, 0, 50, 0)}),
    ({"category": "none"}, {"nobody": (0,) * 4}),
]


@pytest.fixture
def events(stack: IngestStack) -> None:
    stack.append(market())
    stack.drain()


def figures(rows: list[dict[str, Any]], model: str) -> dict[str, tuple[float, ...]]:
    """Net and refunded purchases, net and refunded amount, by streamer."""
    columns = ("purchases", "refunded_purchases", "amount", "refunded_amount")
    return {
        row["streamer_id"] or row["name"]: tuple(row[name] for name in columns)
        for row in rows
        if row["model"] == model
    }


def test_each_model_shares_the_purchases_of_a_day_as_on_paper(
    events: None, api_client: httpx2.Client
) -> None:
    rows = ask(api_client, "attribution", window="24h")
    for model, ann, refunded in (
        ("first_touch", 1, 1),
        ("last_touch", 0, 0),
        ("linear", 1 / 3, 1 / 2),
        ("time_decay", ANN_DECAYED, ANN_REFUNDED),
        ("position_based", 0.4, 0.5),
        # Without Ann the chain loses 2/3 of its conversions, without Bob all.
        ("markov", 0.4, 0.4),
    ):
        shares = figures(rows, model)
        bob, taken = 1 - ann, 1 - refunded
        assert shares["ann"] == pytest.approx((ann, refunded, 300 * ann, 200 * refunded))
        assert shares["bob"] == pytest.approx((bob, taken, 300 * bob, 200 * taken), abs=1e-9)
        assert shares["nobody"] == (3, 0, 550, 0)
        assert shares.keys() - {"cay"} == {"ann", "bob", "nobody"}


def test_one_model_alone_is_answered_as_among_all(events: None, api_client: httpx2.Client) -> None:
    for model in ("first_touch", "markov"):
        alone = ask(api_client, "attribution", window="24h", models=model)
        among = ask(api_client, "attribution", window="24h")
        assert figures(alone, model) == figures(among, model)
        assert {row["model"] for row in alone} == {model}


def test_a_longer_window_finds_earlier_touches(events: None, api_client: httpx2.Client) -> None:
    shares = figures(ask(api_client, "attribution", models=["first_touch"]), "first_touch")
    # Ann's are u1's, u2's second one and u4's; u3's stays nobody's.
    assert shares == {"ann": (3, 1, 800, 200), "bob": (0, 0, 0, 0), "nobody": (1, 0, 50, 0)}


def test_in_stream_only_what_the_user_did_there_counts(events: None, api_client: httpx2.Client) -> None:
    shares = figures(ask(api_client, "attribution", window="in_stream", models="linear"), "linear")
    assert shares == {"bob": (1, 0, 300, 0), "nobody": (3, 1, 550, 200)}


def test_attribution_is_narrowed(events: None, api_client: httpx2.Client) -> None:
    for params, expected in NARROWED:
        rows = ask(api_client, "attribution", models="first_touch", **params)
        assert figures(rows, "first_touch") == expected, params


def test_pages_follow_each_other_without_a_gap(events: None, api_client: httpx2.Client) -> None:
    whole = ask_table(api_client, "attribution", window="24h")
    assert whole["next"] is None
    first = ask_table(api_client, "attribution", window="24h", limit=1)
    second = ask_table(api_client, "attribution", window="24h", limit=1, cursor=first["next"])
    assert first["rows"] + second["rows"] == whole["rows"]
    assert second["next"] is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"window": "for ever"}, "window"),
    ({"window": "0d"}, "window"),
    ({"half_life": "in_stream"}, "half_life"),
    ({"models": "shapley"}, "models.0"),
    ({"min_purchases": -1}, "min_purchases"),
    ({"cursor": "bm9uZQ"}, "cursor"),
    ({"since": "2026-02-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}, "until"),
]


def test_a_parameter_that_is_wrong_is_named(api_client: httpx2.Client) -> None:
    for params, field in WRONG:
        answer = api_client.get("/v1/influence/attribution", params=params)
        assert (answer.status_code, answer.json()["field"]) == (422, field), params


def test_a_table_comes_as_csv_where_that_is_asked_for(events: None, api_client: httpx2.Client) -> None:
    params = {"models": "linear", "window": "24h"}
    plain = ask(api_client, "attribution", **params)
    answer = api_client.get("/v1/influence/attribution", params=params, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["streamer_id"], float(row["purchases"])) for row in rows] == [
        (row["streamer_id"] or "", row["purchases"]) for row in plain
    ]


def test_a_type_that_is_not_to_be_had_is_refused(api_client: httpx2.Client) -> None:
    for query in ("attribution", "leaderboard"):
        answer = api_client.get(f"/v1/influence/{query}", headers={"Accept": "text/html"})
        assert (answer.status_code, answer.json()["title"]) == (406, "Not acceptable")
