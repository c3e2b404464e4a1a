"""Dead letters that are dropped: which may go, and what the log then knows of their events."""

import time

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from lsec.api.stores.dead_letters import PURGE_PAGE
from lsec.core.ledger import AuditRecord
from tests.integration.ingest_stack import KEYS, IngestStack, views
from tests.integration.test_api_dead_letters import (
    LETTERS,
    append_only,
    count_of_views,
    json_of,
    open_letters,
    poison,
)
from workers.ingest.entries import LoggedEvent
from workers.ingest.letters import dead_letter, store_dead_letters


def test_purging_must_say_what_and_a_purged_event_may_be_sent_anew(
    api_client: httpx2.Client, stack: IngestStack
) -> None:
    letters = poison(stack, 3)
    unclear = api_client.post(f"{LETTERS}:purge")
    assert (unclear.status_code, unclear.json()["field"]) == (422, "all")
    api_client.post(f"{LETTERS}/{letters[0]['id']}/replay")
    assert api_client.post(f"{LETTERS}:purge", params={"state": "replayed"}).json() == {
        "purged": 1,
        "kept": 0,
    }
    assert len(open_letters(api_client)) == 2
    assert api_client.delete(f"{LETTERS}/{letters[1]['id']}").json() == {"purged": 1, "kept": 0}
    assert api_client.delete(f"{LETTERS}/{letters[1]['id']}").status_code == 404
    assert api_client.get("/v1/events/w1").status_code == 404
    again = api_client.post("/v1/events", json=[json_of(e) for e in views(3, prefix="w")]).json()
    assert (again["accepted"], again["duplicates"]) == (1, 2)
    assert api_client.post(f"{LETTERS}:purge", params={"all": True}).json() == {"purged": 1, "kept": 0}
    assert api_client.get(LETTERS, params={"state": "all"}).json() == {"dead_letters": [], "next": None}
    with Session(stack.engine) as session:
        actions = list(session.scalars(select(AuditRecord.action).order_by(AuditRecord.id)))
    assert actions == [
        "dead_letter.replay", "dead_letter.purge", "dead_letter.delete", "dead_letter.purge",
    ]  # fmt: skip


@pytest.mark.parametrize("many", [False, True])
def test_an_event_that_a_cut_off_replay_appended_is_not_forgotten_with_its_letter(
    api_client: httpx2.Client, stack: IngestStack, many: bool
) -> None:
    (letter,) = poison(stack, 1)
    stack.set_view_counts(1, users=["u0"])
    event, marker = append_only(stack)
    if many:
        kept = api_client.post(f"{LETTERS}:purge", params={"state": "open"})
        assert kept.json() == {"purged": 0, "kept": 1}
    else:
        refused = api_client.delete(f"{LETTERS}/{letter['id']}")
        assert (refused.status_code, "in the log again" in refused.json()["detail"]) == (409, True)
    assert api_client.get(f"{LETTERS}/{letter['id']}").json()["state"] == "replayed"
    assert stack.client.ttl(marker) > 0
    assert api_client.delete(f"{LETTERS}/{letter['id']}").status_code == 200
    assert api_client.post("/v1/events", json=json_of(event)).json()["duplicates"] == 1
    stack.drain()
    assert count_of_views(stack, "u0") == 2


@pytest.mark.parametrize("is_taken", [True, False], ids=["in the graph", "in a newer letter"])
def test_a_letter_whose_event_was_sent_again_after_the_window_is_not_replayed(
    api_client: httpx2.Client, stack: IngestStack, is_taken: bool
) -> None:
    (letter,) = poison(stack, 1)
    stack.client.delete(KEYS.id_prefix + "w0")
    if is_taken:
        stack.set_view_counts(1, users=["u0"])
    (event,) = views(1, prefix="w")
    assert api_client.post("/v1/events", json=json_of(event)).json()["accepted"] == 1
    stack.drain()
    refused = api_client.post(f"{LETTERS}/{letter['id']}/replay")
    assert (refused.status_code, "sent again later" in refused.json()["detail"]) == (409, True)
    assert api_client.delete(f"{LETTERS}/{letter['id']}").status_code == 200
    assert api_client.post("/v1/events", json=json_of(event)).json()["duplicates"] == 1
    if not is_taken:
        stack.set_view_counts(1, users=["u0"])
        (newer,) = open_letters(api_client)
        assert api_client.post(f"{LETTERS}/{newer['id']}/replay").status_code == 200
        stack.drain()
    assert count_of_views(stack, "u0") == 2


def test_a_letter_stays_with_its_event_known_while_the_log_does_not_answer(
    api_client: httpx2.Client, stack: IngestStack
) -> None:
    (letter,) = poison(stack, 1)
    stack.client.client_pause(4000)
    begun = time.monotonic()
    answer = api_client.delete(f"{LETTERS}/{letter['id']}")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:lsec:problem:unavailable")
    assert time.monotonic() - begun < 4
    stack.client.client_unpause()
    assert [each["id"] for each in open_letters(api_client)] == [letter["id"]]
    assert stack.client.exists(KEYS.id_prefix + "w0")


def test_more_letters_than_a_transaction_takes_are_purged(
    api_client: httpx2.Client, stack: IngestStack
) -> None:
    (event,) = views(1)
    store_dead_letters(
        stack.engine,
        [
            dead_letter(LoggedEvent("0-1", index, b"", event), "no reason", epoch="of another log", shard=0)
            for index in range(PURGE_PAGE + 1)
        ],
    )
    purged = api_client.post(f"{LETTERS}:purge", params={"event_id": event.event_id}).json()
    assert purged == {"purged": PURGE_PAGE + 1, "kept": 0}
    assert open_letters(api_client) == []
