"""Lift over HTTP, of a market whose groups were alike before and buy at known rates after."""

from typing import Any

import httpx2
import pytest

from graph_schema.events import Event, ProductUpserted, UserRefunded, UserViewed, UserWatched
from tests.integration.influence_market import ask_table, at, bought
from tests.integration.ingest_stack import IngestStack

NUM = 60
"""Users in each group."""
WINDOW = {"since": at(0, day=10).isoformat(), "until": at(0, day=12).isoformat(), "known": "1w"}


def lift_market() -> list[Event]:
    """Half of the exposed buy in the window and a fifth of the others; before, a quarter of either."""
    events: list[Event] = []
    for group in ("exposed", "other"):
        for i in range(NUM):
            user = f"{group}{i}"
            events += [view(f"{user}-view{day}", user, hours=i % 20, day=2 + day) for day in range(1 + i % 3)]
            if i % 4 == 0:
                events.append(bought(f"{user}-before", at(i % 20, day=9), user, "cup", 100, ""))
            if i % (2 if group == "exposed" else 5) == 0:
                events.append(bought(f"{user}-after", at(i % 20, day=11), user, "cup", 100, "ann"))
            if group == "exposed":
                events.append(watch(f"{user}-watch", user, day=10))
    events += [
        # Watched before, too: no subject. Came with the window: unknown.
        view("early-view", "early", hours=1, day=3),
        watch("early-watch", "early", day=8),
        watch("new-watch", "new", day=10),
        # Bought and gave back: no purchase.
        bought("gave-back", at(3, day=11), "exposed1", "cup", 100, "ann"),
        UserRefunded(event_id="refund", at=at(5, day=11), user_id="exposed1", purchase_event_id="gave-back"),
    ]
    return events


def view(event_id: str, user: str, *, hours: float, day: int) -> UserViewed:
    return UserViewed(event_id=event_id, at=at(hours, day=day), user_id=user, product_id="cup")


def watch(event_id: str, user: str, *, day: int) -> UserWatched:
    return UserWatched(event_id=event_id, at=at(2, day=day), user_id=user, streamer_id="ann", seconds=60)


@pytest.fixture
def events(stack: IngestStack) -> None:
    stack.append(lift_market())
    stack.drain()


def test_the_exposed_are_compared_with_those_who_were_alike(events: None, api_client: httpx2.Client) -> None:
    table = ask_table(api_client, "lift", streamer_id="ann", **WINDOW)
    rows = {(row["period"], row["measure"]): row for row in table["rows"]}
    rate = rows["exposure", "buy rate"]
    assert rate["exposed"] == pytest.approx(0.5)
    assert rate["effect"] == pytest.approx(0.3, abs=0.05)
    assert rate["low"] < 0.3 < rate["high"]
    assert rate["naive_effect"] == pytest.approx(0.3)
    added = rows["exposure", "incremental purchases"]
    assert added["effect"] == pytest.approx(NUM * rows["exposure", "purchases per user"]["effect"])
    placebo = rows["placebo", "buy rate"]
    assert placebo["exposed"] == pytest.approx(0.25)
    assert placebo["low"] < 0 < placebo["high"]
    details = table["details"]
    counts = ("num_exposed", "num_unexposed", "num_watched_before", "num_unknown", "num_exposed_left_out")
    assert [details[name] for name in counts] == [NUM, NUM, 1, 1, 0]
    assert details["is_believable"] == (not details["reasons"])
    assert {row["covariate"] for row in details["balance"]} >= {"purchases", "openings", "days active"}


def test_a_lift_that_cannot_be_estimated_says_why(events: None, api_client: httpx2.Client) -> None:
    def answer(**params: Any) -> tuple[int, str, str]:
        got = api_client.get("/v1/influence/lift", params={"streamer_id": "ann"} | WINDOW | params)
        return got.status_code, got.json().get("field", ""), got.json()["detail"]

    assert answer(streamer_id="none")[:2] == (404, "streamer_id")
    assert answer(until=WINDOW["since"])[:2] == (422, "until")
    assert answer(since="1970-01-02T00:00:00Z")[:2] == (422, "since")
    assert answer(known="long")[:2] == (422, "known")
    later = {"since": at(0, day=20).isoformat(), "until": at(0, day=21).isoformat()}
    status, _, detail = answer(**later, known="4w", placebo="3d")
    assert (status, "no exposed user" in detail) == (400, True)


def test_a_lift_is_narrowed_to_a_category_and_to_enough_buyers(
    events: None, stack: IngestStack, api_client: httpx2.Client
) -> None:
    stack.append([ProductUpserted(event_id="cup", at=at(0), product_id="cup", categories=("ware",))])
    stack.drain()
    plain = ask_table(api_client, "lift", streamer_id="ann", **WINDOW)
    of_ware = ask_table(api_client, "lift", streamer_id="ann", category="ware", **WINDOW)
    assert [row["effect"] for row in of_ware["rows"]] == pytest.approx(
        [row["effect"] for row in plain["rows"]]
    )
    of_food = ask_table(api_client, "lift", streamer_id="ann", category="food", **WINDOW)
    assert {row["effect"] for row in of_food["rows"]} == {0.0}
    # 30 of the exposed bought, and 12 of the others.
    for min_buyers, doubted in ((12, []), (13, ["unexposed"]), (31, ["exposed", "unexposed"])):
        found = ask_table(api_client, "lift", streamer_id="ann", min_buyers=min_buyers, **WINDOW)
        reasons = [text for text in found["details"]["reasons"] if f"fewer than {min_buyers}" in text]
        assert [text.split()[4] for text in reasons] == doubted


def test_the_window_of_a_lift_must_be_given(api_client: httpx2.Client) -> None:
    answer = api_client.get("/v1/influence/lift", params={"streamer_id": "ann"})
    assert {error["field"] for error in answer.json()["errors"]} == {"since", "until"}
