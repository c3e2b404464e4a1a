"""The words of a reason and its path, from the rows of the query."""

from typing import Any

import pytest

from lsec.api.reasons import POPULAR, TASTE, Reason, popular_in, reason_of

ANN, BEA, NAMELESS = (
    {"id": "s1", "name": "Ann", "seconds": 100},
    {"id": "s2", "name": "Bea", "seconds": 19},
    {"id": "s3", "name": None, "seconds": 1},
)


def row(**found: Any) -> dict[str, Any]:
    """A row of the query for a product without a record."""
    return {"product_id": "p", "name": None, "followed": [], "watched": [], "alike": None} | found


def test_a_path_leads_through_each_of_the_followed_streamers() -> None:
    assert reason_of("u", row(followed=[ANN, BEA, NAMELESS], name="Red mug")) == {
        "kind": "followed_streamers",
        "text": "Sold by Ann, Bea and s3, whom you follow",
        "streamers": ["s1", "s2", "s3"],
        "path": {
            "nodes": [
                {"label": "User", "id": "u"},
                {"label": "Streamer", "id": "s1", "name": "Ann"},
                {"label": "Streamer", "id": "s2", "name": "Bea"},
                {"label": "Streamer", "id": "s3"},
                {"label": "Product", "id": "p", "name": "Red mug"},
            ],
            "relationships": [
                {"type": "FOLLOWS", "from": 0, "to": 1},
                {"type": "FOLLOWS", "from": 0, "to": 2},
                {"type": "FOLLOWS", "from": 0, "to": 3},
                {"type": "SELLS", "from": 1, "to": 4},
                {"type": "SELLS", "from": 2, "to": 4},
                {"type": "SELLS", "from": 3, "to": 4},
            ],
        },
    }


@pytest.mark.parametrize(
    ("streamers", "minutes", "words"),
    [
        ([NAMELESS], 0, "Sold by s3, whom you watched"),
        ([ANN], 1, "Sold by Ann, whom you watched for 1 minute"),
        ([ANN, BEA, NAMELESS], 2, "Sold by Ann, Bea and s3, whom you watched for 2 minutes"),
    ],
)
def test_only_whole_minutes_are_told(streamers: list[dict[str, Any]], minutes: int, words: str) -> None:
    reason = reason_of("u", row(watched=streamers))
    assert (reason["kind"], reason["minutes"], reason["text"]) == ("watched_streamers", minutes, words)
    assert {each["type"] for each in reason["path"]["relationships"]} == {"WATCHED", "SELLS"}


def test_users_alike_are_counted_and_not_named() -> None:
    reason = reason_of("u", row(alike={"num_users": 7, "id": "p0", "name": "Blue mug"}))
    assert reason["text"] == "Bought by at least 7 users who bought what you bought, such as Blue mug"
    assert reason["path"]["nodes"][2] == {"label": "User"}


@pytest.mark.parametrize("reason", [TASTE, POPULAR, popular_in("toys")])
def test_a_reason_without_a_path_is_one_of_the_known_kinds(reason: dict[str, Any]) -> None:
    assert Reason.model_validate(reason).model_dump(exclude_none=True) == reason
